"""When each chosen relay is visited: every hour, eight at once, new hosts slowly (B 15.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from math import inf
from random import Random
from typing import Final

import attrs
import trio

from ...runtime.bounded import Bounded
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...urls import RELAY_SCHEMES, parse_web_url
from ..upstream.state.relay_health import RelayStatus, Trouble
from ..upstream.state.shared import Record
from .choosing import Named
from .new_hosts import NewHosts
from .questions import Asked, Subject, plan_visit
from .visiting import Visited, Visitor

# With all places busy a visit may wait for 13 min: no relay is left alone for 75 min.
VISIT_EVERY_SECS, JITTER = 3600.0, 0.25
SOON_SECS: Final = 120.0
FIRST_AGAIN_SECS: Final = 300.0
MAX_LEFT: Final = 1_000

log = get_logger(__name__)


@attrs.define(eq=False)
class _Relay:
    """A relay that is visited; times of Trio's clock.

    Attributes:
      due: when the next visit is.
      failures: visits that failed in a row.
      visiting: one is under way.
      visited: there was one before.
      soon: the next visit was put forward for a new participant.
      hastened: that one, or the last one, was.
      refused: why it may not be dialled for the first time yet, in a word.
    """

    record: Record
    due: float
    asked: Asked = attrs.field(factory=Asked)
    failures: int = 0
    visiting: bool = False
    visited: bool = False
    soon: bool = False
    hastened: bool = False
    refused: str | None = None


@attrs.define(eq=False)
class Rounds:
    """The relays that are visited, and those that were.

    Attributes:
      visitor: makes the visits.
      places: how many there may be at once.
      subject: what a relay is asked about.
      free: relays that the operator names: no participant counts for them.
      random: spreads the visits.
      visits: how many there were, by result (`complete`, `full`, `failed`).
      refused: relays that were not dialled, by reason.
    """

    visitor: Visitor
    places: trio.CapacityLimiter
    subject: Callable[[str], Subject]
    free: Collection[str]
    clock: WallClock
    random: Random
    visits: Counter[str] = attrs.field(
        factory=lambda: Counter({"complete": 0, "full": 0, "failed": 0}), init=False
    )
    refused: Counter[str] = attrs.field(
        factory=lambda: Counter({"gate": 0, "host_rate": 0, "single_author": 0}), init=False
    )
    _hosts: NewHosts = attrs.field(factory=NewHosts, init=False)
    _relays: dict[str, _Relay] = attrs.field(factory=dict, init=False)
    _left: Bounded[str, _Relay] = attrs.field(factory=lambda: Bounded(MAX_LEFT), init=False)

    def __iter__(self) -> Iterator[str]:
        """The relays that are visited, the most useful first."""
        return iter(self._relays)

    def choose(self, urls: Iterable[str], now: float) -> None:
        """Visit these from now on; who is left keeps what is known, so that its rest holds."""
        before, self._relays = self._relays, {}
        for url in urls:
            relay = before.pop(url, None) or self._left.pop(url)
            self._relays[url] = _Relay(Record(url), now) if relay is None else relay
        for url, relay in before.items():
            if relay.visiting:
                self._relays[url] = relay
            else:
                self._left.put(url, relay)

    def hasten(self, url: str) -> None:
        """A participant of a relay is new: visit it soon, once between two visits."""
        relay = self._relays.get(url)
        if relay is not None and relay.visited and not (relay.hastened or relay.failures):
            relay.hastened = relay.soon = True
            relay.due = min(relay.due, trio.current_time() + SOON_SECS)

    def begin_due(self, nursery: trio.Nursery, named: Mapping[str, Collection[Named]]) -> None:
        """Begin the visits whose time has come; first dials in the order of their use.

        Args:
          named: by relay, who names it.
        """
        now = trio.current_time()
        due = [each for each in self._relays.values() if each.due <= now and not each.visiting]
        full = False
        for relay in due:
            by = named.get(relay.record.url, ())
            if not relay.visited and (full or not self._may_dial(relay, by, now)):
                full = full or relay.refused == "host_rate"
                continue
            relay.visiting = True
            nursery.start_soon(self._go, relay)

    def next_due(self) -> float:
        """When the next visit is due, of Trio's clock; what waits for its first dial aside."""
        known = (each for each in self._relays.values() if each.visited and not each.visiting)
        return min((each.due for each in known), default=inf)

    def _may_dial(self, relay: _Relay, by: Collection[Named], now: float) -> bool:
        url, before = relay.record.url, relay.refused
        by = () if url in self.free else by
        relay.refused = self._hosts.may_dial(parse_web_url(url, RELAY_SCHEMES).host, by, now)
        if relay.refused is not None and relay.refused != before:
            self.refused[relay.refused] += 1
        return relay.refused is None

    async def _go(self, relay: _Relay) -> None:
        url = relay.record.url
        try:
            async with self.places:
                began = trio.current_time()
                plan = plan_visit(relay.asked, self.subject(url), self.clock.now())
                visited = await self.visitor.visit(relay.record, plan.questions)
            relay.asked = plan.then if visited.complete else relay.asked.with_less()
            if visited.full and relay.asked.is_least:
                relay.asked = attrs.evolve(plan.then, filters=relay.asked.filters)
            self._plan_next(relay, visited, began)
        except Exception:
            log.exception("a visit crashed", url=url)
            relay.due = trio.current_time() + VISIT_EVERY_SECS
        finally:
            relay.visited, relay.visiting = True, False

    def _plan_next(self, relay: _Relay, visited: Visited, began: float) -> None:
        """When the relay is visited again."""
        now, health = trio.current_time(), relay.record.health
        if visited.complete or visited.full:
            self.visits["complete" if visited.complete else "full"] += 1
            relay.failures = 0
            relay.due = began + VISIT_EVERY_SECS * (1 - JITTER * self.random.random())
            # The visit that was hastened does not count: the next one may be none.
            relay.hastened, relay.soon = relay.soon, False
        else:
            self.visits["failed"] += 1
            relay.failures += 1
            wait = min(FIRST_AGAIN_SECS * 2.0 ** min(relay.failures - 1, 16), VISIT_EVERY_SECS)
            trouble = visited.ending.trouble if visited.ending else None
            if trouble is Trouble.FORBIDDEN:
                self.refused["gate"] += 1
            if trouble in (Trouble.FORBIDDEN, Trouble.MISBEHAVED):
                wait = VISIT_EVERY_SECS
            relay.due = now + wait
        health.failures = relay.failures
        health.retry_at = self.clock.now() + max(0.0, relay.due - now)

    def looks(self) -> tuple[RelayStatus, ...]:
        """How it stands with each relay that is visited; never who named it."""
        looks = (
            each.record.health.look(
                url,
                pinned=False,
                owners=0,
                not_followed=each.record.limits.not_followed(0),
            )
            for url, each in self._relays.items()
        )
        return tuple(attrs.evolve(look, found="outbox") for look in looks)

    def states(self) -> Mapping[str, int]:
        """How many relays there are, by state (`reached`, `failing`, `waiting`)."""
        states = Counter({"reached": 0, "failing": 0, "waiting": 0})
        for each in self._relays.values():
            state = "waiting" if not each.visited else "failing" if each.failures else "reached"
            states[state] += 1
        return states
