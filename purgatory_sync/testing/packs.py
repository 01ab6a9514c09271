"""Packs for tests, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

from ..git.pack.format import GitObject
from ..git.pack.thin_packs import encode_entry


def encode_pack(objects: Sequence[GitObject]) -> bytes:
    """A pack that holds the objects whole, in that order."""
    out = bytearray(b"PACK\0\0\0\2")
    out += len(objects).to_bytes(4, "big")
    for object in objects:
        out += encode_entry(object)
    out += sha1(out, usedforsecurity=False).digest()
    return bytes(out)
