"""Visits the relays of those who take part in conversations here (GRASP-03, B 15)."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import cache
from random import Random
from typing import Final, Protocol

import attrs
import trio

from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import encode_npub
from ...policy.curation import is_blacklisted
from ...policy.rules.hosting import coordinate_of, hosts
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...runtime.net.gate import Gate
from ...runtime.net.transport import default_tls_context
from ...settings import CurationSettings, Settings
from ...urls import RELAY_SCHEMES, leads_to_service, usable_urls
from ..upstream.state.relay_health import RelayStatus
from ..upstream.state.shared import Common
from .choosing import Named, choose, naming
from .leaders import Leaders
from .look_ups import LookUps, Sources
from .people import People
from .questions import Subject
from .relay_lists import read_relay_list, usable_relay
from .rounds import Rounds
from .threads import Threads
from .visiting import Visitor

VISITS_AT_ONCE: Final = 8
TICK_SECS, CHOOSE_SECS = 1.0, 60.0
# What is followed, who was here for a day, and the operator's lists change as well.
CHOOSE_ANYWAY_SECS: Final = 600.0
THREADS: Final = kinds.THREAD_ROOTS | kinds.THREAD_REPLIES
# Roots before replies, so that what names its parent only is found to belong to them.
IN_ORDER: Final = (frozenset({kinds.ANNOUNCEMENT}), kinds.THREAD_ROOTS, kinds.THREAD_REPLIES)

log = get_logger(__name__)


class Followed(Protocol):
    """The relays that are followed for their announcements."""

    @property
    def urls(self) -> Sequence[str]:
        """Those that are followed now."""

    def common_of_visits(self) -> Common:
        """What sessions work with that prove nothing to a relay."""

    def ask(self, conditions: Sequence[Filter]) -> None:
        """Ask all that are connected."""

    def stored(self, of_kinds: frozenset[int]) -> AsyncIterator[Event]:
        """All that is served of these kinds; some may come twice."""

    async def lists_here(self, authors: frozenset[str]) -> Sequence[Event]:
        """The relay lists of these authors that are served here."""


@attrs.frozen
class OutboxCounts:
    """What is counted, for metrics; all but the gauges since the start.

    Attributes:
      relays: that are visited, by state (`reached`, `failing`, `waiting`).
      visits: by result (`complete`, `full`, `failed`).
      events: that a visit was the first to bring, by result (`taken`, `refused`).
      refused: relays that are not visited now, by reason, counted each time that is found.
      people: whose relays are known or looked for.
    """

    relays: Mapping[str, int]
    visits: Mapping[str, int]
    events: Mapping[str, int]
    refused: Mapping[str, int]
    people: int


class Outboxes:
    """Knows who takes part, looks for their relays, and visits these.

    It is to be told what becomes of events from the moment on at which it is made; what was here
    before is read by `run`.

    Args:
      settings: which relays are asked for lists, and what may be contacted.
      gate: opens every connection.
      followed: the relays that are followed anyway.
      lists: what the operator takes, at the moment of the call.
      random: spreads the visits.
      tls: for wss.
      clock: Unix seconds; the system's when absent.
    """

    def __init__(
        self,
        settings: Settings,
        gate: Gate,
        followed: Followed,
        *,
        lists: Callable[[], CurationSettings],
        random: Random | None = None,
        tls: Callable[[], ssl.SSLContext] = default_tls_context,
        clock: WallClock | None = None,
    ) -> None:
        self._clock = clock or WallClock.from_system()
        self._service = settings.service
        self._allow = settings.hunt.allow_addresses
        self._followed = followed
        self._threads = Threads()
        self._leaders = Leaders(
            hosts=lambda each: hosts(each, settings.service, lists()),
            blocked=lambda each: is_blacklisted(coordinate_of(each), lists()),
        )
        self._fallback = self._operators(settings.sync.plus_fallback_relays)
        self._people = People(
            self._threads, self._leaders, lambda key: _is_blocked(key, lists()), self._fallback
        )
        self._named: Mapping[str, list[Named]] = {}
        self._gone_while_reading: set[str] | None = None
        self._choose_anyway_at = 0.0
        self._thread = trio.CapacityLimiter(1)
        self._events = Counter({"taken": 0, "refused": 0})
        # To make one takes a tenth of a second: one serves all visits, and none where no wss is.
        visitor = Visitor(followed.common_of_visits, gate, cache(tls), self._count_event)
        places = trio.CapacityLimiter(VISITS_AT_ONCE)
        self._rounds = Rounds(
            visitor, places, self._subject, self._fallback, self._clock, random or Random()
        )
        indexes = self._operators(settings.sync.user_index_relays)
        self._look_ups = LookUps(
            indexes, self._people, Sources(visitor, places, followed.ask, self._here)
        )

    def held(self, event: Event) -> None:
        """What waits begins no conversation."""

    def served(self, event: Event) -> None:
        """An event became served: its author takes part, or said where it can be read."""
        now = trio.current_time()
        if event.kind == kinds.RELAY_LIST:
            self._listed(event)
        elif event.kind == kinds.ANNOUNCEMENT:
            self._leaders.came(event)
            self._people.seen(event.pubkey, now)
        elif event.kind in THREADS and self._threads.came(event, self._clock.now()) is not None:
            self._people.seen(event.pubkey, now)

    def gone(self, event_ids: frozenset[str]) -> None:
        """Events are not served any more."""
        if self._gone_while_reading is not None:
            self._gone_while_reading |= event_ids
        for each in event_ids:
            self._people.unlisted(each)
            for author in (self._threads.gone(each), self._leaders.gone(each)):
                if author is not None:
                    self._people.gone(author)

    def relays(self) -> tuple[RelayStatus, ...]:
        """How it stands with each relay that is visited; never who named it."""
        return self._rounds.looks()

    def counts(self) -> OutboxCounts:
        """What is counted, at this moment."""
        rounds = self._rounds
        people = len(self._people)
        return OutboxCounts(rounds.states(), rounds.visits, self._events, rounds.refused, people)

    async def run(self) -> None:
        """Read what is here, then look for relays and visit them, until cancelled."""
        for of_kinds in IN_ORDER:
            self._gone_while_reading = set()
            async for event in self._followed.stored(of_kinds):
                if event.id not in self._gone_while_reading:
                    self.served(event)
        self._gone_while_reading = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_ups.run)
            while True:
                choose_at = trio.current_time() + CHOOSE_SECS
                if self._people.stale or trio.current_time() >= self._choose_anyway_at:
                    await self._choose(trio.current_time())
                while trio.current_time() < choose_at:
                    self._rounds.begin_due(nursery, self._named)
                    due = max(self._rounds.next_due(), trio.current_time() + TICK_SECS)
                    await trio.sleep_until(min(due, choose_at))

    async def _choose(self, now: float) -> None:
        self._people.stale = False
        self._choose_anyway_at = now + CHOOSE_ANYWAY_SECS
        people, before = self._people.named(now), [*self._rounds]
        # Of many strangers' relays it takes a third of a second.
        chosen, named = await blocking(
            self._thread, _work_out, people, tuple(self._followed.urls), before
        )
        self._rounds.choose(chosen, now)
        self._named = {url: named.get(url, []) for url in self._rounds}

    def _listed(self, event: Event) -> None:
        """Take a relay list; its author's conversations may be continued on relays new to us."""
        relays = read_relay_list(event, self._usable)
        gained = self._people.listed(event, relays)
        if gained:
            self._threads.renew(event.pubkey)
        if gained and self._people.first_time(event.pubkey):
            for url in gained:
                self._rounds.hasten(url)

    async def _here(self, keys: frozenset[str]) -> None:
        for event in await self._followed.lists_here(keys):
            self._listed(event)

    def _usable(self, url: str) -> str | None:
        usable = usable_relay(url, self._allow)
        ours = usable is not None and leads_to_service(usable, self._service, RELAY_SCHEMES)
        return None if ours else usable

    def _operators(self, urls: Sequence[str]) -> tuple[str, ...]:
        """Relays that the operator names; ourselves and what is no relay are skipped."""
        usable = usable_urls(urls, RELAY_SCHEMES)
        return tuple(u for u in usable if not leads_to_service(u, self._service, RELAY_SCHEMES))

    def _subject(self, url: str) -> Subject:
        """What a relay is asked about: what those who name it take part in."""
        keys = [each.pubkey for each in self._named.get(url, ())]
        coordinates: dict[str, None] = {}
        authors = []
        for key in keys:
            relays = self._people.list_of(key)
            if relays is None or url in relays.write:
                authors.append(key)
            if relays is not None and url in relays.read:
                coordinates |= dict.fromkeys(self._leaders.coordinates(key))
        return Subject(self._people.threads_of(keys), [*coordinates], authors)

    def _count_event(self, accepted: bool) -> None:
        self._events["taken" if accepted else "refused"] += 1


def _work_out(
    people: Sequence[Named], followed: Sequence[str], before: Sequence[str]
) -> tuple[Sequence[str], Mapping[str, list[Named]]]:
    """The relays to visit, and who names them."""
    chosen, named = choose(people, followed, before), naming(people)
    return [*chosen], {url: named[url] for url in (*chosen, *before) if url in named}


def _is_blocked(key: str, lists: CurationSettings) -> bool:
    return bool(lists.event_blacklist) and encode_npub(key) in lists.event_blacklist
