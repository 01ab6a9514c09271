"""Looks through a pack on disk before anybody unpacks it: bombs cost milliseconds here."""

from __future__ import annotations

import mmap
import zlib
from array import array
from bisect import bisect_left
from pathlib import Path

import attrs

from ..errors import BadPack, TooLarge
from ..runtime.children import stop_if_cancelled
from .pack_format import (
    HEADER_BYTES,
    OFS_DELTA,
    REF_DELTA,
    TRAILER_BYTES,
    delta_sizes,
    read_count,
    read_entry_header,
)
from .pack_index import PackIndexReader
from .pack_reader import UnpackLimits

_STEP_BYTES = 64 * 1024
_OUT_BYTES = 1 << 20
_DELTA_SIZES_BYTES = 20


@attrs.frozen
class Scanned:
    """What a pack declares and is known to keep to.

    Attributes:
      objects: number of objects.
      total_bytes: size of all objects, deltas resolved, in bytes.
      largest_bytes: size of the largest object, or of the largest base of a delta, in bytes.
      named_bases: number of deltas whose base is given by name (it may be missing: a thin pack).
      named_base_bytes: size of those bases together, each counted as often as it is named.
      depth: the longest chain of deltas by offset.
    """

    objects: int
    total_bytes: int
    largest_bytes: int
    named_bases: int
    named_base_bytes: int
    depth: int

    def needs_depth_check(self, limit: int) -> bool:
        """Whether chains that go through names may be longer than `limit`."""
        return (self.named_bases + 1) * (self.depth + 1) > limit


def scan_pack(path: Path, limits: UnpackLimits) -> Scanned:
    """Inflate a pack once without keeping anything, and compare what it declares with the limits.

    Memory: 2 MiB, and 12 bytes for each object. Cancelling the task that waits for it ends it.

    Raises:
      TooLarge: it is beyond a limit.
      BadPack: it is damaged, or an object is not as long as declared.
    """
    if path.stat().st_size == 0:
        raise BadPack("an empty answer instead of a pack")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pack,
    ):
        try:
            return _Scan(pack, limits).run()
        except (zlib.error, IndexError) as error:
            raise BadPack(f"the pack is damaged: {error}") from error


class _Scan:
    def __init__(self, pack: mmap.mmap, limits: UnpackLimits) -> None:
        self._pack = pack
        self._limits = limits
        self._end = len(pack) - TRAILER_BYTES
        self._total = 0
        self._largest = 0
        self._named = 0
        self._named_bytes = 0
        self._deepest = 0
        self._offsets = array("Q")
        self._depths = array("L")

    def run(self) -> Scanned:
        count = read_count(self._pack)
        if count > self._limits.objects:
            raise TooLarge(f"a pack of {count} objects; {self._limits.objects} are allowed")
        at = HEADER_BYTES
        for _ in range(count):
            stop_if_cancelled()
            at = self._read_entry(at)
        if at != self._end:
            raise BadPack("bytes after the last object")
        return Scanned(
            count, self._total, self._largest, self._named, self._named_bytes, self._deepest
        )

    def _read_entry(self, start: int) -> int:
        header = read_entry_header(self._pack, start)
        self._judge_size(header.size)
        depth = 0
        if header.base is None:
            self._spend(header.size)
        elif isinstance(header.base, int):
            depth = self._depth_at(header.base) + 1
            if depth > self._limits.delta_depth:
                raise TooLarge(f"a chain of more than {self._limits.delta_depth} deltas")
            self._deepest = max(self._deepest, depth)
        self._offsets.append(start)
        self._depths.append(depth)
        end, head = self._inflate(header.data_at, header.size)
        if header.base is not None:
            base_bytes, result_bytes = delta_sizes(head)
            self._judge_size(base_bytes)
            self._judge_size(result_bytes)
            self._spend(result_bytes)
            if isinstance(header.base, bytes):
                self._named += 1
                self._named_bytes += base_bytes
        return end

    def _inflate(self, at: int, size: int) -> tuple[int, bytes]:
        """Where the next entry begins, and this one's first bytes."""
        inflater = zlib.decompressobj()
        seen, head, step = 0, b"", min(size + 64, _STEP_BYTES)
        while not inflater.eof:
            piece = self._pack[at : min(at + step, self._end)]
            if not piece:
                raise BadPack("the pack ends within an object")
            at += len(piece)
            step = _STEP_BYTES
            while piece and not inflater.eof:
                out = inflater.decompress(piece, _OUT_BYTES)
                piece = inflater.unconsumed_tail
                seen += len(out)
                if seen > size:
                    raise BadPack("an object is longer than the pack declares")
                if len(head) < _DELTA_SIZES_BYTES:
                    head += out[:_DELTA_SIZES_BYTES]
                if len(out) == _OUT_BYTES:
                    stop_if_cancelled()
        if seen != size:
            raise BadPack("an object is shorter than the pack declares")
        return at - len(inflater.unused_data), head

    def _depth_at(self, offset: int) -> int:
        position = bisect_left(self._offsets, offset)
        if position == len(self._offsets) or self._offsets[position] != offset:
            raise BadPack("a delta whose base is no object")
        return self._depths[position]

    def _judge_size(self, size: int) -> None:
        if size > self._limits.object_bytes:
            raise TooLarge(f"an object of {size} bytes; {self._limits.object_bytes} are allowed")
        self._largest = max(self._largest, size)

    def _spend(self, size: int) -> None:
        self._total += size
        if self._total > self._limits.total_bytes:
            raise TooLarge(f"objects of more than {self._limits.total_bytes} bytes in all")


def check_depth(pack: Path, limit: int) -> None:
    """Judge the chains of deltas of an indexed pack, those included that go through names.

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
