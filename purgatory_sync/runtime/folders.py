"""Folders whose names survive a power cut, locks that keep others out, and what room there is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably; nothing is done where it is there already.

    A folder whose name is lost takes with it what was synced in it (N1).
    """
    if folder.is_dir():
        return
    missing = [each for each in (folder, *folder.absolute().parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        handle = os.open(made.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def lies_within(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or below it, by any spelling and through links; blocks."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def missing_folders(folder: Path) -> list[Path]:
    """Those of a folder and the ones above it that are not there, the deepest first; blocks."""
    return [each for each in (folder, *folder.parents) if not os.path.lexists(each)]


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty; what cannot be removed stays; blocks."""
    for each in folders:
        with suppress(OSError):
            each.rmdir()


def lock_file(path: Path) -> int:
    """Lock a file, which is made when it is missing, until the returned descriptor is closed.

    It keeps out other processes, and this one a second time, by any path.

    Raises:
      BlockingIOError: another process has it.
      OSError: it cannot be opened, or the file system has no locks.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def free_bytes(folder: Path) -> int:
    """How many bytes this user may still write on the disk of a folder; raises OSError."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def folder_bytes(folder: Path) -> int:
    """The bytes of all files below a folder; what goes meanwhile does not count. Raises OSError."""
    total, folders = 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
