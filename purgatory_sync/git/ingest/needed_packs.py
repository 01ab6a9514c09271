"""Which packs of a repository some commits need, and all that lies in those packs (B 12.6).

What no event names must not leave the repository that it was pushed to, nor stay in it; so packs
are linked and kept one by one there, not all at once as elsewhere. Since an object that is here
counts as here with all its history (B 3.6), a pack is never taken without what any of its objects
needs.
Everything here blocks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from ...errors import BadPack, LocalFailure, NotClosed
from ..disk.layout import fsync_dir, pack_dir
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import BLOB
from ..pack.object_links import object_links
from .connectivity import MAX_WALKED_BYTES

LOOSE = ""
"""Stands for all loose objects, where a pack does."""


def needed_packs(
    repository: Path,
    tips: Iterable[str],
    *,
    there: Path | None = None,
    whole: Collection[str] = (),
    most: int | None = None,
) -> frozenset[str] | None:
    """The packs (`pack-…`; LOOSE) that the tips need, with all that other objects of them need.

    Of several packs that have an object the oldest counts: so those that are found, taken oldest
    first, lean on earlier ones only.

    Args:
      there: a repository that gets them: what it has already, it has with all its history.
      whole: packs that are not looked into: one that is reached is needed, and that is all.
      most: objects that are looked at; None where there are more.

    Raises:
      NotClosed: something that is needed is missing here.
      LocalFailure: what is here cannot be read.
    """
    with StoredObjects(repository) as stored:
        if there is None:
            return _Walk(repository, stored, None, frozenset(whole)).needed(tips, most)
        with StoredObjects(there) as target:
            return _Walk(repository, stored, target, frozenset(whole)).needed(tips, most)


def has_more(repository: Path, tips: Iterable[str], before: Collection[str], most: int) -> bool:
    """Whether packs that are new hold objects that the tips do not reach.

    Args:
      before: the packs that were there already.
      most: objects of the new packs; where there are more, it is assumed.

    Raises:
      LocalFailure: what is here cannot be read.
    """
    with StoredObjects(repository) as stored:
        walk = _Walk(repository, stored, None, frozenset(before))
        new = {
            name
            for stem in pack_names(repository).difference(before)
            for name in stored.names_in(stem)
            if walk.is_only_in_others(name)
        }
        return len(new) > most or not new <= walk.reached(tips, new)


class _Walk:
    def __init__(
        self,
        repository: Path,
        stored: StoredObjects,
        target: StoredObjects | None,
        whole: frozenset[str],
    ) -> None:
        self._stored = stored
        self._target = target
        self._whole = whole
        self._ages = {stem: _age(repository, stem) for stem in pack_names(repository)}
        self._seen: set[bytes] = set()
        self._todo: list[bytes] = []

    def needed(self, tips: Iterable[str], most: int | None) -> frozenset[str] | None:
        found: set[str] = set()
        self._add(map(bytes.fromhex, tips))
        while self._todo:
            name = self._todo.pop()
            stem = self._place(name)
            if stem not in found:
                found.add(stem)
                if stem != LOOSE and stem not in self._whole:
                    self._add(self._stored.names_in(stem))
            if stem not in self._whole:
                self._add(self._links(name))
            if most is not None and len(self._seen) > most:
                return None
        return frozenset(found)

    def is_only_in_others(self, name: bytes) -> bool:
        """Whether none of the packs that are not looked into has an object."""
        return self._whole.isdisjoint(self._stored.packs_of(name))

    def reached(self, tips: Iterable[str], within: Collection[bytes]) -> set[bytes]:
        """What the tips reach by objects of these."""
        todo = [name for name in map(bytes.fromhex, tips) if name in within]
        found = set(todo)
        while todo:
            for name in self._links(todo.pop()):
                if name in within and name not in found:
                    found.add(name)
                    todo.append(name)
        return found

    def _add(self, names: Iterable[bytes]) -> None:
        for name in names:
            if name not in self._seen:
                self._seen.add(name)
                if self._target is None or not self._target.glance(name):
                    self._todo.append(name)

    def _place(self, name: bytes) -> str:
        stems = [stem for stem in self._stored.packs_of(name) if stem in self._ages]
        if stems:
            return min(stems, key=lambda stem: (self._ages[stem], stem))
        if self._stored.glance(name):
            return LOOSE
        raise NotClosed(f"{name.hex()} is not here")

    def _links(self, name: bytes) -> Iterable[bytes]:
        try:
            if self._stored.kind(name) == BLOB:
                return ()
            found = self._stored.read(name, MAX_WALKED_BYTES)
            return [link.name for link in object_links(*found)] if found is not None else ()
        except (BadPack, TooBigToRead) as error:
            raise LocalFailure(f"{name.hex()} cannot be followed: {error}") from error


def _age(repository: Path, stem: str) -> int:
    return os.stat(f"{pack_dir(repository)}/{stem}.pack").st_mtime_ns


def pack_names(repository: Path) -> frozenset[str]:
    """The packs that are there with their index."""
    names: set[str] = set()
    with suppress(FileNotFoundError):
        names = set(os.listdir(pack_dir(repository)))
    stems = (name.removesuffix(".idx") for name in names if name.endswith(".idx"))
    return frozenset(stem for stem in stems if f"{stem}.pack" in names)


def keep_packs(repository: Path, needed: Collection[str]) -> bool:
    """Remove all other packs, the newest first: each leans on older ones only.

    Raises OSError when the disk refuses; what was removed by then is not needed.

    Returns whether any was removed.
    """
    folder = pack_dir(repository)
    leaving = pack_names(repository).difference(needed)
    ages = {stem: _age(repository, stem) for stem in leaving}
    for stem in sorted(leaving, key=lambda stem: (ages[stem], stem), reverse=True):
        os.unlink(f"{folder}/{stem}.idx")  # without it git does not look for the pack
        for ending in ("pack", "rev", "bitmap"):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{stem}.{ending}")
    if leaving:
        fsync_dir(folder)
    return bool(leaving)
