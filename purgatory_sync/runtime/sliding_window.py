"""How often something may happen in any stretch of time: the one count behind every rate."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf


class SlidingWindow:
    """At most so many in any window, not only on average; pure in `now`.

    A bucket that refills continuously would allow twice as many in one window. Each one counts from
    its own time until the window has passed. At most `most` times are kept, unless more are
    restored.

    Args:
      most: in one window, at least 1.
      secs: length of the window, seconds.
    """

    def __init__(self, most: int, secs: float) -> None:
        self._most = most
        self._secs = secs
        self._times: deque[float] = deque()

    def room(self, now: float, reserved: int = 0) -> int:
        """How many more may happen now.

        Args:
          now: seconds of a clock that never goes back.
          reserved: how many take up room although their time is not known yet.
        """
        times = self._times
        while times and times[0] + self._secs <= now:
            times.popleft()
        return max(0, self._most - reserved - len(times))

    def next_at(self, now: float, reserved: int = 0) -> float:
        """When one more may happen: `now`, or later; infinite if that depends on reserved ones."""
        if self.room(now, reserved):
            return now
        excess = reserved + len(self._times) - self._most
        return self._times[excess] + self._secs if excess < len(self._times) else inf

    def count(self, now: float) -> None:
        """One happens now; the caller has asked for room."""
        self._times.append(now)

    def counted(self, now: float) -> tuple[float, ...]:
        """The times of all that still count, oldest first."""
        self.room(now)
        return tuple(self._times)

    def restore(self, times: Iterable[float], now: float) -> None:
        """Count times of an earlier run, given in this run's time; those that are over are not."""
        still = (at for at in times if at + self._secs > now)
        self._times = deque(sorted((*self._times, *still)))
