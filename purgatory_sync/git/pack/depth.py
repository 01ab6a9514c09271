"""How long the chains of deltas of an indexed pack are, those included that go through names."""

from __future__ import annotations

import mmap
from pathlib import Path

from ...errors import BadPack, TooLarge
from ...runtime.children import stop_if_cancelled
from .format import OFS_DELTA, REF_DELTA, read_entry_header
from .index import PackIndexReader


def check_depth(pack: Path, limit: int) -> None:
    """Judge all chains of deltas of a pack.

    Memory: two numbers for each object.

    Args:
      pack: the file; its index lies beside it.
      limit: deltas in one chain.

    Raises:
      TooLarge: one is longer than `limit`.
      BadPack: a base is missing, or chains go round in circles.
    """
    reader = PackIndexReader(pack.with_suffix(".idx"))
    try:
        with (
            pack.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            depths: dict[int, int] = {}
            for position in range(reader.count):
                stop_if_cancelled()
                _measure(reader.offset(position), depths, data, reader)
            if depths and max(depths.values()) > limit:
                raise TooLarge(f"a chain of more than {limit} deltas")
    finally:
        reader.close()


def _measure(offset: int, depths: dict[int, int], data: mmap.mmap, index: PackIndexReader) -> None:
    way: dict[int, None] = {}
    while offset not in depths:
        if offset in way:
            raise BadPack("deltas that are made of each other")
        way[offset] = None
        header = read_entry_header(data, offset)
        if header.kind not in (OFS_DELTA, REF_DELTA):
            depths[offset] = 0
            del way[offset]
            break
        base = index.find(header.base) if isinstance(header.base, bytes) else header.base
        if base is None:
            raise BadPack("a delta whose base is missing")
        offset = base
    depth = depths[offset]
    for step in reversed(way):
        depth += 1
        depths[step] = depth
