"""Pack indexes: written for what we indexed ourselves, read without being copied."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from hashlib import sha1
from itertools import accumulate
from pathlib import Path

from .format import Buffer, PackEntry

_MAGIC = b"\377tOc"
_FANOUT = struct.Struct(">256L")
_MAP_FROM_BYTES = 64 * 1024


def encode_index(entries: Sequence[PackEntry], pack_trailer: bytes) -> bytes:
    """The version 2 index of a pack that is smaller than 2 GiB.

    Args:
      entries: in any order, each name once.
      pack_trailer: the pack's last 20 bytes.
    """
    entries = sorted(entries)
    counts = [0] * 256
    for entry in entries:
        counts[entry.name[0]] += 1
    numbers = struct.Struct(f">{len(entries)}L")
    body = b"".join(
        (
            _MAGIC,
            b"\0\0\0\2",
            _FANOUT.pack(*accumulate(counts)),
            b"".join([entry.name for entry in entries]),
            numbers.pack(*[entry.crc for entry in entries]),
            numbers.pack(*[entry.offset for entry in entries]),
            pack_trailer,
        )
    )
    return body + sha1(body, usedforsecurity=False).digest()


class PackIndexReader:
    """Looks up offsets in an index file (version 1 or 2) of SHA-1 names.

    Args:
      path: the file, or what is in it.

    Raises ValueError when the file is none, OSError when it cannot be read.
    """

    def __init__(self, path: Path | str | bytes) -> None:
        self._buffer = path if isinstance(path, bytes) else _load(path)
        if isinstance(path, bytes):
            path = "the index"
        head = bytes(self._buffer[:8])
        if head[:4] != _MAGIC:
            self._first, self._stride, self._names_at = 0, 24, 4
        elif head == _MAGIC + b"\0\0\0\2":
            self._first, self._stride, self._names_at = 8, 20, 0
        else:
            raise ValueError(f"{path} is of a version that is not supported")
        if len(self._buffer) < self._first + _FANOUT.size + 40:
            raise ValueError(f"{path} is too short")
        self._fanout: tuple[int, ...] = (0, *_FANOUT.unpack_from(self._buffer, self._first))
        self._table = self._first + _FANOUT.size
        self.count = self._fanout[256]
        if len(self._buffer) < self._table + self.count * (28 if self._first else 24) + 40:
            raise ValueError(f"{path} is too short for {self.count} objects")

    def find(self, name: bytes) -> int | None:
        """The offset of an object in its pack; None when the pack does not hold it."""
        position = self.position(name)
        return None if position is None else self.offset(position)

    def position(self, name: bytes) -> int | None:
        """The place of a 20-byte name in the sorted table; None when it is not there."""
        low, high = self._fanout[name[0]], self._fanout[name[0] + 1]
        buffer, stride, start = self._buffer, self._stride, self._table + self._names_at
        while low < high:
            middle = (low + high) // 2
            at = start + middle * stride
            here = buffer[at : at + 20]
            if here < name:
                low = middle + 1
            elif here > name:
                high = middle
            else:
                return middle
        return None

    def offset(self, position: int) -> int:
        """The offset of the object at a place in the table."""
        if not self._first:
            return self._number(self._table + position * self._stride)
        small = self._number(self._table + self.count * 24 + position * 4)
        if not small & 0x80000000:
            return small
        large = self._table + self.count * 28 + (small & 0x7FFFFFFF) * 8
        return int.from_bytes(self._buffer[large : large + 8], "big")

    def names(self) -> Iterator[bytes]:
        """All 20-byte names, sorted."""
        start = self._table + self._names_at
        for at in range(start, start + self.count * self._stride, self._stride):
            yield bytes(self._buffer[at : at + 20])

    def require_sound(self, pack_trailer: bytes) -> None:
        """Require that nothing of the file rotted, and that it is the index of this pack.

        Args:
          pack_trailer: the pack's last 20 bytes.

        Raises ValueError otherwise.
        """
        view = memoryview(self._buffer)
        try:
            if sha1(view[:-20], usedforsecurity=False).digest() != view[-20:]:
                raise ValueError("the checksum of its index does not hold")
            if view[-40:-20] != pack_trailer:
                raise ValueError("its index is that of another pack")
        finally:
            view.release()

    def close(self) -> None:
        """Give the file back; nothing can be looked up after."""
        if isinstance(self._buffer, mmap.mmap):
            self._buffer.close()

    def _number(self, at: int) -> int:
        return int.from_bytes(self._buffer[at : at + 4], "big")


def _load(path: Path | str) -> Buffer:
    # A mapped file occupies a descriptor for as long as it is mapped.
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size < _MAP_FROM_BYTES:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
