"""The limits of one git domain (B 8.2, 8.6; S9); pure in `now`, Trio's seconds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import attrs
import trio

from .domain_queue import DomainQueue
from .tokens import Token, TokenBucket
from .tried_urls import TriedUrls

MAX_REST_SECS = 3600.0


@attrs.define(eq=False)
class Place:
    """One attempt's place at a domain together with its token.

    Attributes:
      taken_at: Trio's time at which it was taken.
      open: whether the place is still occupied.
    """

    domain: str
    token: Token
    taken_at: float
    open: bool = True


class DomainThrottle:
    """Places, tokens, rest and queue of one domain. Only this object knows its limits.

    Args:
      max_concurrent: attempts in flight at once.
      max_per_minute: attempts started in any 60 seconds.
    """

    def __init__(
        self, domain: str, max_concurrent: int, max_per_minute: int, *, now: float = 0.0
    ) -> None:
        self.domain = domain
        self.queue = DomainQueue()
        self.tokens = TokenBucket(max_per_minute)
        self.resting_until: float | None = None
        self.requests_total = 0
        self._places = trio.CapacityLimiter(max_concurrent)
        self._last_active = now
        # After a rest one attempt goes first; the others follow when it succeeds (B 8.6).
        self._on_probation = False
        self._probe: Place | None = None

    @property
    def in_flight(self) -> int:
        """How many attempts have a place."""
        return self._places.borrowed_tokens

    def is_resting(self, now: float) -> bool:
        """Whether the server asked to be left alone and the time is not over."""
        return self.resting_until is not None and now < self.resting_until

    def has_capacity(self, now: float) -> bool:
        """Whether an attempt may start now, no matter who waits."""
        return self.free_at(now) <= now

    def free_at(self, now: float) -> float:
        """When an attempt may start: `now`, the end of a rest, the return of a token.

        Infinite while that depends on an attempt's end.
        """
        if self._places.available_tokens <= 0 or self._probe is not None:
            return inf
        token_at = self.tokens.next_return(now)
        return max(token_at, self.resting_until or now, now)

    def start_request(self, now: float) -> Place | None:
        """Take a place and a token in one step; None without capacity."""
        if not self.has_capacity(now):
            return None
        place = Place(self.domain, self.tokens.take(now), now)
        self._places.acquire_on_behalf_of_nowait(place)
        self.requests_total += 1
        if self._on_probation:
            self._probe = place
        return place

    def answered(self, place: Place, now: float) -> None:
        """The first byte of the answer is here: the token's 60 seconds begin."""
        self.tokens.start_clock(place.token, now)

    def complete_request(self, place: Place, now: float, *, succeeded: bool = False) -> None:
        """The attempt is over: its place is free; nothing happens when it is already."""
        if place.open:
            self.tokens.start_clock(place.token, now)
            self._leave(place, now)
            if succeeded and place.taken_at >= (self.resting_until or 0.0):
                self._on_probation = False

    def give_back(self, place: Place, now: float) -> None:
        """No connection was begun: place and token are free, and no start is counted."""
        if place.open:
            self.tokens.give_back(place.token)
            self.requests_total -= 1
            self._leave(place, now)

    def _leave(self, place: Place, now: float) -> None:
        place.open = False
        self._places.release_on_behalf_of(place)
        self._last_active = now
        if self._probe is place:
            self._probe = None

    def rest(self, until: float, now: float) -> None:
        """Start nothing until then (at most an hour); afterwards one goes first (B 8.6)."""
        until = min(until, now + MAX_REST_SECS)
        self.resting_until = max(until, self.resting_until or 0.0)
        self._on_probation = True

    def restore(self, starts: Iterable[float], resting_until: float | None, now: float) -> None:
        """Take over what an earlier run had counted, in this run's time."""
        self.tokens.restore(starts, now)
        if resting_until is not None and resting_until > now:
            self.rest(resting_until, now)

    def idle_since(self) -> float:
        """Since when it has had no queue, token out or rest; in the future while it has one.

        Infinite while the end is not known.
        """
        if len(self.queue) or self.in_flight:
            return inf
        return max(self._last_active, self.tokens.all_back_at(), self.resting_until or 0.0)

    def enqueue_identifier(self, identifier: str, tried_urls: TriedUrls) -> None:
        """Let the identifier wait here, with the URLs of this domain already tried."""
        self.queue.enqueue(identifier, tried_urls)

    def next_ready_identifier(self) -> str | None:
        """Begin the next identifier's turn: round robin, those in progress skipped."""
        return self.queue.next_ready()

    def mark_identifier_not_in_progress(self, identifier: str) -> None:
        """The turn is over; the identifier waits again, behind the others."""
        self.queue.end_turn(identifier)

    def remove_identifier(self, identifier: str, now: float) -> None:
        """The identifier no longer waits here."""
        self.queue.remove(identifier)
        self._last_active = now

    def get_tried_urls(self, identifier: str) -> TriedUrls:
        """What was tried here for the identifier."""
        tried = self.queue.tried(identifier)
        return tried if tried is not None else TriedUrls()

    def mark_url_tried(self, identifier: str, url: str, oids: Iterable[str]) -> None:
        """The URL was asked for these OIDs; forgotten when the identifier leaves the queue."""
        if (tried := self.queue.tried(identifier)) is not None:
            tried.mark(url, oids)
