"""The functions of the design by their names: choose a URL, ask it, hunt for an identifier."""

from __future__ import annotations

import attrs
import structlog
import trio

from ..errors import InvalidUrl, ResultClass
from ..urls import parse_web_url
from .hunt_attempt import fly
from .limits.hunt_state import Flight, Hunt
from .limits.shared_limits import Throttles
from .limits.sync_context import SyncContext
from .limits.tried_urls import TriedUrls
from .source_choice import Reservation, Survey, choose, survey
from .strategy import pursue, throttled_domains

log = structlog.get_logger()


@attrs.frozen
class ThrottledDomainInfo:
    """A throttled domain that has untried URLs for an identifier (mission S8)."""

    domain: str
    tried_urls_for_domain: TriedUrls


async def sync_identifier(ctx: SyncContext, identifier: str, throttles: Throttles) -> bool:
    """Hunt for everything that the identifier's held events lack (mission S5).

    Asks unthrottled domains until nothing is missing or nobody is left to ask, and queues the
    identifier with the throttled ones; never waits for those. What lacks nothing is released.

    Returns True when nothing is pending any more, False when the identifier must back off.
    Cancellation ends its attempts within a second and leaves no place occupied.
    """
    with throttles.hunts.using(identifier) as hunt:
        await pursue(ctx, hunt, throttles)
    complete = not ctx.has_pending_events(identifier)
    if complete:
        throttles.dequeue(identifier)
    return complete


async def sync_identifier_next_url(
    ctx: SyncContext,
    identifier: str,
    domain: str | None,
    tried_urls: TriedUrls,
    throttles: Throttles,
) -> Reservation | None:
    """Choose the next URL to ask and reserve its place and token in the same step (mission S6).

    Args:
      domain: only a URL of this domain; None: of any domain that is not throttled.
      tried_urls: what was asked already, beside what the identifier's running hunt knows.

    Returns a reservation, to be handed to `sync_identifier_from_url` or given back; None when
    nothing is pending or needed, repository data cannot be had, no URL is untried, or no place is
    free.
    """
    if not ctx.has_pending_events(identifier):
        return None
    with throttles.hunts.using(identifier) as hunt:
        seen = await survey(ctx, identifier)
        if seen is None or not ctx.has_pending_events(identifier):
            return None
        return choose(seen, hunt, throttles, tried_urls, domain=domain)


async def sync_identifier_from_url(
    ctx: SyncContext, identifier: str, url: str | Reservation, throttles: Throttles
) -> int:
    """Ask one URL for what is needed at this moment, and release what became satisfiable (S7).

    Args:
      url: a reservation, or a URL to be asked whatever was tried before (a fetch by hand, which
        clears its naughty entries; it waits for nobody, so its domain must have capacity).

    Returns the number of OIDs obtained; 0, with no start counted, when nothing is missing, there
    is no repository data or target, or the URL is not one that may be asked.
    """
    seen = await survey(ctx, identifier)
    with throttles.hunts.using(identifier) as hunt:
        if isinstance(url, str):
            throttles.naughty.forgive(url)
            reservation = _reserve_by_hand(url, seen, hunt, throttles)
        else:
            reservation = _renew(url, seen, ctx)
        if reservation is None:
            return 0
        return await fly(ctx, reservation, throttles)


def _reserve_by_hand(
    url: str, seen: Survey | None, hunt: Hunt, throttles: Throttles
) -> Reservation | None:
    try:
        source = seen.source(parse_web_url(url).text) if seen is not None else None
    except InvalidUrl:
        return None
    now = trio.current_time()
    oids = source.oids - hunt.spoken_for(source.domain, now) if source is not None else None
    if seen is None or source is None or not oids:
        return None
    if (place := throttles.start_request(source.domain)) is None:
        return None
    flight = Flight(source.url, source.domain, oids, throttles.new_progress(now))
    hunt.depart(flight)
    return Reservation(throttles, hunt, place, source, seen, flight)


def _renew(reserved: Reservation, seen: Survey | None, ctx: SyncContext) -> Reservation | None:
    """The reservation for what is still missing; given back and passed over if nothing is."""
    source = seen.source(reserved.url, reserved.oids) if seen is not None else None
    oids = reserved.oids & source.oids if source is not None else frozenset()
    if seen is None or source is None or not oids:
        reserved.hunt.passed_over[reserved.url] = None
        ctx.record_attempt(
            reserved.hunt.identifier,
            reserved.source.event_ids,
            reserved.url,
            ResultClass.NOTHING,
            "nothing is missing any more",
        )
        reserved.give_back()
        return None
    reserved.flight.oids = oids
    return attrs.evolve(reserved, seen=seen, source=source)


async def get_throttled_domains_with_untried_urls(
    ctx: SyncContext, identifier: str, tried_urls: TriedUrls, throttles: Throttles
) -> list[ThrottledDomainInfo]:
    """The throttled domains that have untried URLs, with what was tried there (mission S8)."""
    seen = await survey(ctx, identifier)
    if seen is None:
        return []
    with throttles.hunts.using(identifier) as hunt:
        return [
            ThrottledDomainInfo(domain, tried_urls.for_domain(domain))
            for domain in throttled_domains(seen, hunt, throttles, tried_urls)
        ]
