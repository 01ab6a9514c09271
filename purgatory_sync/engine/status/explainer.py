"""Tells an operator why events are held, and hunts when told to (N6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest

import attrs
import trio
from trio_util import periodic

from ...hunt.manager import ThrottleManager
from ...hunt.source_choice import survey
from ...nostr.authority.repository_data import RepositoryData
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HuntedEvent, Tried
from ...release.commit import Core
from ...release.index.missing_objects import Missing, missing_in, needed_oids
from ...runtime.clock import WallClock
from ...settings import PurgatorySettings
from .domain_status import domain_statuses
from .held_events import EVERYTHING, Choice, chosen, held_by_kind, kind_of, next_attempt_of
from .hourly import Hourly
from .last_hour import HOUR_SECS, STEP_SECS, LastHour
from .models import (
    AttemptStatus,
    EngineStatus,
    Fate,
    HeldStatus,
    HourCounters,
    SourceStatus,
    Statistics,
)
from .obstacles import Held, by_itself, what_holds
from .prs_status import fate_of_upload, paths_of
from .served_recently import ServedRecently

EVENTS_SHOWN = 100
MISSING_SHOWN = 100
SOURCES_SHOWN = 100
# Beyond, the page does not look what is missing, for the disk has better things to do.
OIDS_LOOKED_AT = 50_000
FRESH_SECS = 2.0
# However slow the disk is, pages have at most this share of it.
SHARE = 10

_EVENT_ID = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class Hunted:
    """What a hunt by hand began.

    Attributes:
      forgiven: the URLs that were on the naughty list and are asked now.
    """

    identifier: str
    forgiven: tuple[str, ...]


@attrs.define(eq=False)
class Explainer:
    """Looks at the engine for people; bounded in what it shows and in what it costs.

    Attributes:
      started_at: Unix seconds of the start.
      last_moment: Unix seconds at which the sweep ends a state or pull request even if untried.
      totals: what was counted since the start, by the names of `HourCounters.counts`.
      hourly: the figures of each hour.
      served: when events became served.
    """

    core: Core
    throttles: ThrottleManager
    settings: PurgatorySettings
    clock: WallClock
    started_at: float
    last_moment: Callable[[HuntedEvent], float]
    totals: Callable[[], Mapping[str, int]]
    hourly: Hourly
    served: ServedRecently = attrs.field(factory=ServedRecently)
    _last_hour: LastHour = attrs.field(init=False)
    _looking: trio.Lock = attrs.field(factory=trio.Lock)
    _last: EngineStatus | None = None
    _fresh_until: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._last_hour = LastHour(self.started_at)

    async def run(self) -> None:
        """Keep the counters of the last hour and of each hour until cancelled."""
        async for _ in periodic(STEP_SECS):
            now, totals, purgatory = self.clock.now(), self.totals(), self.core.purgatory
            self._last_hour.note(now, totals)
            held, since = held_by_kind(purgatory), purgatory.expired.count_since
            self.hourly.note(now, totals, held, since, self.throttles.take_times())

    async def look(self, choice: Choice = EVERYTHING) -> EngineStatus:
        """The engine at this moment, or at most some seconds ago however many ask.

        Args:
          choice: the held events to show. What those lack that are not among the newest of all is
            not looked up: neither database nor disk are asked for a choice.
        """
        async with self._looking:
            begun = trio.current_time()
            if self._last is None or begun >= self._fresh_until:
                self._last = await self._look()
                ended = trio.current_time()
                self._fresh_until = ended + max(FRESH_SECS, SHARE * (ended - begun))
            return self._last if choice == EVERYTHING else await self._choose(self._last, choice)

    async def _choose(self, look: EngineStatus, choice: Choice) -> EngineStatus:
        events = await chosen(self.core.purgatory, choice)
        known = {each.event_id: each for each in look.events}
        newest = nlargest(EVENTS_SHOWN, events, key=lambda entry: entry.accepted_at)
        shown = (known.get(each.event_id) or self._unlooked(each) for each in newest)
        return attrs.evolve(look, events=tuple(shown), events_total=len(events))

    def _unlooked(self, held: HeldEvent) -> HeldStatus:
        return self._event(held, None, _tried(held), by_itself(held))

    def statistics(self, released: Mapping[str, int], *, events: bool) -> Statistics:
        """The engine at this moment, without a look at the disk.

        Args:
          released: events released since the start, by kind.
          events: whether each held event is reported on; it costs a look at each in memory.
        """
        purgatory = self.core.purgatory
        held = (*purgatory.announcements(), *purgatory.hunted_events()) if events else ()
        return Statistics(
            held_by_kind(purgatory),
            len(purgatory.sync_queue),
            dict(released),
            self.throttles.statistics(),
            tuple(map(self._unlooked, held)),
        )

    async def why(self, name: str) -> tuple[HeldStatus, ...]:
        """What is held under an identifier or event id, oldest first, with all its sources."""
        purgatory = self.core.purgatory
        held: list[HeldEvent] = []
        if _EVENT_ID.fullmatch(name) and (entry := purgatory.get(name)) is not None:
            held.append(entry)
        held += purgatory.find_announcements(name)
        held += purgatory.find_state(name)
        held += purgatory.find_prs_for_identifier(name)
        looks = []
        for entry in held[:EVENTS_SHOWN]:
            hunted = [] if isinstance(entry, HeldAnnouncement) else [entry]
            known = await self.core.index.data_of(entry.identifiers)
            missing = await missing_in(hunted, known, self.core.repositories)
            looks.append(self._judged(entry, missing, await self._sources(entry), known))
        return tuple(looks)

    async def fate(self, name: str) -> Fate | None:
        """What became of an event that is not held; None for one that is not known here.

        Args:
          name: its id, or an identifier: then the newest that expired there and is looked for.
        """
        kept = self.core.purgatory.overdue
        there = max(kept.of_identifier(name), key=lambda each: each.order, default=None)
        event_id = name if there is None else there.event_id
        if not _EVENT_ID.fullmatch(event_id):
            return None
        if await self.core.index.serves(event_id):
            return Fate(event_id, "served", self.served.since(event_id))
        if uploads := self.core.purgatory.uploads.of_event(event_id):
            newest = max(uploads, key=lambda each: each.at)
            return fate_of_upload(newest, self.settings.placeholder_expiry_secs)
        expired = self.core.purgatory.expired
        at = expired.expired_at(event_id, self.clock.now())
        if at is None:
            return None
        fate = Fate(event_id, "expired", at, at + expired.memory_secs, expired.reason(event_id))
        if (known := kept.get(event_id)) is not None:
            return attrs.evolve(fate, until=None, next_at=known.due)
        if self.core.purgatory.is_known_by_id(event_id, self.clock.now()):
            return attrs.evolve(fate, until=at + self.settings.expired_retry_secs)
        return fate

    async def hunt(self, identifier: str) -> Hunted | None:
        """Hunt now, naughty sources too (B 8.7: a fetch by hand); the limits of domains hold.

        Returns None when nothing that is hunted for is held under the identifier.
        """
        if not self.core.purgatory.has_pending_events(identifier):
            return None
        seen = await survey(self.throttles.ctx, identifier)
        forgiven = []
        for source in seen.sources if seen is not None else ():
            if self.throttles.is_naughty(source.url):
                forgiven.append(source.url)
        for url in forgiven:
            self.throttles.naughty.forgive(url)
        self.core.purgatory.enqueue_sync(identifier, 0)
        return Hunted(identifier, tuple(forgiven))

    async def _look(self) -> EngineStatus:
        purgatory, now = self.core.purgatory, self.clock.now()
        everything: list[HeldEvent] = [*purgatory.announcements(), *purgatory.hunted_events()]
        shown = nlargest(EVENTS_SHOWN, everything, key=lambda entry: entry.accepted_at)
        known = await self.core.index.data_of(i for entry in shown for i in entry.identifiers)
        missing = await missing_in(_few_enough(shown), known, self.core.repositories)
        hunt = self.throttles.statistics()
        naughty = reversed(self.throttles.naughty.entries())
        domains, domains_total = domain_statuses(hunt, naughty, now)
        return EngineStatus(
            at=now,
            started_at=self.started_at,
            held=held_by_kind(purgatory),
            queued=len(purgatory.sync_queue),
            hunting=hunt.hunting,
            events=tuple(self._judged(entry, missing, _tried(entry), known) for entry in shown),
            events_total=len(everything),
            domains=domains,
            domains_total=domains_total,
            last_hour=self._hour(now),
            hours=self.hourly.look(now),
        )

    def _hour(self, now: float) -> HourCounters:
        hour = self._last_hour.look(now, self.totals())
        expired = self.core.purgatory.expired.count_since(now - HOUR_SECS)
        return attrs.evolve(hour, counts={**hour.counts, "expired": expired})

    def _judged(
        self,
        held: HeldEvent,
        missing: Mapping[str, Missing],
        sources: tuple[SourceStatus, ...],
        known: Mapping[str, RepositoryData],
    ) -> HeldStatus:
        looked = missing.get(held.event_id)
        holds = what_holds(held, looked, known)
        return self._event(held, looked, sources, holds)

    def _event(
        self,
        held: HeldEvent,
        looked: Missing | None,
        sources: tuple[SourceStatus, ...],
        holds: Held,
    ) -> HeldStatus:
        lacks = None if looked is None else looked.oids
        return HeldStatus(
            event_id=held.event_id,
            kind=kind_of(held),
            identifiers=held.identifiers,
            author=held.event.pubkey,
            accepted_at=held.accepted_at,
            until=self._until(held),
            at_the_latest=self._at_the_latest(held),
            next_attempt=self._next_attempt(held),
            hunting=any(self.throttles.hunts.get(i) is not None for i in held.identifiers)
            and not isinstance(held, HeldAnnouncement),
            missing=tuple(sorted(lacks or ())[:MISSING_SHOWN]),
            missing_total=None if lacks is None else len(lacks),
            obstacle=holds.obstacle,
            remedy=holds.remedy,
            error=held.error,
            sources=sources,
            paths=paths_of(held, self.core.repositories.prs, self.core.purgatory.uploads),
            attempts=_attempts(held),
            attempts_total=0 if isinstance(held, HeldAnnouncement) else held.attempts_total,
        )

    def _until(self, held: HeldEvent) -> float:
        if isinstance(held, HeldAnnouncement) and held.soft_expired_at is not None:
            return held.soft_expired_at + self.settings.soft_expiry_secs
        return held.accepted_at + self.settings.expiry_secs

    def _at_the_latest(self, held: HeldEvent) -> float | None:
        if isinstance(held, HeldAnnouncement):
            return None
        return self.last_moment(held)

    def _next_attempt(self, held: HeldEvent) -> float | None:
        if isinstance(held, HeldAnnouncement):
            return None
        return next_attempt_of(self.core.purgatory, self.clock, held.identifiers)

    async def _sources(self, held: HeldEvent) -> tuple[SourceStatus, ...]:
        """All that were tried, then those that may be, each with why it is left alone."""
        if isinstance(held, HeldAnnouncement):
            return ()
        urls = dict.fromkeys(held.tried)
        for identifier in held.identifiers:
            seen = await survey(self.throttles.ctx, identifier)
            for source in seen.sources if seen is not None else ():
                if held.event_id in source.event_ids:
                    urls[source.url] = None
        now, naughty = self.clock.now(), self.throttles.naughty
        looks = []
        for url in tuple(urls)[:SOURCES_SHOWN]:
            look, entry = _source(url, held.tried.get(url)), naughty.why(url, now)
            if entry is not None:
                look = attrs.evolve(look, naughty_until=entry.until, naughty_reason=entry.reason)
            looks.append(look)
        return tuple(looks)


def _few_enough(shown: Sequence[HeldEvent]) -> list[HuntedEvent]:
    """Those whose objects may be looked for on the disk for a page."""
    chosen: list[HuntedEvent] = []
    left = OIDS_LOOKED_AT
    for entry in shown:
        if not isinstance(entry, HeldAnnouncement) and len(needed_oids(entry)) <= left:
            left -= len(needed_oids(entry))
            chosen.append(entry)
    return chosen


def _tried(held: HeldEvent) -> tuple[SourceStatus, ...]:
    if isinstance(held, HeldAnnouncement):
        return ()
    return tuple(_source(url, tried) for url, tried in tuple(held.tried.items())[:SOURCES_SHOWN])


def _attempts(held: HeldEvent) -> tuple[AttemptStatus, ...]:
    if isinstance(held, HeldAnnouncement):
        return ()
    return tuple(AttemptStatus(url, each.at, each.result) for url, each in held.attempts)


def _source(url: str, tried: Tried | None) -> SourceStatus:
    if tried is None:
        return SourceStatus(url)
    return SourceStatus(url, tried.at, tried.result, tried.detail)
