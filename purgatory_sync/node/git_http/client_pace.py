"""How fast a client takes a clone or sends a push: a slow one must not keep others from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from ..http.exchange import Exchange
from ..http.server_stream import Gone
from .request_body import GitBody

JUDGED_SECS: Final = 30.0


@attrs.define
class ClientPace:
    """Drops a client that takes or sends too slowly while others wait for its place.

    Only the time in which the client lets us wait counts, never what git needs itself. A client
    that moves nothing at all is dropped by the listener.

    Attributes:
      least: bytes a second, on average over each 30 s of waiting.
      others_wait: whether another client waits for this one's place.
    """

    least: int
    others_wait: Callable[[], bool]
    _bytes: int = attrs.field(default=0, init=False)
    _secs: float = attrs.field(default=0.0, init=False)

    async def write(self, exchange: Exchange, data: bytes) -> None:
        """Send a piece of the answer.

        Raises:
          Gone: the client left, or is too slow.
        """
        start = trio.current_time()
        await exchange.write(data)
        self._count(trio.current_time() - start, len(data))

    async def read(self, body: GitBody) -> bytes:
        """The next piece of the body; see `GitBody.read`.

        Raises:
          Gone: the client left, or is too slow.
        """
        start, sent = trio.current_time(), body.sent
        piece = await body.read()
        self._count(trio.current_time() - start, body.sent - sent)
        return piece

    def _count(self, secs: float, size: int) -> None:
        self._secs += secs
        self._bytes += size
        if self._secs >= JUDGED_SECS:
            pace = self._bytes / self._secs
            if pace < self.least and self.others_wait():
                raise Gone(f"moves {pace:.0f} bytes a second while others wait")
            self._secs, self._bytes = 0.0, 0
