"""The command line: the node as a program, and what talks to a running one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from . import program as program

_EXTRA: Final = ("cyclopts", "jinja2", "prometheus_client", "rich", "structlog", "websockets")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The console script; exits with 0, with 2 for bad configuration, with 1 when it had to end."""
    try:
        from .program import main
    except ModuleNotFoundError as error:
        exit_without_extra(error)
    main(arguments)


def run_command(arguments: Sequence[str]) -> int:
    """Run the program with these arguments; the exit code (an error is one sentence on stderr)."""
    from .program import run_command

    return run_command(arguments)


def exit_without_extra(error: ModuleNotFoundError) -> NoReturn:
    """Name what to install when the node's dependencies are not here; other errors are raised."""
    missing = (error.name or "").partition(".")[0]
    if missing not in _EXTRA:
        raise error
    sys.exit(
        f"purgatory-sync: {missing} is not installed, which the command line and the node need: "
        "pip install 'purgatory-sync[node]'"
    )
