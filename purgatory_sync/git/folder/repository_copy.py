"""A copy of a bare repository: packs and objects by hard links, since they never change."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..disk.layout import local_failure

_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
_OBJECTS: Final = "objects"
_PIECE: Final = 1 << 20


def copy_repository(source: Path, target: Path) -> int:
    """Copy a repository to a folder that does not exist; the number of files.

    Objects are linked where the file system allows it, else copied. Refs are copied before the
    objects, so that each of them is whole in the copy although others push meanwhile; locks and
    what is unfinished stay out.

    Raises:
      RepositoryError: the disk refuses.
    """
    try:
        files = _copy_tree(source, target, copy_file, leave_out=_OBJECTS)
        return files + _copy_tree(source / _OBJECTS, target / _OBJECTS, link_or_copy)
    except OSError as error:
        raise local_failure(f"copy {source} to {target}", error) from error


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder of repositories and files, each object by a link; raises OSError."""
    begin = len(str(source))

    def put(here: str, there: str) -> None:
        (link_or_copy if _OBJECTS in here[begin:].split(os.sep) else copy_file)(here, there)

    _copy_tree(source, target, put)


def copy_file(source: Path | str, target: Path | str) -> None:
    """Copy a file with its mode and time, a symbolic link as it is; raises OSError."""
    known = os.lstat(source)
    if not stat.S_ISREG(known.st_mode):
        shutil.copy2(source, target, follow_symlinks=False)
        return
    here = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        there = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            while piece := os.read(here, _PIECE):
                _write(there, piece)
            os.fchmod(there, stat.S_IMODE(known.st_mode))
            os.utime(there, ns=(known.st_atime_ns, known.st_mtime_ns))
        finally:
            os.close(there)
    finally:
        os.close(here)


def _write(to: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(to, left) :]


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Link a file that never changes, or copy it where links cannot be; raises OSError."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return  # of this name, so it is the same
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        copy_file(source, target)


def _copy_tree(
    source: Path, target: Path, put: Callable[[str, str], None], *, leave_out: str = ""
) -> int:
    files = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    folders = [(str(source), str(target))]
    while folders:
        here, there = folders.pop()
        with suppress(FileExistsError):
            os.mkdir(there)
        for entry in _entries(here):
            path = f"{there}{os.sep}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if len(here) > len(str(source)) or entry.name != leave_out:
                    folders.append((entry.path, path))
            else:
                # Folded into packed-refs, or combined into another pack, since the folder was read.
                with suppress(FileNotFoundError):
                    put(entry.path, path)
                    files += 1
    return files


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".lock") and not entry.name.startswith("tmp_"):
                yield entry
