"""The command line: run the node, or what `commands` knows; exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from io import TextIOWrapper
from typing import Final, NoReturn

import trio

from ..errors import ConfigurationError, PurgatorySyncError
from ..node.node import run_node
from ..runtime.logger import get_logger
from ..settings_loader import Loaded, load_settings
from ..version import PROGRAM
from .output.logs import configure_logging

FAILED: Final = 1
BAD_CONFIGURATION: Final = 2
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script; exits with 0, with 2 for bad configuration, with 1 when it had to end."""
    if arguments is None:
        _speak_utf8()
    sys.exit(run_command(sys.argv[1:] if arguments is None else arguments))


def _speak_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale is another: arguments, settings, output.

    Children inherit it. Output is UTF-8; LANG, LC_ALL and PYTHONUTF8 do not change it.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        command = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # PYTHONIOENCODING names another


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


def _run(loaded: Loaded, *, new_identity: bool | None = None) -> int:
    configure_logging(loaded.settings.log_level)
    log = get_logger(__name__)
    for warning in loaded.warnings:
        log.warning(warning)
    trio.run(partial(run_node, loaded.settings, new_identity=bool(new_identity)))
    return 0
