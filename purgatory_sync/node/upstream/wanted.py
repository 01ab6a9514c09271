"""What by-reference filters carry: coordinates and root ids of what is here (B 10.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import trio

from ...errors import InvalidEvent
from ...nostr import kinds
from ...nostr.announcement import Announcement
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.pull_request import Coordinate
from ...policy.references import ALWAYS_ACCEPTED, references_of
from ...policy.verdict import address_text

MAX_VALUES = 1_000
# Relays close connections over frames that are too long for them, often 128 KiB; three filters
# with the same values go into one.
MAX_CHARS = 36 * 1024
MAX_MAINTAINERS = 64
# Anybody may announce: what is announced must not fill memory, nor relays with our REQs.
MAX_WANTED = 500_000

EVERYTHING = (
    Filter(kinds=frozenset({kinds.ANNOUNCEMENT})),
    Filter(kinds=frozenset({kinds.STATE})),
)


class Values:
    """Values in the order in which they came, in batches of which only the last one grows.

    Args:
      letters: the tags that may hold such a value.
      limit: how many are taken; further ones are not asked for.
    """

    def __init__(self, letters: str, limit: int = MAX_WANTED) -> None:
        self.letters = letters
        self._limit = limit
        self._all: dict[str, None] = {}
        self._order: list[str] = []

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, value: str) -> bool:
        return value in self._all

    def add(self, values: Iterable[str]) -> bool:
        """Take new values; whether there were any."""
        before = len(self._order)
        for value in values:
            if value not in self._all and len(self._order) < self._limit:
                self._all[value] = None
                self._order.append(value)
        return len(self._order) > before

    def between(self, start: int, end: int) -> Iterator[tuple[Filter, ...]]:
        """The filters of the values with these positions: one for each letter, batch by batch."""
        for batch in in_batches(self._order[start:end]):
            values = frozenset(batch)
            yield tuple(Filter(tags={letter: values}) for letter in self.letters)


def in_batches(values: Sequence[str]) -> Iterator[list[str]]:
    """Cut values so that no filter carries more than its limits; the same values, the same cuts."""
    batch: list[str] = []
    size = 0
    for value in values:
        if batch and (len(batch) >= MAX_VALUES or size + len(value) > MAX_CHARS):
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += len(value)
    if batch:
        yield batch


class Wanted:
    """Coordinates of announcements here and of what is served, ids of roots; only grows."""

    def __init__(self) -> None:
        self.coordinates = Values("aAq")
        self.roots = Values("eEq")
        self._grown = trio.Event()

    def announced(self, event: Event) -> None:
        """Want what refers to a repository: pull requests name any member of its set (B 4.1)."""
        try:
            announcement = Announcement.parse(event)
        except InvalidEvent:
            return
        members = (announcement.owner, *announcement.maintainers[:MAX_MAINTAINERS])
        self._add(self.coordinates, (str(Coordinate(m, announcement.identifier)) for m in members))

    def served(self, event: Event) -> None:
        """Want what refers to a served event.

        Replies name the root they belong to, so an event that names something wanted by id brings
        no filter value of its own.
        """
        if event.kind in ALWAYS_ACCEPTED or event.kind == kinds.ANNOUNCEMENT:
            return
        if (address := address_text(event)) is not None:
            self._add(self.coordinates, (address,))
            return
        ids, _ = references_of(event)
        if not any(each in self.roots for each in ids):
            self._add(self.roots, (event.id,))

    async def wait_beyond(self, coordinates: int, roots: int) -> None:
        """Return when there are more values than these numbers of them."""
        while len(self.coordinates) <= coordinates and len(self.roots) <= roots:
            await self._grown.wait()

    def _add(self, values: Values, new: Iterable[str]) -> None:
        if values.add(new):
            self._grown.set()
            self._grown = trio.Event()
