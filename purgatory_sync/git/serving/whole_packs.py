"""Whether a repository's packs are exactly what a clone needs; then they are sent as they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ...errors import BadPack, LocalFailure
from ..disk.layout import objects_dir, pack_dir
from ..disk.object_reader import StoredObjects, TooBigToRead
from ..pack.format import BLOB
from ..pack.object_links import object_links

MOST_OBJECTS: Final = 5_000
"""Of more objects git finds out itself which a clone needs: it is faster then."""

_MAX_OBJECT_BYTES: Final = 4 << 20
_MOST_PACKS: Final = 32
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


def objects_of_clone(repository: Path, packs: Iterable[str], wants: Iterable[bytes]) -> int | None:
    """How many objects these packs hold, where they are just what a clone needs.

    Args:
      packs: all of the repository, as `packs_alone` tells.
      wants: what the clone asks for, 40 hex digits each.

    Returns None where the wants do not reach all of them, or reach others, where an object lies
    there twice, or where there are more than `MOST_OBJECTS`.
    """
    try:
        with StoredObjects(repository) as stored:
            names = [name for stem in packs for name in _few(stored, stem)]
            there = frozenset(names)
            if len(there) < len(names) or len(there) > MOST_OBJECTS:
                return None
            tips = [bytes.fromhex(want.decode()) for want in wants]
            return len(there) if _reached(stored, tips, there) == len(there) else None
    except (BadPack, LocalFailure, TooBigToRead, KeyError, OSError):
        return None  # git says what is wrong


def _few(stored: StoredObjects, stem: str) -> list[bytes]:
    if stored.count_in(stem) > MOST_OBJECTS:
        raise TooBigToRead
    return list(stored.names_in(stem))


def _reached(stored: StoredObjects, wants: Iterable[bytes], there: frozenset[bytes]) -> int | None:
    """How many objects the wants reach; None where one is missing."""
    todo = list(dict.fromkeys(wants))
    seen = set(todo)
    while todo:
        name = todo.pop()
        if name not in there:
            return None
        found = stored.read(name, _MAX_OBJECT_BYTES)
        if found is None:
            return None
        for link in object_links(found.kind, found.data):
            if link.name not in seen:
                seen.add(link.name)
                if link.kind != BLOB:
                    todo.append(link.name)
    return len(seen) if seen <= there else None
