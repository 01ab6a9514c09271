"""Standard output may be full or gone: that is one sentence, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from ...errors import PurgatorySyncError


@contextmanager
def printing() -> Iterator[None]:
    """Print in the block, all of it.

    Raises:
      PurgatorySyncError: it cannot be printed.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more at exit, with a traceback.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise PurgatorySyncError(f"standard output: {error.strerror or error}") from error


@contextmanager
def showing(doing: str) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what takes long, on stderr; the function yielded says how far it is."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(doing, spinner="line") as status:
        yield lambda sentence: status.update(f"{doing}: {sentence}")
