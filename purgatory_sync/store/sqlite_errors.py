"""SQLite's errors as ours: a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from ..errors import ConfigurationError, InvalidEvent, StoreBusy, StoreCorrupt, StoreError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_UNUSABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)


def corrupt(path: Path, finding: str) -> StoreCorrupt:
    """The error for a file that cannot be trusted; nothing was done to it."""
    return StoreCorrupt(
        f"{path} is damaged or not a database of this program ({finding}): restore a copy of it,"
        " or move it away and start with an empty one; it was left as it is"
    )


def unusable(path: Path, error: Exception) -> ConfigurationError:
    """The error for a folder or file that cannot be opened for writing."""
    if isinstance(error, OSError) and error.errno in NO_LOCKS:
        return ConfigurationError(
            f"the file system of {path} has no locks ({error.strerror}), which keep a second node"
            " out: choose another NGIT_RELAY_DATA_PATH"
        )
    return ConfigurationError(
        f"{path} cannot be used ({error}): make it a folder that this user may write to,"
        " or choose another NGIT_RELAY_DATA_PATH"
    )


def at_opening(path: Path, error: sqlite3.Error) -> StoreError | ConfigurationError:
    """What an SQLite error means while a database is opened."""
    if _code(error) == sqlite3.SQLITE_BUSY:
        return StoreBusy(f"another program has locked {path}: end it and start again")
    return unusable(path, error) if _code(error) in _UNUSABLE else at_run_time(path, error)


def at_run_time(path: Path, error: Exception) -> StoreError:
    """What an error means while the store works; nothing of what was asked is done."""
    if isinstance(error, StoreError):
        return error
    if _code(error) in _DAMAGED or isinstance(error, InvalidEvent):
        return corrupt(path, str(error))
    if _code(error) == sqlite3.SQLITE_BUSY:
        return StoreError(f"another program has locked {path}: end it; nothing was changed")
    if _code(error) == sqlite3.SQLITE_FULL or _has_no_room(path, error):
        return StoreError(f"no space left for {path}: free some; nothing was changed")
    return StoreError(f"{path}: {error}; nothing was changed")


def _has_no_room(path: Path, error: Exception) -> bool:
    """Whether a full disk is behind an I/O error; what SQLite cannot map into memory is one."""
    try:
        return _code(error) == sqlite3.SQLITE_IOERR and not os.statvfs(path.parent).f_bavail
    except OSError:
        return False


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
