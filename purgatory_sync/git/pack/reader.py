"""Unpacks a small pack in memory, within limits, trusting nothing that it says."""

from __future__ import annotations

import zlib
from binascii import crc32
from collections.abc import Callable
from hashlib import sha1
from typing import NamedTuple

import attrs
from dulwich.errors import ApplyDeltaError
from dulwich.pack import apply_delta

from ...errors import BadPack
from .format import (
    HEADER_BYTES,
    KIND_NAMES,
    TRAILER_BYTES,
    EntryHeader,
    GitObject,
    PackEntry,
    delta_sizes,
    read_count,
    read_entry_header,
)

Resolve = Callable[[bytes], GitObject | None]


class Unsure(Exception):
    """The small way cannot judge this pack, clean or not; a judge that knows all rules must."""


@attrs.frozen
class UnpackLimits:
    """How much one pack may hold (B 8.4).

    Attributes:
      objects: number of objects.
      object_bytes: size of one object, in bytes.
      total_bytes: size of all objects together, deltas resolved, in bytes.
      delta_depth: length of a chain of deltas.
    """

    objects: int
    object_bytes: int
    total_bytes: int
    delta_depth: int


@attrs.frozen
class Unpacked:
    """The objects of a pack.

    Attributes:
      objects: by 20-byte name.
      entries: what the pack's index needs, in no particular order.
      bases: objects of the repository that deltas lean on and that the pack does not hold.
    """

    objects: dict[bytes, GitObject]
    entries: list[PackEntry]
    bases: dict[bytes, GitObject]


def object_name(kind: int, data: bytes) -> bytes:
    """The 20-byte name of an object.

    hashlib does not detect SHA-1 collisions as git does; that is why an object that is here
    is never replaced, and compared where its name arrives again.
    """
    header = b"%s %d\0" % (KIND_NAMES[kind], len(data))
    return sha1(header + data, usedforsecurity=False).digest()


def unpack(pack: bytes, limits: UnpackLimits, resolve: Resolve) -> Unpacked:
    """Inflate all objects of a pack, resolve its deltas and compute all names.

    Args:
      pack: the whole of it; its memory cost is its size and `limits.total_bytes`.
      limits: nothing beyond them is ever allocated.
      resolve: gives an object of the repository, for thin packs.

    Raises:
      BadPack: it is damaged or lies; nothing was kept.
      Unsure: it is beyond the limits.
    """
    unpacker = _Unpacker(pack, limits, resolve)
    try:
        return unpacker.run()
    except (zlib.error, ApplyDeltaError, IndexError) as error:
        raise BadPack(f"the pack is damaged: {error}") from error


class _Delta(NamedTuple):
    """A delta that waits for its base."""

    offset: int
    crc: int
    instructions: bytes


class _Settled(NamedTuple):
    """An object whose bytes are known, before it has a name."""

    offset: int
    crc: int
    object: GitObject
    depth: int


