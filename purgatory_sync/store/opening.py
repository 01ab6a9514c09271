"""Opening the store: the folder, the lock that keeps others out, the file and what is in it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import trio

from ..errors import StoreBusy
from ..runtime.blocking import blocking
from ..runtime.folders import lock_file, make_folder
from .sqlite import SqliteStore
from .sqlite_errors import at_opening, unusable
from .sqlite_schema import VERSION, connect, judge, prepare_writer

DATABASE = "purgatory.sqlite3"
LOCK = "purgatory.lock"


async def open_store(folder: Path, *, limiter: trio.CapacityLimiter | None = None) -> SqliteStore:
    """Open the store in a folder; both are made when they do not exist.

    Args:
      folder: NGIT_RELAY_DATA_PATH.
      limiter: the place for the writer's thread; one of its own by default.

    Raises:
      StoreBusy: another process, or another store of this one, has it open.
      StoreCorrupt: the file is damaged or not ours; it is left as it is.
      ConfigurationError: the folder cannot be used, or a newer version wrote the file.

    Cancellation is noticed before it begins; once begun, the open store is returned.
    """
    limiter = limiter or trio.CapacityLimiter(1)
    connection, lock = await blocking(limiter, _open, folder)
    return SqliteStore(folder / DATABASE, connection, lock, limiter)


def lock_store(folder: Path) -> int:
    """Keep others out of the store in a folder, which is made; closing the descriptor ends it.

    Raises:
      StoreBusy, ConfigurationError: as `open_store`.
    """
    try:
        make_folder(folder)
        return lock_file(folder / LOCK)
    except BlockingIOError as error:
        raise StoreBusy(
            f"another process uses {folder}: stop it, or give this node folders of its own by"
            " NGIT_RELAY_DATA_PATH and NGIT_GIT_DATA_PATH"
        ) from error
    except OSError as error:
        raise unusable(folder, error) from error


def is_older(folder: Path) -> bool:
    """Whether an older version wrote the store in a folder; opening it would bring it up to date.

    A damaged file, or one of another program, is not older: `open_store` says what it is.
    """
    try:
        with closing(connect(folder / DATABASE, "ro")) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    except sqlite3.Error:
        return False
    return row is not None and row[0].isdecimal() and int(row[0]) < VERSION


def _open(folder: Path) -> tuple[sqlite3.Connection, int]:
    lock = lock_store(folder)
    try:
        return _open_database(folder / DATABASE), lock
    except BaseException:
        os.close(lock)
        raise


def _open_database(path: Path) -> sqlite3.Connection:
    try:
        connection = connect(path, "rwc")
    except sqlite3.Error as error:
        raise at_opening(path, error) from error
    try:
        prepare_writer(connection, new=not judge(connection, path))
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise at_opening(path, error) from error
        raise
    return connection
