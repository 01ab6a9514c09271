"""Expired states and pull requests whose data is looked for again every hour (B 8.12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs

from ..nostr.event import Event, decode_event, encode_event

AUTHORS_SHARE = 8
"""One author may have an eighth of the room."""


@attrs.frozen
class Kept:
    """One event, whole.

    Attributes:
      address: of a state, what a newer one of its author replaces; None for a pull request.
      order: by which of two states the newer one is known (B 1.6).
      since: Unix seconds of its first end.
      due: Unix seconds at which its sources are asked again.
      json: the event as it is stored, which takes less memory than an `Event`.
    """

    event_id: str
    author: str
    identifiers: tuple[str, ...]
    address: tuple[int, str, str] | None
    order: tuple[int, str]
    since: float
    due: float
    json: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, event: Event, identifiers: tuple[str, ...], since: float, due: float) -> Kept:
        """Keep an event with the identifiers under which it waited; times in Unix seconds."""
        json = encode_event(event)
        address, order = event.address, event.order
        return cls(event.id, event.pubkey, identifiers, address, order, since, due, json)

    @property
    def event(self) -> Event:
        """The event itself."""
        return decode_event(self.json)


@attrs.define(eq=False)
class Overdue:
    """What is kept, within so many bytes; one that is held again meanwhile stays here.

    Attributes:
      max_bytes: of the JSON of all.
      retry_secs: seconds between two rounds of one event's sources.
    """

    max_bytes: int
    retry_secs: float
    _kept: dict[str, Kept] = attrs.field(factory=dict)
    _by_author: dict[str, dict[str, Kept]] = attrs.field(factory=dict)
    _by_identifier: dict[str, dict[str, Kept]] = attrs.field(factory=dict)
    _size: int = 0
    _size_of: Counter[str] = attrs.field(factory=Counter)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._kept

    def get(self, event_id: str) -> Kept | None:
        """What is kept under the id, or None."""
        return self._kept.get(event_id)

    def has_room_for(self, new: Kept) -> bool:
        """Whether it is kept already or fits in, in all and beside its author's others."""
        size = len(new.json)
        return new.event_id in self._kept or (
            self._size + size <= self.max_bytes
            and self._size_of[new.author] + size <= self.max_bytes // AUTHORS_SHARE
        )

    def older_than(self, new: Kept) -> tuple[str, ...]:
        """The ids of states that it replaces: the newest of its author alone is looked for."""
        return tuple(each.event_id for each in self._versions(new) if each.order < new.order)

    def is_outdated(self, new: Kept) -> bool:
        """Whether a newer state of its author is kept."""
        return any(each.order > new.order for each in self._versions(new))

    def add(self, new: Kept) -> None:
        """Keep it; the caller asked whether there is room."""
        self.forget(new.event_id)
        self._kept[new.event_id] = new
        self._by_author.setdefault(new.author, {})[new.event_id] = new
        for identifier in new.identifiers:
            self._by_identifier.setdefault(identifier, {})[new.event_id] = new
        self._size += len(new.json)
        self._size_of[new.author] += len(new.json)

    def forget(self, *event_ids: str) -> None:
        """Let go what is served, deleted or given up; nothing happens for what is not kept."""
        for event_id in event_ids:
            if (kept := self._kept.pop(event_id, None)) is None:
                continue
            _drop(self._by_author, kept.author, event_id)
            for identifier in kept.identifiers:
                _drop(self._by_identifier, identifier, event_id)
            self._size -= len(kept.json)
            self._size_of[kept.author] -= len(kept.json)
            if not self._size_of[kept.author]:
                del self._size_of[kept.author]

    def due(self, now: float, most: int) -> tuple[Kept, ...]:
        """Those whose sources are to be asked again, longest due first; `now` in Unix seconds."""
        found = sorted((k for k in self._kept.values() if k.due <= now), key=lambda k: k.due)
        return tuple(found[:most])

    def postpone(self, event_id: str, now: float) -> None:
        """Its sources were asked, or it could not be held: the next round is an hour away."""
        if (kept := self._kept.get(event_id)) is not None:
            self.add(attrs.evolve(kept, due=now + self.retry_secs))

    def hasten(self, identifier: str, now: float) -> None:
        """Something came that may help all of an identifier: they are due now."""
        for kept in self.of_identifier(identifier):
            self.add(attrs.evolve(kept, due=min(kept.due, now)))

    def of_author(self, author: str) -> tuple[Kept, ...]:
        """All that one author signed."""
        return tuple(self._by_author.get(author, {}).values())

    def of_identifier(self, identifier: str) -> tuple[Kept, ...]:
        """All that waited under an identifier."""
        return tuple(self._by_identifier.get(identifier, {}).values())

    def clamp_timestamps(self, now: float) -> None:
        """Let none have ended later than `now`, nor be due later than in an hour (B 9)."""
        for kept in tuple(self._kept.values()):
            due = min(kept.due, now + self.retry_secs)
            self.add(attrs.evolve(kept, since=min(kept.since, now), due=due))

    def _versions(self, new: Kept) -> Iterator[Kept]:
        if new.address is not None:
            for each in self._by_author.get(new.author, {}).values():
                if each.address == new.address and each.event_id != new.event_id:
                    yield each


def _drop(groups: dict[str, dict[str, Kept]], name: str, event_id: str) -> None:
    group = groups[name]
    del group[event_id]
    if not group:
        del groups[name]
