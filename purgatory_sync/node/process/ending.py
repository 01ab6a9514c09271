"""How signals end the process: softly, at once, or by leaving what does not end."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Final

import trio

from ...runtime.logger import get_logger
from ...settings import ListenerSettings

# Of the 10 s that a stop may take: what the engine has after the connections' grace, and what a
# cancelled task has that waits for a thread.
_ENGINE_STOP_SECS: Final = 2.0
_LAST_SECS: Final = 1.5

log = get_logger(__name__)


class SignalEnding:
    """The end of a node.

    Args:
      told: called at the first signal.

    Attributes:
      stop: set, the listeners accept no more.
      work: cancelled, everything ends at once.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self.stop = trio.Event()
        self.work = trio.CancelScope()

    async def obey(self, signals: AsyncIterator[int], times: ListenerSettings) -> None:
        """Stop at the first signal, cancel at the second or after the grace, then leave."""
        number = await anext(signals)
        log.info("stopping", signal=signal.Signals(number).name)
        self._told()
        with trio.move_on_after(times.shutdown_delay_secs) as delay:
            await anext(signals)
        self.stop.set()
        if delay.cancelled_caught:
            with trio.move_on_after(times.shutdown_grace_secs + _ENGINE_STOP_SECS):
                await anext(signals)
        self.work.cancel()
        await trio.sleep(_LAST_SECS)
        log.error("a thread does not end: leaving it behind")
        os._exit(1)
