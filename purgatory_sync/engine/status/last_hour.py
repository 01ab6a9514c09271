"""Counters of the last hour, from totals that others count; pure in `now`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import attrs

from .models import HourCounters

HOUR_SECS = 3600.0
STEP_SECS = 60.0


@attrs.define(eq=False)
class LastHour:
    """Keeps the totals of each minute, so that counting costs nothing where it happens.

    Attributes:
      started_at: Unix seconds at which all totals were zero.
    """

    started_at: float
    _noted: deque[tuple[float, dict[str, int]]] = attrs.field(factory=deque)

    def __attrs_post_init__(self) -> None:
        self._noted.append((self.started_at, {}))

    def note(self, now: float, totals: Mapping[str, int]) -> None:
        """Remember the totals of this moment; to be called every `STEP_SECS`."""
        # Where the clock was set back, what is ahead of it would stay.
        self._noted = deque((min(at, now), noted) for at, noted in self._noted)
        self._noted.append((now, dict(totals)))
        # One that is an hour old is kept, for it is what the others are compared with.
        while len(self._noted) > 1 and self._noted[1][0] <= now - HOUR_SECS:
            self._noted.popleft()

    def look(self, now: float, totals: Mapping[str, int]) -> HourCounters:
        """What was counted since an hour (to a minute) before `now`; zeros are left out."""
        then, before = self._noted[0]
        for at, noted in self._noted:
            if at > now - HOUR_SECS:
                break
            then, before = at, noted
        grown = {name: total - before.get(name, 0) for name, total in sorted(totals.items())}
        return HourCounters(then, {name: more for name, more in grown.items() if more})
