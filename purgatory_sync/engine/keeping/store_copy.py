"""A copy of the store's file while a node writes to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ...errors import StoreError
from ...store.sqlite_errors import corrupt

PAGES, PAUSE_SECS = 256, 0.01


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment; writers go on meanwhile (SQLite's backup).

    Args:
      source: the file of a store, open elsewhere or not.
      target: a file that does not exist.

    Raises:
      StoreError: it cannot be read or written, or what was copied is damaged.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            # One moment for the whole copy: else each write of the node would begin it anew.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            reader.backup(writer, pages=PAGES, sleep=PAUSE_SECS)
            writer.execute("PRAGMA journal_mode = DELETE")
            (finding,) = writer.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{source} cannot be copied to {target}: {error}") from error
    if finding != "ok":
        raise corrupt(source, finding)
