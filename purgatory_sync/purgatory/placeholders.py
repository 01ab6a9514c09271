"""Commits that were pushed before their pull request's event (B 4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs


@attrs.frozen
class HeldPlaceholder:
    """A `refs/nostr/<event id>` in the owner's repository, whose event has not come yet.

    Attributes:
      at: Unix seconds of the push.
    """

    owner: str
    identifier: str
    event_id: str
    oid: str
    at: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one: the same id may wait in several repositories."""
        return self.owner, self.identifier, self.event_id


@attrs.define(eq=False)
class Placeholders:
    """All placeholders, found by key or by event."""

    _by_event: dict[str, dict[tuple[str, str, str], HeldPlaceholder]] = attrs.field(factory=dict)
    _counts: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def __len__(self) -> int:
        return self._counts.total()

    def __iter__(self) -> Iterator[HeldPlaceholder]:
        for group in self._by_event.values():
            yield from group.values()

    def add(self, placeholder: HeldPlaceholder) -> HeldPlaceholder:
        """Keep it; the one that is there already stays as it is (nobody overwrites another)."""
        group = self._by_event.setdefault(placeholder.event_id, {})
        if placeholder.key not in group:
            self._counts[placeholder.owner, placeholder.identifier] += 1
        return group.setdefault(placeholder.key, placeholder)

    def count(self, owner: str, identifier: str) -> int:
        """How many wait in one repository."""
        return self._counts[owner, identifier]

    def get(self, owner: str, identifier: str, event_id: str) -> HeldPlaceholder | None:
        """The placeholder of that repository and id, or None."""
        return self._by_event.get(event_id, {}).get((owner, identifier, event_id))

    def of_event(self, event_id: str) -> tuple[HeldPlaceholder, ...]:
        """The placeholders in all repositories that wait for the event."""
        return tuple(self._by_event.get(event_id, {}).values())

    def remove(self, placeholder: HeldPlaceholder) -> None:
        """Forget it; nothing happens when it is gone."""
        group = self._by_event.get(placeholder.event_id, {})
        if group.pop(placeholder.key, None) is not None:
            repository = placeholder.owner, placeholder.identifier
            self._counts[repository] -= 1
            if not self._counts[repository]:
                del self._counts[repository]
        if not group:
            self._by_event.pop(placeholder.event_id, None)
