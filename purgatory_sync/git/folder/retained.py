"""Repositories that were deleted and stay on the disk for a time, out of every path (B 13.10).

`<git_data>/.deleted/<owner's folder>/<identifier>.<Unix seconds>`. Where that name would be too
long it is `<Unix seconds>/<identifier>.git`; where the owner's folder is on another disk, all of it
lies in that folder.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

from ...errors import RepositoryError
from ..disk.layout import fsync_dir, is_repository, local_failure, rename_into
from ..disk.repository import remove_repository

DELETED: Final = ".deleted"
_GIT: Final = ".git"
_MOST_NAME_BYTES: Final = 255
_NAMED: Final = re.compile(r"(.+)\.([0-9]{1,12})", re.ASCII | re.DOTALL)
_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


@attrs.frozen
class Retained:
    """A repository that was deleted.

    Attributes:
      path: where it is now.
      folder: the name of its owner's folder.
      name: the name that it had in it, `<identifier>.git`, as a file name.
      at: when it was deleted, in Unix seconds.
    """

    path: Path
    folder: str
    name: str
    at: int


def retain(path: Path, git_data: Path, at: int) -> Path:
    """Take a repository out of its place by one rename; where it is then.

    Raises:
      RepositoryError: it is a link, or the disk refuses; it is where it was.
    """
    if path.is_symlink():
        raise RepositoryError(f"{path} is a link: move both by hand if that is meant")
    try:
        try:
            return _move(path, git_data / DELETED / path.parent.name, path.name, at)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return _move(path, path.parent / DELETED, path.name, at)
    except OSError as error:
        raise local_failure(f"keep the deleted repository {path}", error) from error


def find_retained(git_data: Path, folder: str | None = None) -> list[Retained]:
    """All of them, or those of one owner's folder, the oldest first; raises OSError."""
    owners = "npub1*" if folder is None else folder
    found: list[Retained] = []
    for place in git_data.glob(f"{DELETED}/{owners}"):
        found += _within(place, place.name)
    for place in git_data.glob(f"{owners}/{DELETED}"):
        found += _within(place, place.parent.name)
    return sorted(found, key=lambda each: (each.at, each.path))


def bring_back(retained: Retained, place: Path) -> bool:
    """Put one at its place again by one rename; False where that is on another disk.

    Raises:
      RepositoryError: the disk refuses, or something is there; it is where it was.
    """
    try:
        rename_into(retained.path, place)
        fsync_dir(retained.path.parent)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise local_failure(f"bring back {retained.path}", error) from error
    _remove_empty(retained.path.parent)
    return True


def remove_retained(retained: Retained, tmp: Path) -> None:
    """Delete one for good, out of sight by one rename first.

    Raises:
      RepositoryError: the disk refuses.
    """
    remove_repository(retained.path, tmp)
    _remove_empty(retained.path.parent)


def date_anew(retained: Retained, at: int) -> Path:
    """Let one be deleted at another time: the clock was wrong when it was. Where it is then.

    Raises:
      RepositoryError: the disk refuses.
    """
    top = retained.path.parent.parent if _is_time(retained.path.parent) else retained.path.parent
    try:
        return _move(retained.path, top, retained.name, at)
    except OSError as error:
        raise local_failure(f"rename {retained.path}", error) from error


def _move(path: Path, folder: Path, name: str, at: int) -> Path:
    there, target = folder.exists(), _free_name(folder, name, at)
    try:
        rename_into(path, target)
    except OSError:
        if not there:
            _remove_empty(target.parent)
        raise
    fsync_dir(path.parent)
    _remove_empty(path.parent)
    return target


def _free_name(folder: Path, name: str, at: int) -> Path:
    while True:
        short = f"{name.removesuffix(_GIT)}.{at}"
        fits = len(os.fsencode(short)) <= _MOST_NAME_BYTES
        target = folder / short if fits else folder / str(at) / name
        if not os.path.lexists(target):
            return target
        at += 1  # deleted twice within a second


def _within(place: Path, folder: str) -> Iterator[Retained]:
    try:
        entries = sorted(place.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if _is_time(entry):
            for each in sorted(entry.glob(f"*{_GIT}")):
                if is_repository(each):
                    yield Retained(each, folder, each.name, int(entry.name))
        elif (named := _NAMED.fullmatch(entry.name)) and is_repository(entry):
            yield Retained(entry, folder, f"{named[1]}{_GIT}", int(named[2]))


def _is_time(path: Path) -> bool:
    return _TIME.fullmatch(path.name) is not None


def _remove_empty(folder: Path) -> None:
    """Remove folders that are left empty, up to an owner's."""
    with suppress(OSError):
        while True:
            if folder.exists():  # else a removal took it with it
                os.rmdir(folder)
            fsync_dir(folder.parent)
            if not _is_time(folder):
                return
            folder = folder.parent
