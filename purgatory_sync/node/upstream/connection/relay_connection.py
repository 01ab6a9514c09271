"""One connection to one relay, as everything that talks over it sees it."""

from __future__ import annotations

import math
from typing import Final

import attrs
import trio
from websockets.exceptions import ConnectionClosed

from ....runtime.logger import Log
from ...frames.frame_pump import FramePump
from ..state.relay_health import MAX_REASON_CHARS, Ending, Trouble
from ..state.relay_limits import MAX_COOLDOWN_SECS
from ..state.shared import Common, Record
from .misbehaviour import Patience, Wrong
from .read_pace import ReadPace

_OVER: Final = Ending(Trouble.CLOSED, "ended")


@attrs.define(eq=False)
class Line:
    """One connection: what is sent, what is suffered, and how it ends.

    Attributes:
      socket: open; its owner closes it.
      scope: everything that happens over the connection happens within it.
      ending: why it ended, or would if it ended now.
    """

    socket: FramePump
    record: Record
    common: Common
    log: Log
    pace: ReadPace
    patience: Patience = attrs.field(factory=Patience)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ending: Ending = _OVER
    _turns: trio.Lock = attrs.field(factory=trio.Lock)
    _asked_at: float = attrs.field(factory=lambda: -math.inf)

    async def turn(self) -> None:
        """Wait until the relay may be asked a question: while it rests, and for its pace."""
        limits, clock = self.record.limits, self.common.clock
        async with self._turns:
            while True:
                rest = min(limits.rests_until - clock.now(), MAX_COOLDOWN_SECS)
                wait = max(rest, self._asked_at + limits.pace_secs - trio.current_time())
                if wait <= 0:
                    break
                await trio.sleep(wait)
            self._asked_at = trio.current_time()

    def limited(self, reason: str) -> None:
        """The relay says that we ask too much: it rests as a whole."""
        self.record.limits.limited(self.common.clock.now())
        self.complain(Trouble.RATE_LIMITED, reason)

    async def send(self, message: str) -> None:
        """Send a message; on a connection that is closed it waits for the end of everything."""
        try:
            await self.socket.send(message.encode())
        except ConnectionClosed:
            # The reader notices too, and ends all tasks of the session.
            await trio.sleep_forever()

    def end(self, trouble: Trouble, reason: str) -> None:
        """End everything that happens over the connection; the first reason counts."""
        if not self.scope.cancel_called:
            self.ending = Ending(trouble, reason[:MAX_REASON_CHARS])
            self.scope.cancel()

    def complain(self, trouble: Trouble, reason: str) -> None:
        """Let the operator know what does not work while the connection stands."""
        ending = Ending(trouble, reason[:MAX_REASON_CHARS])
        self.record.health.complain(ending, self.common.clock.now())

    def wrong(self, wrong: Wrong, times: int = 1) -> bool:
        """The relay did something wrong; whether it is left because that was once too often."""
        too_often = times > 0 and self.patience.ends(wrong, times)
        if too_often:
            self.end(Trouble.MISBEHAVED, f"it {wrong}")
        return too_often
