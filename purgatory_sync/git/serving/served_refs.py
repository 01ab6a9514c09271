"""The refs of a repository as git tells them to clients, all of one moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from ...filenames import to_file_name
from ...refnames import is_valid_refname
from ..disk.object_lookup import ObjectLookup, existing
from ..disk.ref_files import RefFiles, read_refs
from ..disk.repository import read_head
from .plainness import CHANGES_HISTORY, is_plain

MAX_REFS: Final = 50_000
"""More are left to git, which keeps none of them in memory."""

_FILES: Final = ("packed-refs", "HEAD", "config", *CHANGES_HISTORY)
_TRIES: Final = 3


@attrs.frozen
class ServedRef:
    """A ref as clients see it.

    Attributes:
      name: bytes as on the disk.
      oid: 40 hex digits.
      peeled: what an annotated tag names in the end, 40 hex digits; None for all else.
    """

    name: bytes
    oid: bytes
    peeled: bytes | None


@attrs.frozen
class ServedRefs:
    """All refs, in git's order.

    Attributes:
      refs: sorted by name, HEAD left out.
      head: the ref that HEAD names, one of `refs`; None where HEAD names none that is there.
    """

    refs: tuple[ServedRef, ...]
    head: ServedRef | None

    @property
    def tips(self) -> frozenset[bytes]:
        """What a client may ask for by these refs, 40 hex digits each."""
        return frozenset(ref.oid for ref in self.refs)


Stamp = tuple[tuple[str, int, int, int], ...]
"""What tells whether files changed: name, inode, size, time of change in nanoseconds, each."""


def stamp(repository: Path) -> Stamp:
    """What the refs of a repository lie in, as it is now: the same stamp, the same refs.

    Our own writer replaces a file by a new one; each other program that writes refs changes the
    inode, the size or the time of a file as well, or makes one.

    Raises OSError when it cannot be read.
    """
    names = [*_FILES, *_loose(f"{repository}/refs", "refs")]
    found = ((name, _stat(f"{repository}/{name}")) for name in names)
    return tuple((name, *stat) for name, stat in found if stat is not None)


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        stat = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _loose(path: str, name: str) -> Iterator[str]:
    """The paths of all files below a folder."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            yield from _loose(entry.path, f"{name}/{entry.name}")
        else:
            yield f"{name}/{entry.name}"


def read_served_refs(repository: Path) -> tuple[Stamp, ServedRefs | None]:
    """The refs, and the stamp that holds for as long as they do; None where git must be asked.

    Git is asked of what is not plain: broken, odd or too many refs, refs whose objects are missing,
    a detached HEAD, settings that change what is served.

    Raises:
      RepositoryError: the repository is damaged.
      OSError: it cannot be read.
    """
    for _ in range(_TRIES):
        before = stamp(repository)
        refs = _read(repository)
        if stamp(repository) == before:
            return before, refs
    return (), None


def _read(repository: Path) -> ServedRefs | None:
    if not is_plain(repository):
        return None
    files = read_refs(repository)
    if files.broken or files.symbolic or len(files.names) > MAX_REFS:
        return None
    head = read_head(repository)
    if head is None or not all(map(is_valid_refname, files.names)):
        return None
    if not _no_odd_files(repository, files):
        return None
    current = files.resolved()
    oids = set(current.values())
    if len(existing(repository, oids)) < len(oids):
        return None
    with ObjectLookup(repository) as lookup:
        found = [_served(name, oid, files, lookup) for name, oid in current.items()]
    refs = tuple(sorted((ref for ref in found if ref), key=lambda ref: ref.name))
    if len(refs) < len(found):
        return None
    named = head.encode("utf-8", "surrogateescape")
    return ServedRefs(refs, next((ref for ref in refs if ref.name == named), None))


def _no_odd_files(repository: Path, files: RefFiles) -> bool:
    """Whether all below `refs/` was understood: no links, no names outside of the usual."""
    known = {to_file_name(name) for name in files.loose}
    return all(
        name in known and not os.path.islink(f"{repository}/{name}")
        for name in _loose(f"{repository}/refs", "refs")
    )


def _served(name: str, oid: str, files: RefFiles, lookup: ObjectLookup) -> ServedRef | None:
    """A ref with what its tag names; None where that is missing."""
    raw = name.encode("utf-8", "surrogateescape")
    if name not in files.loose and files.fully_peeled:
        peeled = files.packed[name].peeled
        return ServedRef(raw, oid.encode(), peeled.encode() if peeled else None)
    if lookup.kind(oid) != "tag":
        return ServedRef(raw, oid.encode(), None)
    target = lookup.peel(oid)
    return ServedRef(raw, oid.encode(), target[0].encode()) if target else None
