"""What is counted since the start, and who is told of what becomes served."""

from __future__ import annotations

from collections import Counter
from inspect import isawaitable

import attrs

from ..hunt.manager import ThrottleManager
from ..nostr import kinds
from ..nostr.event import Event
from ..release.commit import Notify
from ..runtime.clock import WallClock
from .status.served_recently import ServedRecently

RELEASED_KINDS = {
    kinds.ANNOUNCEMENT: "announcement",
    kinds.STATE: "state",
    **dict.fromkeys(sorted(kinds.PR_KINDS), "pr"),
}


@attrs.frozen
class Counts:
    """Events since the start: released ones by kind, offered ones by outcome.

    Attributes:
      private: refused announcements of private repositories, by outcome (B 2.10).
      outsiders: refused states by what their authors are who are no members (B 3.1).
    """

    released: Counter[str] = attrs.field(factory=Counter)
    offered: Counter[str] = attrs.field(factory=Counter)
    outsiders: Counter[str] = attrs.field(factory=Counter)
    private: Counter[str] = attrs.field(factory=Counter)

    def totals(self, throttles: ThrottleManager) -> dict[str, int]:
        """All that is counted, by the names of `HourCounters.counts`."""
        attempts = throttles.attempts.items()
        return {
            **{f"attempts.{result.value}": count for result, count in attempts},
            **{f"released.{kind}": count for kind, count in self.released.items()},
            **{f"offered.{outcome}": count for outcome, count in self.offered.items()},
            "oids_fetched": throttles.oids_fetched,
        }


@attrs.frozen
class Telling:
    """Counts what becomes served and tells the embedder."""

    notify: Notify
    counts: Counts
    served: ServedRecently
    clock: WallClock

    async def __call__(self, event: Event) -> None:
        """An event is served now."""
        if (kind := RELEASED_KINDS.get(event.kind)) is not None:
            self.counts.released[kind] += 1
        self.served.note(event.id, self.clock.now())
        if isawaitable(told := self.notify(event)):
            await told
