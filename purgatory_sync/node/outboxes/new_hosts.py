"""How often a host is dialled that was never dialled before: strangers name them; no I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from ...runtime.bounded import Bounded
from ...runtime.sliding_window import SlidingWindow
from .choosing import Named
from .relay_lists import Rank

HOUR, MINUTE = 3600.0, 60.0
NEW_AN_HOUR, NEW_A_MINUTE, NEW_OF_AUTHOR = 20, 4, 2
MAX_REMEMBERED: Final = 20_000


@attrs.define(eq=False)
class NewHosts:
    """The budget of first dials: 20 an hour, 4 a minute, 2 an hour because of one stranger."""

    _known: Bounded[str, bool] = attrs.field(factory=lambda: Bounded(MAX_REMEMBERED), init=False)
    _of_hour: SlidingWindow = attrs.field(
        factory=lambda: SlidingWindow(NEW_AN_HOUR, HOUR), init=False
    )
    _of_minute: SlidingWindow = attrs.field(
        factory=lambda: SlidingWindow(NEW_A_MINUTE, MINUTE), init=False
    )
    _of_author: Bounded[str, SlidingWindow] = attrs.field(
        factory=lambda: Bounded(MAX_REMEMBERED), init=False
    )

    def may_dial(self, host: str, by: Collection[Named], now: float) -> str | None:
        """Count a dial, unless it is one too many; why it is, in a word, else None.

        Args:
          by: who names a relay of the host; empty for those that the operator names.
          now: seconds of a clock that never goes back.
        """
        if host in self._known:
            return None
        if not self._of_hour.room(now) or not self._of_minute.room(now):
            return "host_rate"
        if by and all(each.rank is Rank.REPLY for each in by):
            own = next((w for each in by if (w := self._window(each.pubkey)).room(now)), None)
            if own is None:
                return "single_author"
            own.count(now)
        self._of_hour.count(now)
        self._of_minute.count(now)
        self._known.put(host, True)
        return None

    def _window(self, author: str) -> SlidingWindow:
        window = self._of_author.get(author)
        if window is None:
            window = SlidingWindow(NEW_OF_AUTHOR, HOUR)
            self._of_author.put(author, window)
        return window
