"""Look-ups that end when they turn out to be more work than they may be."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import TooMuchWork

# Steps of SQLite's machine between two looks at how many there were: each look wants the GIL.
STEPS: Final = 20_000


@contextmanager
def bounded(connection: sqlite3.Connection, most_steps: int | None) -> Iterator[None]:
    """Interrupt what a connection does in this block after so many steps; None: never.

    Steps, not seconds: the same question has the same fate on every machine.

    Raises:
      TooMuchWork: it was interrupted.
    """
    if most_steps is None:
        yield
        return
    left = max(1, most_steps // STEPS)

    def ends() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    connection.set_progress_handler(ends, STEPS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if left >= 0:
            raise
        raise TooMuchWork("this is too much work to look up: ask for less at once") from error
    finally:
        connection.set_progress_handler(None, 0)
