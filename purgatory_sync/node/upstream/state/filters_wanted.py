"""What by-reference filters carry: coordinates and ids of what is here (B 10.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from weakref import WeakValueDictionary

import attrs
import trio

from ....errors import InvalidEvent
from ....nostr import kinds
from ....nostr.address import RepositoryId
from ....nostr.announcement import Announcement
from ....nostr.event import Event
from ....nostr.filters import Filter
from ....policy.rules.verdict import address_text

MAX_VALUES = 1_000
# Relays close connections over frames that are too long for them, often 128 KiB; three filters
# with the same values go into one.
MAX_CHARS = 36 * 1024
# Every key may announce: announcements must not fill memory, nor relays with our REQs.
MAX_WANTED = 500_000

EVERYTHING = (
    Filter(kinds=frozenset({kinds.ANNOUNCEMENT, kinds.USER_GRASP_LIST, kinds.VANISH})),
    Filter(kinds=frozenset({kinds.STATE})),
)


@attrs.define(eq=False)
class Value:
    """Something that events refer to.

    Attributes:
      number: from 0, in the order in which values came; none comes a second time.
      holders: how many events want it.
    """

    text: str
    number: int
    holders: int = 0


@attrs.frozen
class FilterBatch:
    """Values with numbers from `start` to before `end`: one filter for each letter."""

    start: int
    end: int
    filters: tuple[Filter, ...]


class Values:
    """Values in the order in which they came, in batches of which only the last one grows.

    Args:
      letters: the tags that may hold such a value.
      limit: how many are taken; further ones are not asked for.

    Attributes:
      end: the number of the next new value.
    """

    def __init__(self, letters: str, limit: int = MAX_WANTED) -> None:
        self.letters = letters
        self.end = 0
        self._limit = limit
        self._all: dict[str, Value] = {}
        # Every relay is asked for the same, and by each as long as it is connected.
        self._sets: WeakValueDictionary[tuple[int, int, int], frozenset[str]]
        self._sets = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __contains__(self, text: str) -> bool:
        return text in self._all

    def hold(self, texts: Iterable[str]) -> tuple[Value, ...]:
        """Want these once more; those for which there is room, to be released some time."""
        held = []
        for text in dict.fromkeys(texts):
            value = self._all.get(text)
            if value is None:
                if len(self._all) >= self._limit:
                    continue
                value = self._all[text] = Value(text, self.end)
                self.end += 1
            value.holders += 1
            held.append(value)
        return tuple(held)

    def release(self, held: Iterable[Value]) -> None:
        """Want these once less; a value that is wanted no more is gone."""
        for value in held:
            value.holders -= 1
            if not value.holders:
                del self._all[value.text]

    def between(self, start: int, end: int) -> Iterator[tuple[Filter, ...]]:
        """The filters of the values with these numbers, batch by batch."""
        return (batch.filters for batch in self.batches(start, end))

    def batches(
        self, start: int, end: int, most: int | None = None, chars: int | None = None
    ) -> Iterator[FilterBatch]:
        """The values with these numbers that are wanted still.

        Args:
          most, chars: how many values a filter may have, and characters of values.
        """
        # What is asked for is mostly what came last.
        latest = takewhile(lambda value: value.number >= start, reversed(self._all.values()))
        values = [value for value in latest if value.number < end][::-1]
        position = 0
        for texts in in_batches([value.text for value in values], most, chars):
            first, position = values[position].number, position + len(texts)
            until = values[position].number if position < len(values) else end
            # Values leave, but none comes in between: that many are always the same ones.
            name = first, values[position - 1].number, len(texts)
            wanted = self._sets.setdefault(name, frozenset(texts))
            filters = tuple(Filter(tags={letter: wanted}) for letter in self.letters)
            yield FilterBatch(start, until, filters)
            start = until


def in_batches(
    values: Sequence[str], most: int | None = None, chars: int | None = None
) -> Iterator[list[str]]:
    """Cut values so that no filter carries more than its limits; the same values, the same cuts."""
    most = MAX_VALUES if most is None else min(most, MAX_VALUES)
    chars = MAX_CHARS if chars is None else min(chars, MAX_CHARS)
    batch: list[str] = []
    size = 0
    for value in values:
        if batch and (len(batch) >= most or size + len(value) > chars):
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += len(value)
    if batch:
        yield batch


class Wanted:
    """Coordinates of announcements here and of what is served; ids of all that is here."""

    def __init__(self) -> None:
        self.coordinates = Values("aAq")
        self.ids = Values("eEq")
        self._held: dict[str, tuple[tuple[Value, ...], tuple[Value, ...]]] = {}
        self._left: dict[str, None] = {}
        self._grown = trio.Event()

    def came(self, event: Event) -> None:
        """Want what refers to an event that is held or served: replies, and deletion requests.

        A request to delete a request has no effect (NIP-09, NIP-62).
        """
        self._left.pop(event.id, None)
        if event.id in self._held or event.kind in (kinds.DELETION, kinds.VANISH):
            return
        before = self.coordinates.end, self.ids.end
        coordinates = self.coordinates.hold(_coordinates(event))
        if (ids := self.ids.hold((event.id,))) or coordinates:
            self._held[event.id] = coordinates, ids
        if (self.coordinates.end, self.ids.end) != before:
            self._grown.set()
            self._grown = trio.Event()

    def withdrawn(self, event_ids: Iterable[str]) -> bool:
        """Events left, and `forget` may forget what they wanted; whether there were any."""
        left = [each for each in event_ids if each in self._held]
        self._left |= dict.fromkeys(left)
        return bool(left)

    def forget(self) -> None:
        """Want no more what only events wanted that left.

        To be called a moment later: what replaces them mostly wants the same, which need not be
        asked for through all of history once more.
        """
        left, self._left = self._left, {}
        for event_id in left:
            coordinates, ids = self._held.pop(event_id)
            self.coordinates.release(coordinates)
            self.ids.release(ids)

    async def wait_beyond(self, coordinates: int, ids: int) -> None:
        """Return when there are values with these numbers, or higher ones."""
        while self.coordinates.end <= coordinates and self.ids.end <= ids:
            await self._grown.wait()


def _coordinates(event: Event) -> Iterable[str]:
    """By what coordinates others may refer to an event, or to its repository (B 4.1).

    Pull requests name the owner or a member; a key that an announcement names may become one.
    """
    if event.kind == kinds.ANNOUNCEMENT:
        try:
            announcement = Announcement.parse(event)
        except InvalidEvent:
            return ()
        members = (announcement.owner, *announcement.roles.named)
        return [str(RepositoryId(member, announcement.identifier)) for member in members]
    address = address_text(event)
    return () if address is None else (address,)
