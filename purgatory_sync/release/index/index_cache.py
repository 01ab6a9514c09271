"""What is served under the identifiers that were asked for last; bounded by what it weighs."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from ...nostr.announcement import Announcement
from ...nostr.state import State

MOST_IDENTIFIERS = 20_000
# A value in a tag takes some 200 bytes once it is parsed; a state may have 40,000 of them.
MOST_VALUES = 600_000


@attrs.frozen
class Served:
    """The served announcements of an identifier, each with whether it is hosted, and states."""

    announcements: tuple[tuple[Announcement, bool], ...]
    states: tuple[State, ...]

    @property
    def values(self) -> int:
        """How many values its tags have: what it weighs in memory."""
        events = (*(a.event for a, _ in self.announcements), *(s.event for s in self.states))
        return sum(len(tag) for event in events for tag in event.tags)

    def holds(self, event_ids: frozenset[str]) -> bool:
        """Whether any of the events is among them."""
        return any(a.event.id in event_ids for a, _ in self.announcements) or any(
            s.event.id in event_ids for s in self.states
        )


@attrs.define(eq=False)
class Remembered:
    """By identifier; what was not asked for longest is forgotten first."""

    values: int = 0
    _served: OrderedDict[str, Served] = attrs.field(factory=OrderedDict)

    def get(self, identifier: str) -> Served | None:
        """What is remembered of the identifier, or None."""
        if (served := self._served.get(identifier)) is not None:
            self._served.move_to_end(identifier)
        return served

    def put(self, identifier: str, served: Served) -> None:
        """Remember it while there is room."""
        self.drop(identifier)
        self._served[identifier] = served
        self.values += served.values
        while len(self._served) > MOST_IDENTIFIERS or self.values > MOST_VALUES:
            self.drop(next(iter(self._served)))

    def drop(self, identifier: str) -> None:
        """Forget it; nothing happens when it is not remembered."""
        if (served := self._served.pop(identifier, None)) is not None:
            self.values -= served.values

    def drop_holding(self, event_ids: frozenset[str]) -> None:
        """Forget every identifier under which any of the events is remembered."""
        for identifier in [i for i, s in self._served.items() if s.holds(event_ids)]:
            self.drop(identifier)
