"""How a pack is built up (gitformat-pack), as far as entries need not be inflated for it."""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple

from ...errors import BadPack

COMMIT: Final = 1
TREE: Final = 2
BLOB: Final = 3
TAG: Final = 4
OFS_DELTA: Final = 6
REF_DELTA: Final = 7

KIND_NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
KINDS_BY_NAME: Final = {name: kind for kind, name in KIND_NAMES.items()}

HEADER_BYTES: Final = 12
TRAILER_BYTES: Final = 20

Buffer = bytes | mmap.mmap


class GitObject(NamedTuple):
    """An object's type and its bytes (without the header that its name is made of)."""

    kind: int
    data: bytes


class EntryHeader(NamedTuple):
    """What stands before an entry's compressed bytes.

    Attributes:
      kind: COMMIT to TAG, OFS_DELTA or REF_DELTA.
      size: bytes after inflation; of a delta: of its instructions, not of its result.
      data_at: where the compressed bytes begin.
      base: None, the offset of a delta's base, or its 20-byte name.
    """

    kind: int
    size: int
    data_at: int
    base: int | bytes | None


class PackEntry(NamedTuple):
    """A line of a pack's index: 20-byte name, CRC-32 of the packed bytes, offset in the pack."""

    name: bytes
    crc: int
    offset: int


def pack_header(count: int) -> bytes:
    """The header of a pack of version 2 that has so many objects."""
    return b"PACK\0\0\0\2" + count.to_bytes(4, "big")


def read_count(pack: Buffer) -> int:
    """The number of objects that the header of a pack declares.

    Args:
      pack: the pack, or at least its first 12 bytes.

    Raises:
      BadPack: no pack, or one of another version than 2 (no server sends others).
    """
    if len(pack) < HEADER_BYTES or pack[:4] != b"PACK":
        raise BadPack("what came is no pack")
    version = int.from_bytes(pack[4:8], "big")
    if version != 2:
        raise BadPack(f"a pack of version {version}; only version 2 is understood")
    return int.from_bytes(pack[8:12], "big")


def read_entry_header(pack: Buffer, at: int) -> EntryHeader:
    """Read the header of the entry that begins at `at`.

    Raises:
      BadPack: an unknown type, a size beyond 64 bits, a base that does not come before.
      IndexError: the pack ends within it.
    """
    return EntryHeader(*parse_entry_header(pack, at, 0))


def parse_entry_header(
    pack: Buffer, at: int, skipped: int
) -> tuple[int, int, int, int | bytes | None]:
    """What `read_entry_header` gives, as a bare tuple and from a piece of a pack.

    Args:
      pack: the piece.
      at: where in the piece the entry begins, and so is `data_at`.
      skipped: bytes of pack before the piece; the offset of a base counts from the pack's begin.
    """
    start = at
    byte = pack[at]
    at += 1
    kind, size = byte >> 4 & 7, byte & 15
    if byte & 0x80:
        shift = 4
        while byte & 0x80:
            if shift > 57:
                raise BadPack("an object's size is beyond all limits")
            byte = pack[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
    if kind in KIND_NAMES:
        return kind, size, at, None
    if kind == OFS_DELTA:
        base, at = _read_base_offset(pack, at, skipped + start)
        return kind, size, at, base
    if kind == REF_DELTA:
        name = bytes(pack[at : at + 20])
        if len(name) < 20:
            raise IndexError("the pack ends within a name")
        return kind, size, at + 20, name
    raise BadPack(f"an object of the unknown type {kind}")


def _read_base_offset(pack: Buffer, at: int, start: int) -> tuple[int, int]:
    byte = pack[at]
    at += 1
    distance = byte & 0x7F
    while byte & 0x80:
        if distance > start:
            break
        byte = pack[at]
        at += 1
        distance = (distance + 1 << 7) | byte & 0x7F
    if distance == 0 or start - distance < HEADER_BYTES:
        raise BadPack("a delta whose base does not come before it")
    return start - distance, at


def delta_sizes(delta: bytes) -> tuple[int, int]:
    """The sizes that a delta declares: of its base and of its result, in bytes.

    Args:
      delta: its instructions, or at least their first 20 bytes.

    Raises:
      BadPack: a size beyond 64 bits.
      IndexError: the delta ends within them.
    """
    base, at = _read_size(delta, 0)
    return base, _read_size(delta, at)[0]


def _read_size(delta: bytes, at: int) -> tuple[int, int]:
    byte = delta[at]
    at += 1
    size, shift = byte & 0x7F, 7
    while byte & 0x80:
        if shift > 63:
            raise BadPack("a delta's size is beyond all limits")
        byte = delta[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
    return size, at
