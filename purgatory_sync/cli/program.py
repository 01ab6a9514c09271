"""The command line: run the node, or what `commands` knows; exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import structlog
import trio

from ..errors import ConfigurationError, PurgatorySyncError
from ..node.node import run_node
from ..settings_loader import Loaded, load_settings
from ..version import PROGRAM
from .logs import configure_logging

FAILED: Final = 1
BAD_CONFIGURATION: Final = 2
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script; exits with 0, with 2 for bad configuration, with 1 when it had to end."""
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def run_command(arguments: Sequence[str]) -> int:
    """Run the program with these arguments; the exit code (an error is one sentence on stderr)."""
    try:
        if not arguments:
            return _run(load_settings({}, os.environ))
        # Reading flags costs a tenth of the start, and services are started without any.
        from .commands import run_arguments

        return run_arguments(arguments, _run)
    except PurgatorySyncError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return BAD_CONFIGURATION if isinstance(error, ConfigurationError) else FAILED
    except KeyboardInterrupt:  # before or after the node listens to signals itself
        return INTERRUPTED


def _run(loaded: Loaded) -> int:
    configure_logging(loaded.settings.log_level)
    log = structlog.get_logger()
    for warning in loaded.warnings:
        log.warning(warning)
    trio.run(partial(run_node, loaded.settings))
    return 0
