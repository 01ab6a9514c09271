"""Signed calls that were taken lately: none is taken twice (NIP-98)."""

from __future__ import annotations

from collections import deque
from typing import Final

# A call may be signed a minute ahead, and is good for a minute after its time.
REMEMBERED_SECS: Final = 120.0


class Replays:
    """Remembers ids for REMEMBERED_SECS; as many as calls are taken in that time."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._times: deque[tuple[float, str]] = deque()

    def take(self, event_id: str, now: float) -> bool:
        """Remember an id; False when it was taken already.

        Args:
          now: seconds of a clock that never goes back.
        """
        while self._times and self._times[0][0] + REMEMBERED_SECS < now:
            self._ids.discard(self._times.popleft()[1])
        if event_id in self._ids:
            return False
        self._ids.add(event_id)
        self._times.append((now, event_id))
        return True
