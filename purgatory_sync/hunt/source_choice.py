"""Which source to ask next: choosing a URL and reserving its place are one step (B 8.2)."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import trio

from ..nostr.authority.repository_data import RepositoryData
from .limits.domain_throttle import Place
from .limits.hunt_state import Flight, Hunt
from .limits.shared_limits import Throttles
from .limits.sources import find_sources
from .limits.sync_context import Need, Source, SyncContext
from .limits.tried_urls import TriedUrls


@attrs.frozen
class Survey:
    """What is missing for an identifier at one moment, and who may have it.

    Attributes:
      sources: in announcement order; naughty ones are in it too.
    """

    data: RepositoryData
    needs: tuple[Need, ...]
    sources: tuple[Source, ...]

    @property
    def releases_due(self) -> tuple[Need, ...]:
        """The needs with nothing missing: what only waits to be released."""
        return tuple(need for need in self.needs if not need.oids)

    @property
    def missing(self) -> frozenset[str]:
        """All objects that are missing for some event."""
        if len(self.needs) == 1:
            return self.needs[0].oids
        return frozenset().union(*(need.oids for need in self.needs))

    def source(self, url: str, oids: frozenset[str] | None = None) -> Source | None:
        """The first source with that URL (that may serve some of the OIDs), or None."""
        return next(
            (
                source
                for source in self.sources
                if source.url == url and (oids is None or not oids.isdisjoint(source.oids))
            ),
            None,
        )


async def survey(ctx: SyncContext, identifier: str) -> Survey | None:
    """Find out what is missing now; None when the repository data cannot be had."""
    data = await ctx.fetch_repository_data(identifier)
    if data is None:
        return None
    needs = await ctx.collect_needed_oids(identifier, data)
    urls = ctx.collect_pr_clone_urls(identifier)
    return Survey(data, needs, find_sources(data, needs, urls, ctx.our_domain))


@attrs.frozen(eq=False)
class Reservation:
    """A chosen URL with its place and token, handed on to the attempt or given back.

    Attributes:
      source: what the URL may be asked for; `oids` is what it shall be asked for.
      seen: the survey by which it was chosen.
    """

    throttles: Throttles
    hunt: Hunt
    place: Place
    source: Source
    seen: Survey
    flight: Flight
    _changes: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_changes", self.hunt.changes)

    @property
    def is_current(self) -> bool:
        """Whether nothing that is missing changed since the choice."""
        return self._changes == self.hunt.changes

    @property
    def url(self) -> str:
        """The URL to ask."""
        return self.source.url

    @property
    def domain(self) -> str:
        """The domain at which the place is."""
        return self.place.domain

    @property
    def oids(self) -> frozenset[str]:
        """What to ask for."""
        return self.flight.oids

    @property
    def event_ids(self) -> frozenset[str]:
        """The events of the source that lack some of what is asked for."""
        return frozenset(
            need.event_id
            for need in self.seen.needs
            if need.event_id in self.source.event_ids and not need.oids.isdisjoint(self.oids)
        )

    def give_back(self) -> None:
        """Nothing was begun: place and token are free again, and the URL may be chosen anew."""
        self.hunt.arrive(self.flight)
        self.throttles.give_back(self.place)
        self.throttles.hunts.drop_if_over(self.hunt)


def askable(
    seen: Survey, hunt: Hunt, throttles: Throttles, tried: TriedUrls
) -> Iterator[tuple[Source, frozenset[str]]]:
    """The sources that are neither naughty nor skipped, with what they are untried for.

    What other attempts ask for at the moment is not left out.
    """
    for source in seen.sources:
        if source.url in hunt.skipped or throttles.is_naughty(source.url):
            continue
        oids = tried.untried(source.url, hunt.tried.untried(source.url, source.oids))
        if oids:
            yield source, oids


def sync_identifier_next_url(
    seen: Survey,
    hunt: Hunt,
    throttles: Throttles,
    tried: TriedUrls,
    *,
    domain: str | None = None,
    place: Place | None = None,
) -> Reservation | None:
    """Choose the next URL to ask and take its place and token in one step (S6, B 8.2).

    A URL that is not being asked goes before one that is (for other objects), one that did not
    want to be left alone before one that did, one that was not asked in earlier rounds before one
    that was; of several domains the one with the most to
    spare, which stays free longest; then announcement order.

    Args:
      seen: what is missing and where it may be.
      tried: what was asked already, beside what the running hunt knows.
      domain: only URLs of this domain, no matter who waits there; else any that is not throttled.
      place: a place at `domain` that was taken before; stays the caller's when None is returned.

    Returns a reservation, to be handed to `sync_identifier_from_url` or given back; None when
    nothing is needed, no URL is untried, or no place is free.
    """
    now = trio.current_time()
    possible: list[tuple[Source, frozenset[str]]] = []
    for source, untried in askable(seen, hunt, throttles, tried):
        if domain is not None and source.domain != domain:
            continue
        oids = untried - hunt.spoken_for(source.domain, now) if hunt.flights else untried
        if not oids:
            continue
        if domain is None and throttles.is_throttled_for(source.domain, hunt.identifier):
            continue
        possible.append((source, oids))
    if not possible:
        return None
    source, oids = possible[0]
    if len(possible) > 1:
        source, oids = min(
            possible,
            key=lambda each: (
                hunt.is_asked(each[0].url),
                tried.was_limited(each[0].url) or hunt.tried.was_limited(each[0].url),
                hunt.asked_in_earlier_rounds(each[0].url),
                *throttles.rank(each[0].domain),
            ),
        )
    place = place or throttles.start_request(source.domain)
    if place is None:
        return None
    flight = Flight(source.url, source.domain, oids, throttles.new_progress(now))
    hunt.depart(flight)
    return Reservation(throttles, hunt, place, source, seen, flight)
