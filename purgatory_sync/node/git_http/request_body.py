"""The body of a git request, inflated where it is gzip, bounded before and after."""

from __future__ import annotations

import zlib

import attrs

from ..http.exchange import Exchange
from ..http.server_stream import PIECE_BYTES

_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class RefusedRequest(Exception):
    """A request that is answered with an error status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class RefusedMethod(RefusedRequest):
    """A request whose path takes other methods: these."""

    def __init__(self, allowed: str, sentence: str) -> None:
        super().__init__(405, sentence)
        self.allowed = allowed


@attrs.define
class GitBody:
    """Reads a body piece by piece; never holds more than a piece.

    Args:
      exchange: whose body it is; its Content-Encoding is judged at once (415).
      max_bytes: most bytes as sent, and most bytes inflated.

    Attributes:
      sent: bytes that were read so far, as they were sent.
    """

    _exchange: Exchange
    _max_bytes: int
    sent: int = attrs.field(default=0, init=False)
    _inflated: int = attrs.field(default=0, init=False)
    _inflate: zlib._Decompress | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        coding = self._exchange.headers.get("content-encoding", "identity").lower()
        if coding in ("gzip", "x-gzip"):
            self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        elif coding != "identity":
            raise RefusedRequest(415, "send the body as it is or as gzip")

    async def read(self) -> bytes:
        """The next piece, at most 64 KiB when it was inflated; empty at the end.

        Raises:
          RefusedRequest: too many bytes (413), or gzip that is damaged (400).
          Gone: the peer left or stalled.
        """
        if self._inflate is None:
            return await self._read_raw()
        while not self._inflate.eof:
            raw = self._inflate.unconsumed_tail or await self._read_raw()
            try:
                piece = self._inflate.decompress(raw, PIECE_BYTES)
            except zlib.error as error:
                raise RefusedRequest(400, "the body is no gzip") from error
            self._inflated += len(piece)
            self._judge(self._inflated)
            if piece:
                return piece
            if not raw:
                raise RefusedRequest(400, "the body's gzip is cut short")
        if self._inflate.unused_data or await self._read_raw():
            raise RefusedRequest(400, "bytes after the body's gzip")
        return b""

    async def skip(self, max_bytes: int) -> None:
        """Read on, to the end or at most so many bytes, and forget it; nothing is inflated.

        Raises:
          Gone: the peer left or stalled.
        """
        end = self.sent + max_bytes
        while self.sent < end and (piece := await self._exchange.read()):
            self.sent += len(piece)

    async def _read_raw(self) -> bytes:
        piece = await self._exchange.read()
        self.sent += len(piece)
        self._judge(self.sent)
        return piece

    def _judge(self, size: int) -> None:
        if size > self._max_bytes:
            raise RefusedRequest(413, f"the request has more than {self._max_bytes} bytes")
