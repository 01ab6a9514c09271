"""Signs of life for the client of a push that is being judged (git's receive.keepAlive)."""

from __future__ import annotations

from typing import Final

import trio

from ...git.protocol.pktline import pkt_line
from ..http.exchange import Exchange
from ..http.server_stream import Gone, Headers

EMPTY_PACKET: Final = pkt_line(b"\1")
"""Side-band 1 without a payload: clients skip it, and proxies see that something comes."""


class KeepAlive:
    """Begins the answer when judging takes long, and says again and again that it goes on.

    A quick push is answered in one piece: nothing is sent before the first interval has passed.

    Args:
      exchange: whose answer it is.
      headers: of the answer.
      secs: between two signs of life; 0 gives none.
    """

    def __init__(self, exchange: Exchange, headers: Headers, secs: float) -> None:
        self._exchange = exchange
        self._headers = headers
        self._secs = secs
        self._may_begin = trio.Event()
        self._over = trio.Event()
        self.begun = False

    def begin(self, *, side_band: bool) -> None:
        """The request was read to its end; signs of life need a side-band."""
        if side_band and self._secs:
            self._may_begin.set()

    def end(self) -> None:
        """Judging is over."""
        self._over.set()
        self._may_begin.set()

    async def run(self) -> None:
        """Give signs of life until the end; a client that left gets no more, and is no error."""
        await self._may_begin.wait()
        try:
            while not await self._is_over():
                await self._begin_answer()
                await self._exchange.write(EMPTY_PACKET)
        except Gone:
            return

    async def finish(self, answer: bytes) -> None:
        """Send the answer itself, once `run` has returned.

        Raises:
          Gone: the client left.
        """
        await self._begin_answer()
        await self._exchange.write(answer)

    async def _is_over(self) -> bool:
        with trio.move_on_after(self._secs):
            await self._over.wait()
        return self._over.is_set()

    async def _begin_answer(self) -> None:
        if not self.begun:
            self.begun = True
            await self._exchange.start(200, self._headers)
