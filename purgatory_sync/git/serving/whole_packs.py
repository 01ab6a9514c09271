"""Whether a repository's packs are exactly what a clone needs; then they are sent as they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import attrs

from ...errors import BadPack, LocalFailure
from ..disk.layout import objects_dir, pack_dir
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import BLOB
from ..pack.object_links import object_links

MOST_OBJECTS: Final = 5_000
"""Of more objects git finds out itself which a clone needs: it is faster then."""

MOST_BYTES_READ: Final = 16 << 20
"""Of commits, trees and tags together: a small pack of deltas may hold gigabytes of trees."""

_MAX_OBJECT_BYTES: Final = 4 << 20
_MOST_PACKS: Final = 16
_LOOSE: Final = re.compile(r"[0-9a-f]{2}")
_PACK: Final = re.compile(r"(pack-[0-9a-f]{40})\.(pack|idx)")


def packs_alone(repository: Path) -> tuple[str, ...] | None:
    """The packs of a repository (`pack-…`, sorted) in which all of its objects lie.

    None where there are loose objects, none or too many packs, or a pack that is not whole.

    Raises OSError when it cannot be read.
    """
    if any(_LOOSE.fullmatch(name) for name in os.listdir(objects_dir(repository))):
        return None
    found: dict[str, set[str]] = {}
    for name in os.listdir(pack_dir(repository)):
        if match := _PACK.fullmatch(name):
            found.setdefault(match[1], set()).add(match[2])
        elif name.endswith(".promisor"):
            return None
    whole = all(suffixes == {"pack", "idx"} for suffixes in found.values())
    return tuple(sorted(found)) if whole and 0 < len(found) <= _MOST_PACKS else None


@attrs.frozen
class Exact:
    """Packs that hold just what the refs of their repository reach, each object once.

    Attributes:
      objects: how many.
      needed: what a client must ask for to get all of it: what refs name and nothing else reaches,
        40 hex digits each.
    """

    objects: int
    needed: frozenset[bytes]


def exact_packs(repository: Path, packs: Iterable[str], tips: Iterable[bytes]) -> Exact | None:
    """What a clone of all must ask for; None where these packs hold more, or something twice.

    Args:
      packs: all of the repository, as `packs_alone` tells.
      tips: what its refs name, 40 hex digits each.

    Returns None as well where something is missing or damaged, or where there are more than
    `MOST_OBJECTS`, or `MOST_BYTES_READ` of them.
    """
    try:
        with StoredObjects(repository) as stored:
            names = [name for stem in packs for name in _few(stored, stem)]
            there = frozenset(names)
            if len(there) < len(names) or len(there) > MOST_OBJECTS:
                return None
            first = {bytes.fromhex(tip.decode()) for tip in tips}
            linked = _linked(stored, first, there)
    except (BadPack, LocalFailure, TooBigToRead, KeyError, OSError):
        return None  # git says what is wrong
    if linked is None or len(linked | first) < len(there):
        return None
    return Exact(len(there), frozenset(name.hex().encode() for name in first - linked))


def _few(stored: StoredObjects, stem: str) -> list[bytes]:
    if stored.count_in(stem) > MOST_OBJECTS:
        raise TooBigToRead
    return list(stored.names_in(stem))


def _linked(
    stored: StoredObjects, tips: Collection[bytes], there: frozenset[bytes]
) -> set[bytes] | None:
    """All that something names which the tips reach; None where something is missing."""
    todo, linked, left = list(tips), set[bytes](), MOST_BYTES_READ
    while todo:
        name = todo.pop()
        found = stored.read(name, _MAX_OBJECT_BYTES) if name in there else None
        if found is None or len(found.data) > left:
            return None
        left -= len(found.data)
        for link in object_links(found.kind, found.data):
            if link.name not in linked:
                linked.add(link.name)
                if link.kind != BLOB and link.name not in tips:
                    todo.append(link.name)
    return linked if linked <= there else None
