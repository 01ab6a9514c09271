"""Wall-clock seconds that follow Trio's time, so that virtual time moves them too."""

from __future__ import annotations

import time

import attrs
import trio


@attrs.frozen
class WallClock:
    """An epoch taken once plus Trio's time since.

    Attributes:
      epoch: wall-clock seconds (Unix) at the moment of Trio's time zero.
    """

    epoch: float

    @classmethod
    def from_system(cls) -> WallClock:
        """The system's wall clock as it is now; call it inside a running Trio loop."""
        return cls(time.time() - trio.current_time())

    @classmethod
    def starting_at(cls, wall: float) -> WallClock:
        """A clock that shows `wall` (Unix seconds) now; for tests and simulations."""
        return cls(wall - trio.current_time())

    def now(self) -> float:
        """Unix seconds now."""
        return self.epoch + trio.current_time()

    def to_trio(self, wall: float) -> float:
        """The moment of Trio's clock at which this clock shows `wall`."""
        return wall - self.epoch
