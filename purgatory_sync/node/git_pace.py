"""How fast a client takes a clone: one that is slow must not keep git from others for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from .exchange import Exchange
from .wire import Gone

JUDGED_SECS: Final = 30.0


@attrs.define
class Pace:
    """Writes an answer, and drops a client that takes it too slowly while others wait for git.

    Only the time in which the client lets us wait counts, never what git needs itself. A client
    that takes nothing at all is dropped by the listener.

    Attributes:
      least: bytes a second, on average over each 30 s of waiting.
      others_wait: whether somebody waits for this one's place.
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
        self._secs += trio.current_time() - start
        self._bytes += len(data)
        if self._secs >= JUDGED_SECS:
            pace = self._bytes / self._secs
            if pace < self.least and self.others_wait():
                raise Gone(f"takes {pace:.0f} bytes a second while others wait for git")
            self._secs, self._bytes = 0.0, 0
