"""Whether a transfer is worth waiting for (B 8.5); pure in `now`, Trio's seconds."""

from __future__ import annotations

from collections import deque
from math import inf

import attrs


@attrs.define(eq=False)
class TransferProgress:
    """Bytes of pack over time, from the attempt's start to the end of the body.

    Of all arrivals only the newest are kept that together reach the floor of one window: when the
    oldest of them leaves the window and nothing new came, the transfer has become slow.

    Attributes:
      floor_bytes: fewer bytes than this within a window are too slow.
      patience_secs: beyond this age it counts as slow, however fast it is: it may go on, but does
        not keep the hunt from other sources.
      total: all bytes of pack so far.
    """

    started_at: float
    window_secs: float
    floor_bytes: float
    patience_secs: float = inf
    total: int = 0
    _ended: bool = False
    _kept: deque[tuple[float, int]] = attrs.field(factory=deque)
    _kept_bytes: int = 0

    def received(self, pack_bytes: int, now: float) -> None:
        """So many more bytes of pack are here."""
        self.total += pack_bytes
        self._kept.append((now, pack_bytes))
        self._kept_bytes += pack_bytes
        while self._kept_bytes - self._kept[0][1] >= self.floor_bytes:
            self._kept_bytes -= self._kept.popleft()[1]

    def ended(self) -> None:
        """The body is over: proof and joining never count as slow."""
        self._ended = True

    def slow_at(self) -> float:
        """From when on it is too slow if nothing more comes; infinite once the body has ended."""
        if self._ended:
            return inf
        too_old = self.started_at + self.patience_secs
        if self.floor_bytes <= 0:
            return too_old
        enough = self._kept_bytes >= self.floor_bytes
        since = max(self._kept[0][0], self.started_at) if enough else self.started_at
        return min(since + self.window_secs, too_old)

    def is_slow(self, now: float) -> bool:
        """Whether less than the floor came within the last window, or it takes too long."""
        return now >= self.slow_at()
