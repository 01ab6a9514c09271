"""Completes thin packs: what they lean on is appended, so that each pack stands alone."""

from __future__ import annotations

import zlib
from binascii import crc32
from collections.abc import Mapping, Sequence
from hashlib import sha1

from .format import TRAILER_BYTES, GitObject, PackEntry


def complete_pack(
    pack: bytes, entries: Sequence[PackEntry], bases: Mapping[bytes, GitObject]
) -> tuple[bytes, list[PackEntry]]:
    """Append the bases that a thin pack lacks.

    Args:
      pack: a sound pack, thin or not.
      entries: of all its objects.
      bases: objects by 20-byte name, none of them in the pack.

    Returns the pack with its new trailer, and the entries of all that it holds now.
    """
    if not bases:
        return pack, list(entries)
    out = bytearray(pack[:-TRAILER_BYTES])
    out[8:12] = (len(entries) + len(bases)).to_bytes(4, "big")
    all_entries = list(entries)
    for name, base in bases.items():
        packed = encode_entry(base)
        all_entries.append(PackEntry(name, crc32(packed), len(out)))
        out += packed
    out += sha1(out, usedforsecurity=False).digest()
    return bytes(out), all_entries


def encode_entry(object: GitObject) -> bytes:
    """One whole object as it stands in a pack."""
    return encode_entry_header(object.kind, len(object.data)) + zlib.compress(object.data, 1)


def encode_entry_header(kind: int, size: int) -> bytes:
    """Type and size as they stand before an entry's compressed bytes."""
    byte, size = kind << 4 | size & 15, size >> 4
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)
