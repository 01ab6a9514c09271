"""`Throttles`: the limits, queues and memories that all hunts share (S10)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import trio

from ...errors import NaughtyScope, ResultClass
from ...runtime.bounded import Bounded
from ...runtime.clock import WallClock
from ...settings import HuntSettings, SyncSettings
from .domain_statistics import DomainStatistics, HuntStatistics
from .domain_throttle import DomainThrottle, Place
from .hunt_state import Hunts
from .living_domains import Domains, LivingDomain
from .naughty import NaughtyList
from .sync_context import SyncContext
from .transfer_progress import TransferProgress
from .tried_urls import TriedUrls

SECS_PER_HOUR = 3600.0
MAX_TOLD = 4096
MAX_TIMED = 1024

# Called with domain, starts and end of rest (Unix seconds) when they change.
OnChange = Callable[[str, tuple[float, ...], float | None], None]


class Throttles:
    """One `DomainThrottle` for each domain; everything is done in one step.

    `ThrottleManager` serves the queues; this class does not.

    Args:
      ctx: the world.
      wall: tells the naughty list and `on_change` the time; from the system when None.
      on_change: told of starts and rests, so that a restart keeps the limits (B 8.2).
    """

    def __init__(
        self,
        ctx: SyncContext,
        settings: SyncSettings | None = None,
        hunt_settings: HuntSettings | None = None,
        *,
        wall: WallClock | None = None,
        naughty: NaughtyList | None = None,
        on_change: OnChange | None = None,
    ) -> None:
        self.ctx = ctx
        self.settings = settings or SyncSettings()
        self.hunt_settings = hunt_settings or HuntSettings()
        self.wall = wall or WallClock.from_system()
        self.naughty = (
            naughty
            if naughty is not None
            else NaughtyList(self.settings.naughty_hours * SECS_PER_HOUR)
        )
        self.hunts = Hunts(ctx)
        self.domains = Domains(self._make_throttle, self._start_task)
        self.attempts: Counter[ResultClass] = Counter()
        self.oids_fetched = 0
        self._spent: Bounded[str, tuple[int, float]] = Bounded(MAX_TIMED)
        self._on_change = on_change
        self._told: Bounded[str, str] = Bounded(MAX_TOLD)
        self._queued_at: dict[str, dict[str, None]] = {}

    def _make_throttle(self, domain: str, now: float) -> DomainThrottle:
        return DomainThrottle(
            domain, self.settings.domain_concurrent, self.settings.domain_rate_limit, now=now
        )

    def _start_task(self, living: LivingDomain) -> None:
        """A domain lives from now on; a subclass starts its task here."""

    def is_throttled(self, domain: str) -> bool:
        """Whether newcomers must wait there: no place, no token, a rest, or others waiting.

        False for a domain never seen, unless so many live that none can be added.
        """
        living = self.domains.get(domain)
        if living is None:
            return not self.domains.has_room()
        throttle = living.throttle
        return throttle.queue.waiting > 0 or not throttle.has_capacity(trio.current_time())

    def is_throttled_for(self, domain: str, identifier: str) -> bool:
        """The same for one identifier's hunt: a domain where it waits itself is throttled."""
        return domain in self._queued_at.get(identifier, ()) or self.is_throttled(domain)

    def is_resting(self, domain: str) -> bool:
        """Whether the domain asked to be left alone (B 8.6)."""
        living = self.domains.get(domain)
        return living is not None and living.throttle.is_resting(trio.current_time())

    def rank(self, domain: str) -> tuple[int, int]:
        """Sorts unthrottled domains: the one with the most tokens, then places, to spare first."""
        living = self.domains.get(domain)
        if living is None:
            return -self.settings.domain_rate_limit, 0
        throttle = living.throttle
        return -throttle.tokens.available(trio.current_time()), throttle.in_flight

    def start_request(self, domain: str) -> Place | None:
        """Take a place and a token, no matter who waits there; None when there is none."""
        living = self.domains.get_or_add(domain)
        place = living.throttle.start_request(trio.current_time()) if living is not None else None
        if living is not None and place is not None:
            self._changed(living)
        return place

    def answered(self, place: Place) -> None:
        """The first byte of the answer is here: the token comes back 60 s from now."""
        if (living := self.domains.get(place.domain)) is not None:
            living.throttle.answered(place, trio.current_time())
            self._freed(living)

    def complete_request(self, place: Place, *, succeeded: bool = False) -> None:
        """The attempt is over; the next identifier's turn begins if one waits."""
        if (living := self.domains.get(place.domain)) is not None:
            living.throttle.complete_request(place, trio.current_time(), succeeded=succeeded)
            self._freed(living)

    def give_back(self, place: Place) -> None:
        """No connection was begun: the place is as if it had never been taken."""
        if (living := self.domains.get(place.domain)) is not None:
            living.throttle.give_back(place, trio.current_time())
            self._freed(living)

    def rest(self, domain: str, secs: float) -> None:
        """Start nothing there for so many seconds (at most an hour; B 8.6)."""
        if (living := self.domains.get_or_add(domain)) is not None:
            now = trio.current_time()
            living.throttle.rest(now + secs, now)
            self._freed(living)

    def restore(self, domain: str, starts: Iterable[float], resting_until: float | None) -> None:
        """Take over starts and rest of an earlier run, in Unix seconds (B 8.2)."""
        now = trio.current_time()
        rest = self.wall.to_trio(resting_until) if resting_until is not None else None
        # None was later than now: if it says so, the clock was set back since (B 9).
        begun = (min(self.wall.to_trio(start), now) for start in starts)
        counted = [start for start in begun if start + 60.0 > now]
        if counted or (rest is not None and rest > now):
            living = self.domains.get_or_add(domain)
            if living is not None:
                living.throttle.restore(counted, rest, now)
                living.ring()

    def _freed(self, living: LivingDomain) -> None:
        self._changed(living)
        self.try_process_next(living.throttle.domain)

    def _changed(self, living: LivingDomain) -> None:
        if self._on_change is not None:
            throttle, epoch, now = living.throttle, self.wall.epoch, trio.current_time()
            starts = tuple(at + epoch for at in throttle.tokens.starts(now))
            rest = throttle.resting_until if throttle.is_resting(now) else None
            self._on_change(throttle.domain, starts, None if rest is None else rest + epoch)

    def enqueue_identifier(self, domain: str, identifier: str, tried_urls: TriedUrls) -> bool:
        """Let an identifier wait for the domain; False when no more domains can live."""
        living = self.domains.get_or_add(domain)
        if living is None:
            return False
        living.throttle.enqueue_identifier(identifier, tried_urls)
        self._queued_at.setdefault(identifier, {})[domain] = None
        self.try_process_next(domain)
        return True

    def remove_identifier(self, domain: str, identifier: str) -> None:
        """The identifier no longer waits for the domain."""
        if (living := self.domains.get(domain)) is not None:
            living.throttle.remove_identifier(identifier, trio.current_time())
            living.ring()
        queued_at = self._queued_at.get(identifier, {})
        queued_at.pop(domain, None)
        if not queued_at:
            self._queued_at.pop(identifier, None)

    def dequeue(self, identifier: str) -> None:
        """The identifier waits nowhere any more."""
        for domain in self.queued_at(identifier):
            self.remove_identifier(domain, identifier)

    def queued_at(self, identifier: str) -> tuple[str, ...]:
        """The domains for which the identifier waits."""
        return tuple(self._queued_at.get(identifier, ()))

    def mark_identifier_not_in_progress(self, domain: str, identifier: str) -> None:
        """The identifier's turn is over; if it still waits, it does so behind the others."""
        if (living := self.domains.get(domain)) is not None:
            living.throttle.mark_identifier_not_in_progress(identifier)
            self.try_process_next(domain)

    def tried_at(self, domain: str, identifier: str) -> TriedUrls:
        """What the domain's queue knows to be tried for the identifier."""
        living = self.domains.get(domain)
        return living.throttle.get_tried_urls(identifier) if living is not None else TriedUrls()

    def mark_url_tried(self, domain: str, identifier: str, url: str, oids: frozenset[str]) -> None:
        """Let the domain's queue know what the URL was asked for."""
        if (living := self.domains.get(domain)) is not None:
            living.throttle.mark_url_tried(identifier, url, oids)

    def try_process_next(self, domain: str) -> None:
        """Ring the domain's doorbell if an identifier waits there."""
        living = self.domains.get(domain)
        if living is not None and living.throttle.queue.waiting:
            living.ring()

    def new_progress(self, now: float) -> TransferProgress:
        """What judges whether a transfer that starts now is worth waiting for (B 8.5)."""
        settings = self.hunt_settings
        floor = settings.hedge_secs * settings.min_bytes_per_sec
        return TransferProgress(now, settings.hedge_secs, floor, settings.total_timeout_secs)

    def is_news(self, url: str, said: str) -> bool:
        """Whether this was not the last thing said of the URL; what repeats itself is told once."""
        if self._told.get(url) == said:
            return False
        self._told.put(url, said)
        return True

    def forget_news(self, url: str) -> None:
        """The URL works: what is said of it next is news again."""
        self._told.pop(url)

    def is_naughty(self, url: str) -> bool:
        """Whether the URL is left alone for now (B 8.7)."""
        return len(self.naughty) > 0 and self.naughty.is_naughty(url, self.wall.now())

    def note_naughty(self, url: str, scope: NaughtyScope, reason: str) -> None:
        """Leave the URL, its endpoint or its host alone for twelve hours."""
        self.naughty.add(url, scope, reason, self.wall.now())

    def count_attempt(self, result: ResultClass, oids_fetched: int) -> None:
        """Count an ended attempt."""
        self.attempts[result] += 1
        self.oids_fetched += oids_fetched

    def count_time(self, domain: str, secs: float) -> None:
        """Count how long an attempt that contacted the domain took."""
        counted, spent = self._spent.get(domain) or (0, 0.0)
        self._spent.put(domain, (counted + 1, spent + secs))

    def take_times(self) -> dict[str, tuple[int, float]]:
        """Attempts by domain and the seconds of all together, since the last call; bounded."""
        taken, self._spent = dict(self._spent.items()), Bounded(MAX_TIMED)
        return taken

    def statistics(self) -> HuntStatistics:
        """How it stands now."""
        return HuntStatistics(
            {living.throttle.domain: self._statistics_of(living) for living in self.domains},
            dict(self.attempts),
            self.oids_fetched,
            len(self.hunts),
        )

    def _statistics_of(self, living: LivingDomain) -> DomainStatistics:
        throttle, now = living.throttle, trio.current_time()
        rest = throttle.resting_until
        return DomainStatistics(
            in_flight=throttle.in_flight,
            tokens=throttle.tokens.available(now),
            queued=len(throttle.queue),
            resting_until=rest + self.wall.epoch if rest is not None and rest > now else None,
            requests_total=throttle.requests_total,
        )
