"""How often something may happen in any stretch of time."""

from __future__ import annotations

from collections import deque


class SlidingRate:
    """At most so many in any window, not only on average.

    Args:
      most: in one window; 0: any number.
      window: seconds.
    """

    def __init__(self, most: int, window: float) -> None:
        self._window = window
        self._times: deque[float] | None = deque(maxlen=most) if most else None

    def wait_secs(self, now: float) -> float:
        """Count one that happens now and return 0, or the seconds until one more may.

        What may not happen is not counted.

        Args:
          now: seconds of a clock that never goes back.
        """
        times = self._times
        if times is None:
            return 0.0
        if len(times) == times.maxlen and (wait := times[0] + self._window - now) > 0:
            return wait
        times.append(now)
        return 0.0
