"""What the hunt for one identifier knows while it lasts (B 8.2, 8.3, 8.5).

The hunt's task and the domains' turns of one identifier share one `Hunt`: what is in flight, what
was tried, what is skipped. It ends with its last user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

import attrs
import trio

from ...purgatory.change_signals import Watch
from ...purgatory.queue_entry import backoff_secs
from .sync_context import SyncContext
from .transfer_progress import TransferProgress
from .tried_urls import TriedUrls

_NONE: frozenset[str] = frozenset()


@attrs.define(eq=False)
class Flight:
    """One attempt that is going on, from the choice of its URL until its data is released.

    Attributes:
      scope: around the fetch; cancelled when another attempt made the identifier complete.
    """

    url: str
    domain: str
    oids: frozenset[str]
    progress: TransferProgress
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class Look:
    """What one of those who hunt has taken note of, so that only later things are news to it.

    Attributes:
      arrivals: attempts of the hunt that had ended by then.
      slow: flights that were below the floor then.
      newcomers: whether newcomers' time is news to it.
      round_at: when all sources are asked again, which is news too (`Hunt.next_round_at`).
    """

    arrivals: int
    slow: dict[Flight, None]
    newcomers: bool
    round_at: float = inf


@attrs.define(eq=False)
class Hunt:
    """The shared memory of everything that hunts for one identifier.

    Attributes:
      skipped: URLs that were given back; not looked at again in this hunt (B 8.2).
      flights: attempts that are going on, oldest first.
      arrivals: how many attempts have ended.
      releases_asked: held events with nothing missing whose release was asked for already.
      users: live tasks that hold it.
      rounds: how often it began anew although a slow attempt still went on.
      changes: how often something changed under the identifier, or an attempt ended.
    """

    identifier: str
    ctx: SyncContext
    tried: TriedUrls = attrs.field(factory=TriedUrls)
    skipped: dict[str, None] = attrs.field(factory=dict)
    flights: dict[Flight, None] = attrs.field(factory=dict)
    arrivals: int = 0
    releases_asked: dict[str, None] = attrs.field(factory=dict)
    users: int = 0
    rounds: int = 0
    changes: int = 0
    _departures: dict[str, int] = attrs.field(factory=dict)
    _asked_before: dict[str, int] = attrs.field(factory=dict)
    watch: Watch = attrs.field(init=False)
    _bell: trio.Event = attrs.field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self.watch = self.ctx.watch(self.identifier, self.on_change)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it goes on any more."""
        return not self.users and not self.flights

    def on_change(self) -> None:
        """Something was added, removed or enqueued: if nothing waits any more, all is over."""
        self.changes += 1
        if not self.ctx.has_pending_events(self.identifier):
            self.cancel_flights()
        self.ring()

    def ring(self) -> None:
        """Wake all tasks that wait in `news`."""
        self._bell.set()
        self._bell = trio.Event()

    def depart(self, flight: Flight) -> None:
        """An attempt begins; no other attempt asks for the same from now on."""
        self.flights[flight] = None
        self._departures[flight.url] = self._departures.get(flight.url, 0) + 1

    def arrive(self, flight: Flight) -> None:
        """The attempt is over, with any outcome."""
        if flight in self.flights:
            del self.flights[flight]
            self.arrivals += 1
            self.changes += 1
            self.ring()

    def cancel_flights(self) -> None:
        """Another attempt was first: end all transfers (a release that has begun goes on)."""
        for flight in self.flights:
            flight.scope.cancel()

    def cancel_useless(self, missing: frozenset[str]) -> None:
        """End transfers that bring nothing of what is still missing."""
        for flight in self.flights:
            if flight.oids.isdisjoint(missing):
                flight.scope.cancel()

    def spoken_for(self, domain: str, now: float) -> frozenset[str]:
        """OIDs not to ask this domain for now (B 8.5).

        Another attempt above the floor asks for them, or any attempt at the same domain does.
        """
        if not self.flights:
            return _NONE
        spoken_for = _NONE
        for flight in self.flights:
            if flight.domain == domain or not flight.progress.is_slow(now):
                spoken_for = spoken_for | flight.oids if spoken_for else flight.oids
        return spoken_for

    def has_in_hand(self, missing: frozenset[str]) -> bool:
        """Whether all that is missing is asked for by an attempt that gets on well."""
        if not self.flights:
            return not missing
        now = trio.current_time()
        return missing.issubset(self.spoken_for("", now))

    def is_asked(self, url: str) -> bool:
        """Whether some attempt at this URL is going on."""
        return any(flight.url == url for flight in self.flights)

    def has_slow_flight(self, now: float) -> bool:
        """Whether some transfer is below the floor."""
        return any(flight.progress.is_slow(now) for flight in self.flights)

    def asked_in_earlier_rounds(self, url: str) -> int:
        """How often; the least asked comes first, so that rounds forget no source."""
        return self._asked_before.get(url, 0)

    def look(self, now: float, *, newcomers: bool = True) -> Look:
        """Take note of how it stands, just before looking at what is missing.

        Args:
          newcomers: due newcomers are taken on by who looks (B 8.11).
        """
        if newcomers:
            self.watch.newly_queued_taken()
        slow = {flight: None for flight in self.flights if flight.progress.is_slow(now)}
        return Look(self.arrivals, slow, newcomers)

    def next_round_at(self, now: float) -> float:
        """When to ask all sources again if all attempts are slow; infinite if one is not.

        A server that drips for ten minutes must not keep the others from being asked again
        after the backoff (N3).
        """
        if all(flight.progress.is_slow(now) for flight in self.flights):
            return now + backoff_secs(self.rounds + 1)
        return inf

    def begin_round(self) -> None:
        """Forget what was tried, as if the hunt had ended and begun again."""
        self.rounds += 1
        self._asked_before = dict(self._departures)
        self.tried = TriedUrls()
        self.skipped.clear()
        self.releases_asked.clear()

    async def news(self, look: Look) -> None:
        """Wait until it is worth looking again.

        That is when an attempt has ended, one has become slow, a newcomer's time has come, or
        nothing waits any more. Cancelling leaves nothing.
        """
        hasty = True
        while self.arrivals == look.arrivals and self.ctx.has_pending_events(self.identifier):
            now = trio.current_time()
            wake_at = self._next_news_at(look, now)
            if wake_at > now:
                bell = self._bell
                with trio.move_on_at(wake_at):
                    await bell.wait()
                hasty = True
            elif hasty:
                # Bytes that wait to be read because we were busy are no delay of the server.
                await trio.lowlevel.checkpoint()
                hasty = False
            else:
                return

    def _next_news_at(self, look: Look, now: float) -> float:
        due = self.watch.newly_queued_due if look.newcomers else None
        soonest = look.round_at if due is None else min(due, look.round_at)
        for flight in self.flights:
            slow_at = flight.progress.slow_at()
            if slow_at > now:
                look.slow.pop(flight, None)
            if flight not in look.slow:
                soonest = min(soonest, slow_at)
        return soonest


@attrs.define(eq=False)
class Hunts:
    """The hunts that are going on, by identifier."""

    ctx: SyncContext
    _hunts: dict[str, Hunt] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._hunts)

    def get(self, identifier: str) -> Hunt | None:
        """The shared memory of the identifier's hunt; None when it is not hunted."""
        return self._hunts.get(identifier)

    @contextmanager
    def using(self, identifier: str) -> Iterator[Hunt]:
        """Use the shared memory, begun if there is none; it ends with its last user and flight."""
        hunt = self._hunts.get(identifier)
        if hunt is None:
            hunt = self._hunts[identifier] = Hunt(identifier, self.ctx)
            hunt.watch.open()
        hunt.users += 1
        try:
            yield hunt
        finally:
            hunt.users -= 1
            self.drop_if_over(hunt)

    def drop_if_over(self, hunt: Hunt) -> None:
        """Forget the hunt if nothing of it goes on any more."""
        if hunt.is_over and self._hunts.get(hunt.identifier) is hunt:
            del self._hunts[hunt.identifier]
            hunt.watch.close()
