"""What is served under the identifiers that were asked for last; bounded by what it weighs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs

from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import RepositoryData
from ...nostr.event import Event
from ...nostr.state import State
from ...runtime.bounded import Bounded

MOST_IDENTIFIERS = 20_000
# A value in a tag takes some 200 bytes once it is parsed; a state may have 40,000 of them.
MOST_VALUES = 600_000


@attrs.frozen
class Served:
    """The served announcements of an identifier, each with whether it is hosted, and states.

    Attributes:
      fresh: nothing changed since it was read; otherwise it only keeps from reading twice what is
        served still.
      gathered: what was made of it together with what is held, by the numbers of that state.
      ruled: which state rules whose repository, with the announcements by which it does.
    """

    announcements: tuple[tuple[Announcement, bool], ...]
    states: tuple[State, ...]
    fresh: bool = True
    gathered: dict[tuple[int, int], RepositoryData] = attrs.field(
        factory=dict, init=False, eq=False, repr=False
    )
    ruled: list[tuple[RepositoryData, Mapping[str, State]]] = attrs.field(
        factory=list, init=False, eq=False, repr=False
    )

    @property
    def events(self) -> tuple[Event, ...]:
        """All of them as they are."""
        return (*(a.event for a, _ in self.announcements), *(s.event for s in self.states))

    @cached_property
    def values(self) -> int:
        """How many values its tags have: what it weighs in memory."""
        return sum(sum(map(len, event.tags)) for event in self.events)


@attrs.define(eq=False)
class IndexCache:
    """By identifier; what was not asked for longest is forgotten first.

    A deletion asks for the identifiers of its events, not for all that are remembered.
    """

    _served: Bounded[str, Served] = attrs.field(
        factory=lambda: Bounded(
            MOST_IDENTIFIERS,
            weigh=lambda served: served.values,
            most_weight=MOST_VALUES,
            by_use=True,
        )
    )

    _of: dict[str, str] = attrs.field(factory=dict)

    @property
    def values(self) -> int:
        """How many values the tags of all of them have."""
        return self._served.weight

    def get(self, identifier: str) -> Served | None:
        """What is remembered of the identifier and true still, or None."""
        served = self._served.get(identifier)
        return served if served is not None and served.fresh else None

    def put(self, identifier: str, served: Served) -> None:
        """Remember it while there is room."""
        if (before := self._served.get(identifier)) is not None:
            self._unlist(before)
        self._of.update(dict.fromkeys((event.id for event in served.events), identifier))
        for _, gone in self._served.put(identifier, served):
            self._unlist(gone)

    def changed(self, identifier: str) -> None:
        """Something of the identifier is about to be served; it is to be read anew."""
        if (served := self._served.get(identifier)) is not None:
            self._served.replace(identifier, attrs.evolve(served, fresh=False))

    def ended(self, event_ids: frozenset[str]) -> None:
        """Some events are served no longer: what knew any of them is to be read anew."""
        for identifier in {self._of[each] for each in event_ids if each in self._of}:
            self.changed(identifier)

    def _unlist(self, served: Served) -> None:
        for event in served.events:
            self._of.pop(event.id, None)
