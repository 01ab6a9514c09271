"""How much is held, in events and in bytes, in all and of each author (B 1.9)."""

from __future__ import annotations

import attrs

from ..nostr.event import Event, encode_event


@attrs.frozen
class Load:
    """So many events, and the bytes of their JSON."""

    events: int = 0
    size: int = 0


NOTHING = Load()


@attrs.define(eq=False)
class Capacity:
    """What is held in all and of each author; an event counts once.

    It counts from the first `take`, which comes before it is journaled, so that what is offered
    at the same moment sees it, until it is given back.
    """

    total: Load = NOTHING
    _of_author: dict[str, Load] = attrs.field(factory=dict)
    _sizes: dict[str, int] = attrs.field(factory=dict)

    def take(self, event: Event) -> None:
        """One more is held, or will be at once."""
        if event.id in self._sizes:
            return
        size = self._sizes[event.id] = len(encode_event(event))
        self._change(event.pubkey, 1, size)

    def give_back(self, event: Event) -> None:
        """It is held no longer."""
        size = self._sizes.pop(event.id, None)
        if size is not None:
            self._change(event.pubkey, -1, -size)

    def of_author(self, author: str) -> Load:
        """What is held of one author."""
        return self._of_author.get(author, NOTHING)

    def _change(self, author: str, events: int, size: int) -> None:
        mine, total = self.of_author(author), self.total
        self.total = Load(total.events + events, total.size + size)
        self._of_author[author] = mine = Load(mine.events + events, mine.size + size)
        if not mine.events:
            del self._of_author[author]
