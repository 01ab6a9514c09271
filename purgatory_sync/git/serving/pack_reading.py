"""Packs as they lie on disk, read as one pack, and cut into packets for a client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha1
from pathlib import Path
from typing import Final

from ...errors import BadPack
from ..disk.layout import pack_dir
from ..pack.format import HEADER_BYTES, TRAILER_BYTES, pack_header, read_count

PIECE_BYTES: Final = 256 * 1024


class PackReading:
    """Reads packs as one: they stay readable while it is open, also when they are removed.

    Args:
      repository: where they lie.
      packs: `pack-…` each; no object lies in two of them.
      objects: in all of them together.

    Raises:
      BadPack: one of them is no pack of version 2.
      OSError: one is not there any more, or cannot be read.
    """

    def __init__(self, repository: Path, packs: Sequence[str], objects: int) -> None:
        with ExitStack() as opened:
            self._files = [
                opened.enter_context(open(f"{pack_dir(repository)}/{stem}.pack", "rb", buffering=0))
                for stem in packs
            ]
            if sum(read_count(file.read(HEADER_BYTES)) for file in self._files) != objects:
                raise BadPack("a pack has other objects than its index says")
            self._opened = opened.pop_all()
        self._pieces = self._read(objects)

    def read(self) -> bytes:
        """The next piece, at most 256 KiB; empty at the end.

        Raises:
          BadPack: a pack is shorter than it was.
        """
        return next(self._pieces, b"")

    def close(self) -> None:
        """Give all files back."""
        self._opened.close()

    def _read(self, objects: int) -> Iterator[bytes]:
        head = pack_header(objects)
        if len(self._files) == 1:
            yield from _with(head, _pieces(self._files[0].fileno(), 0))
            return
        digest = sha1(head, usedforsecurity=False)
        yield head
        for file in self._files:
            for piece in _pieces(file.fileno(), TRAILER_BYTES):
                digest.update(piece)
                yield piece
        yield digest.digest()


def _with(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, the first one with its head."""
    yield head + next(pieces, b"")
    yield from pieces


def _pieces(descriptor: int, left_out: int) -> Iterator[bytes]:
    """What follows the header of a pack, without so many bytes at the end."""
    at, end = HEADER_BYTES, os.fstat(descriptor).st_size - left_out
    while at < end:
        piece = os.pread(descriptor, min(PIECE_BYTES, end - at), at)
        if not piece:
            raise BadPack("a pack became shorter")
        at += len(piece)
        yield piece


def empty_pack() -> bytes:
    """A pack without an object."""
    head = pack_header(0)
    return head + sha1(head, usedforsecurity=False).digest()


def in_packets(data: bytes, band: int) -> bytes:
    """Cut a piece of a pack into packets of side-band 1.

    Args:
      band: bytes of the pack in one packet; 0 where the client takes the pack as it is.
    """
    if not band:
        return data
    parts = []
    for at in range(0, len(data), band):
        piece = data[at : at + band]
        parts += [b"%04x\1" % (len(piece) + 5), piece]
    return b"".join(parts)