class _Unpacker:
    def __init__(self, pack: bytes, limits: UnpackLimits, resolve: Resolve) -> None:
        self._pack = pack
        self._view = memoryview(pack)
        self._end = len(pack) - TRAILER_BYTES
        self._limits = limits
        self._resolve = resolve
        self._bytes_left = limits.total_bytes
        self._objects: dict[bytes, GitObject] = {}
        self._depths: dict[bytes, int] = {}
        self._names: dict[int, bytes] = {}
        self._entries: list[PackEntry] = []
        self._bases: dict[bytes, GitObject] = {}
        self._waiting: dict[int | bytes, list[_Delta]] = {}
        self._lacking: set[bytes] = set()

    def run(self) -> Unpacked:
        count = read_count(self._pack)
        if self._end < HEADER_BYTES:
            raise BadPack("the pack has no checksum")
        if count > self._limits.objects:
            raise Unsure(f"{count} objects")
        trailer = sha1(self._view[: self._end], usedforsecurity=False).digest()
        if trailer != self._pack[self._end :]:
            raise BadPack("the pack's checksum does not hold")
        at = HEADER_BYTES
        for _ in range(count):
            at = self._read_entry(at)
        if at != self._end:
            raise BadPack("bytes after the last object")
        self._resolve_thin()
        bases = {n: base for n, base in self._bases.items() if n not in self._objects}
        return Unpacked(self._objects, self._entries, bases)

    def _read_entry(self, start: int) -> int:
        header = read_entry_header(self._pack, start)
        if header.size > self._limits.object_bytes:
            raise Unsure(f"an object of {header.size} bytes")
        if header.base is None:
            self._spend(header.size)
        data, end = self._inflate(header)
        crc = crc32(self._view[start:end])
        if header.base is None:
            self._settle(_Settled(start, crc, GitObject(header.kind, data), 0))
        else:
            self._read_delta(header.base, _Delta(start, crc, data))
        return end

    def _read_delta(self, base: int | bytes, delta: _Delta) -> None:
        _, result_bytes = delta_sizes(delta.instructions)
        if result_bytes > self._limits.object_bytes:
            raise Unsure(f"a delta that makes {result_bytes} bytes")
        self._spend(result_bytes)
        name = self._names.get(base) if isinstance(base, int) else base
        if name is not None and name in self._objects:
            self._settle(_apply(delta, self._objects[name], self._depths[name]))
        else:
            self._waiting.setdefault(base, []).append(delta)

    def _inflate(self, header: EntryHeader) -> tuple[bytes, int]:
        """The bytes of an entry and where the next one begins."""
        size, at = header.size, header.data_at
        inflater = zlib.decompressobj()
        data, step = b"", size + 64
        while not inflater.eof:
            piece = self._view[at : min(at + step, self._end)]
            if not piece:
                raise BadPack("the pack ends within an object")
            data += inflater.decompress(piece, size - len(data) + 1)
            if len(data) > size:
                raise BadPack("an object is longer than the pack declares")
            at += len(piece) - len(inflater.unused_data)
            step = 4096
        if len(data) != size:
            raise BadPack("an object is shorter than the pack declares")
        return data, at

    def _settle(self, settled: _Settled) -> None:
        """Name an object, and all that wait for it."""
        todo = [settled]
        while todo:
            offset, crc, (kind, data), depth = todo.pop()
            if depth > self._limits.delta_depth:
                raise Unsure("a long chain of deltas")
            name = object_name(kind, data)
            if name in self._objects:
                raise Unsure("an object twice")
            base = GitObject(kind, data)
            self._objects[name] = base
            self._depths[name] = depth
            self._names[offset] = name
            self._entries.append(PackEntry(name, crc, offset))
            for key in (offset, name):
                for delta in self._waiting.pop(key, ()):
                    todo.append(_apply(delta, base, depth))

    def _resolve_thin(self) -> None:
        while self._waiting:
            name, base = self._next_base()
            self._bases[name] = base
            self._spend(len(base.data))
            for delta in self._waiting.pop(name):
                self._settle(_apply(delta, base, 0))

    def _next_base(self) -> tuple[bytes, GitObject]:
        # A base that the repository lacks may still come out of another delta of the pack; it is
        # looked up once, or so many names of nothing as a small pack holds would take seconds.
        for key in self._waiting:
            if isinstance(key, bytes) and key not in self._lacking:
                if (base := self._resolve(key)) is not None:
                    return key, base
                self._lacking.add(key)
        raise BadPack("a delta whose base is neither in the pack nor in the repository")

    def _spend(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise Unsure("too many bytes in all")


def _apply(delta: _Delta, base: GitObject, depth: int) -> _Settled:
    # dulwich allocates the declared size at most, which has been judged by now.
    data = b"".join(apply_delta(base.data, delta.instructions))
    return _Settled(delta.offset, delta.crc, GitObject(base.kind, data), depth + 1)
