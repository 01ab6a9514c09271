"""Bodies that a server, or a proxy before it, compressed without being asked."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Final

import trio

from ...errors import ProtocolBroken

# What comes out at once, however much it was blown up; others run in between.
_PIECE_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_WBITS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}

CODINGS: Final = frozenset(_WBITS)


class Inflating:
    """The pieces of a body, inflated; no generator, so that it can be left and be read on.

    It bounds nothing but a piece: who reads counts what comes out, as of any other body.

    Args:
      pieces: as they arrive.
      coding: one of CODINGS.
    """

    def __init__(self, pieces: AsyncIterator[bytes], coding: str) -> None:
        self._pieces = pieces
        self._inflater = zlib.decompressobj(_WBITS[coding])
        self._rest = b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._inflater.eof:
                raise StopAsyncIteration
            data = self._rest or await self._next_piece()
            try:
                out = self._inflater.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise ProtocolBroken("a compressed body that cannot be inflated") from error
            self._rest = self._inflater.unconsumed_tail
            await trio.lowlevel.checkpoint()
            if out:
                return out

    async def _next_piece(self) -> bytes:
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            raise ProtocolBroken("a compressed body that ends early") from None
