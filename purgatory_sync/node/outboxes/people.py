"""Participants whose relays are known or looked for: at most 20,000; no I/O (B 15.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import attrs

from ...nostr.event import Event
from .choosing import Named
from .leaders import Leaders
from .relay_lists import Rank, RelayList
from .threads import Thread, Threads

MAX_PEOPLE: Final = 20_000
# So many make room at once, since finding the least needed looks at all.
MAKE_ROOM: Final = 500
SETTLED_SECS: Final = 86400.0
FOUND_SECS, FIRST_AGAIN_SECS, LAST_AGAIN_SECS = 86400.0, 300.0, 6 * 3600.0
BATCH, BATCH_OF_REPOSITORY = 100, 64


@attrs.define(eq=False)
class Person:
    """One participant; times in seconds of a clock that never goes back.

    Attributes:
      known_since: when something of it was first seen to be served.
      active_at: when the last of it was.
      relays: by its own relay list; None while none is known.
      list_id, list_order: of the event that says so.
      look_at: when its list is looked for again.
      failures: how often it was not found in a row.
      unlisted: whether an index relay answered that it knows no list.
      was_listed: whether a list of it was known before.
    """

    known_since: float
    active_at: float
    relays: RelayList | None = None
    list_id: str = ""
    list_order: tuple[int, str] = (0, "")
    look_at: float = 0.0
    failures: int = 0
    unlisted: bool = False
    was_listed: bool = False


@attrs.define(eq=False)
class People:
    """Knows who counts, and for how much.

    Attributes:
      blocked: whether the operator's lists refuse an author (B 5.1).
      fallback: relays for whom an index relay knows no list.
      stale: whether something changed that the choice of relays depends on.
    """

    threads: Threads
    leaders: Leaders
    blocked: Callable[[str], bool]
    fallback: tuple[str, ...] = ()
    most: int = MAX_PEOPLE
    stale: bool = True
    _all: dict[str, Person] = attrs.field(factory=dict, init=False)
    _lists: dict[str, str] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._all)

    def seen(self, key: str, now: float) -> bool:
        """Something of a key is served now; whether the key is a new one."""
        person = self._all.get(key)
        self.stale = True
        if person is not None:
            person.active_at = now
            return False
        if len(self._all) >= self.most:
            self._make_room()
        self._all[key] = Person(now, now)
        return True

    def gone(self, key: str) -> None:
        """Something of a key is no longer served."""
        if key not in self.leaders and next(self.threads.of(key), None) is None:
            person = self._all.pop(key, None)
            if person is not None:
                self._lists.pop(person.list_id, None)
        self.stale = True

    def first_time(self, key: str) -> bool:
        """Whether a list of a key is known for the first time; true once."""
        person = self._all.get(key)
        before = person is None or person.was_listed
        if person is not None:
            person.was_listed = True
        return not before

    def listed(self, event: Event, relays: RelayList) -> frozenset[str]:
        """Take a served relay list; which relays it names that the one before did not."""
        person = self._all.get(event.pubkey)
        if person is None or person.list_order >= event.order:
            return frozenset()
        self.stale = True
        before = person.relays or RelayList()
        self._lists.pop(person.list_id, None)
        self._lists[event.id] = event.pubkey
        person.relays, person.list_id, person.list_order = relays, event.id, event.order
        return frozenset((*relays.write, *relays.read)) - {*before.write, *before.read}

    def unlisted(self, event_id: str) -> None:
        """A relay list is no longer served."""
        key = self._lists.pop(event_id, None)
        if key is not None and (person := self._all.get(key)) is not None:
            person.relays, person.list_id, person.list_order = None, "", (0, "")
            self.stale = True

    def rank(self, key: str) -> Rank | None:
        """How much a key counts; None for one that does not."""
        if self.blocked(key):
            return None
        if key in self.leaders:
            return Rank.LEADER
        if next(self.threads.of(key), None) is None:
            return None
        return Rank.ROOT if self.threads.began(key) else Rank.REPLY

    def named(self, now: float) -> list[Named]:
        """All who count, with the relays that they have us visit; who was active last first."""
        found = []
        for key, person in self._latest():
            if (rank := self.rank(key)) is not None and (relays := self.relays(person, rank)):
                settled = now - person.known_since >= SETTLED_SECS
                found.append(Named(key, rank, relays, settled))
        return found

    def relays(self, person: Person, rank: Rank) -> tuple[str, ...]:
        """The relays of a participant: its own, or those for whom there is no list."""
        if person.relays is not None:
            return person.relays.visited(rank)
        return self.fallback if person.unlisted else ()

    def list_of(self, key: str) -> RelayList | None:
        """The relays that a key named itself."""
        person = self._all.get(key)
        return person.relays if person is not None else None

    def to_look_up(self, now: float) -> list[str]:
        """Whose list is to be looked for now: at most 100, of one repository at most 64."""
        awaited = {key: each for key, each in self._all.items() if each.look_at <= now}
        due = [
            (rank, key)
            for key in sorted(awaited, key=lambda each: -awaited[each].active_at)
            if (rank := self.rank(key)) is not None
        ]
        due.sort(key=lambda each: -each[0])
        of_repository: Counter[str] = Counter()
        batch: list[str] = []
        for _, key in due:
            repository = self._repository(key)
            if repository and of_repository[repository] >= BATCH_OF_REPOSITORY:
                continue
            of_repository[repository] += 1
            batch.append(key)
            if len(batch) == BATCH:
                break
        return batch

    def lacking(self, keys: Collection[str]) -> frozenset[str]:
        """Those of whom no list is known."""
        return frozenset(k for k in keys if (person := self._all.get(k)) and person.relays is None)

    def looked_up(self, keys: Collection[str], now: float, *, answered: bool) -> Sequence[str]:
        """Note that lists were looked for; returns whose were not found.

        Args:
          answered: whether an index relay answered to the end.
        """
        lacking = []
        for key in keys:
            if (person := self._all.get(key)) is None:
                continue
            if person.relays is not None:
                person.failures, person.look_at = 0, now + FOUND_SECS
                continue
            lacking.append(key)
            self.stale = self.stale or (answered and not person.unlisted)
            person.unlisted = person.unlisted or answered
            wait = FIRST_AGAIN_SECS * 2.0 ** min(person.failures, 16)
            person.look_at = now + min(wait, LAST_AGAIN_SECS)
            person.failures += 1
        return lacking

    def threads_of(self, keys: Collection[str]) -> list[Thread]:
        """The conversations in which one of the keys takes part, in the order of their changes."""
        found = {thread: None for key in keys for thread in self.threads.of(key)}
        return sorted(found, key=lambda each: each.number)

    def _repository(self, key: str) -> str:
        return next((t.repository for t in self.threads.of(key) if t.repository), "")

    def _latest(self) -> Iterator[tuple[str, Person]]:
        return iter(sorted(self._all.items(), key=lambda each: -each[1].active_at))

    def _make_room(self) -> None:
        """Forget those who count least and were idle for longest."""
        ranked = sorted(
            self._all.items(), key=lambda each: (self.rank(each[0]) or 0, each[1].active_at)
        )
        for key, person in ranked[:MAKE_ROOM]:
            del self._all[key]
            self._lists.pop(person.list_id, None)
