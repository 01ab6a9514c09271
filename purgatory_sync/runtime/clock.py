"""Wall-clock seconds that follow Trio's time, so that virtual time moves them too."""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs
import trio


def _never_set() -> float:
    return 0.0


@attrs.frozen
class WallClock:
    """An epoch taken once plus Trio's time since, plus what the system's clock was set by.

    Trio's time stands still while the machine sleeps, and knows nothing of a clock that was wrong
    at the start and is set right by the network: without the third part a node would call every
    event that comes afterwards one from the future (B 1.7).
    """

    _epoch: float
    _set_by: Callable[[], float] = _never_set

    @classmethod
    def from_system(cls) -> WallClock:
        """The system's wall clock; call it inside a running Trio loop."""
        return cls(time.time() - trio.current_time(), _watch_system())

    @property
    def epoch(self) -> float:
        """Unix seconds at the moment of Trio's time zero, as the clock stands now."""
        return self._epoch + self._set_by()

    def now(self) -> float:
        """Unix seconds now."""
        return self.epoch + trio.current_time()

    def to_trio(self, wall: float) -> float:
        """The moment of Trio's clock at which this clock shows `wall`."""
        return wall - self.epoch


def _watch_system() -> Callable[[], float]:
    """Whole seconds by which the system's clock ran away from the time that passed here."""
    offset = time.time() - time.monotonic()
    return lambda: float(round(time.time() - time.monotonic() - offset))
