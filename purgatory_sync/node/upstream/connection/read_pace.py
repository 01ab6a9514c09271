"""How fast one relay may make us work, and how long we kept it waiting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ....runtime.sliding_window import SlidingWindow

MESSAGES_PER_SEC = 1_000.0
BURST = 5_000


class ReadPace:
    """Delays the reader when a relay sends more than a burst, or more than a steady flow.

    In any `burst / per_sec` seconds at most one burst is read.

    Args:
      per_sec: messages a second in the long run.
      burst: messages that may come at once.
    """

    def __init__(self, per_sec: float = MESSAGES_PER_SEC, burst: int = BURST) -> None:
        self._window = SlidingWindow(burst, burst / per_sec)
        self._held_up_secs = 0.0
        self._held_up_since: float | None = None

    async def message(self) -> None:
        """Count one message; sleep first while the window is full. Cancelled, it is not counted."""
        if (due := self._window.next_at(now := trio.current_time())) > now:
            await trio.sleep_until(due)
        self._window.count(trio.current_time())

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Within this block nothing is read, and that is not the relay's silence."""
        self._held_up_since = trio.current_time()
        try:
            yield
        finally:
            self._held_up_secs += trio.current_time() - self._held_up_since
            self._held_up_since = None

    def reading_time(self) -> float:
        """Seconds on a clock that stands still while the reader is held up."""
        now = trio.current_time()
        since = self._held_up_since
        return now - self._held_up_secs - (0.0 if since is None else now - since)
