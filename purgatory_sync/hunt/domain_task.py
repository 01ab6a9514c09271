"""The long-lived task of one domain, and the turns that identifiers take at it (S9, S10)."""

from __future__ import annotations

import trio

from ..runtime.logger import get_logger
from .limits.domain_throttle import Place
from .limits.hunt_state import Hunt
from .limits.living_domains import IDLE_SECS, LivingDomain
from .limits.shared_limits import Throttles
from .source_choice import askable, survey, sync_identifier_next_url
from .strategy import pursue

log = get_logger(__name__)


async def run_domain(throttles: Throttles, living: LivingDomain) -> None:
    """Give turns to those who wait, as places and tokens allow; ends after ten idle minutes.

    It sleeps until the doorbell rings, or until the oldest token returns or the rest ends when
    an identifier waits for that. Cancelling ends the turns that are going on.
    """
    throttle = living.throttle
    with living.scope:
        async with trio.open_nursery() as nursery:
            while True:
                now = trio.current_time()
                if living.ends_at() <= now:
                    throttles.domains.end(living)
                    return
                while throttle.queue.waiting and throttle.has_capacity(now):
                    _begin_turn(throttles, living, nursery)
                waits = throttle.queue.waiting > 0
                # The end of an idle time that depends on an attempt is looked up in time.
                await living.wait(
                    throttle.free_at(now) if waits else min(living.ends_at(), now + IDLE_SECS)
                )


def _begin_turn(throttles: Throttles, living: LivingDomain, nursery: trio.Nursery) -> None:
    domain = living.throttle.domain
    place = throttles.start_request(domain)
    if place is not None and (identifier := living.throttle.next_ready_identifier()) is not None:
        nursery.start_soon(process_queued_identifier, throttles, domain, identifier, place)


async def process_queued_identifier(
    throttles: Throttles, domain: str, identifier: str, place: Place
) -> None:
    """Ask one URL of the domain for the identifier; it leaves the queue when none is left.

    However it ends, cancellation and crashes included, the place is free and the identifier is
    not in progress.
    """
    stays = False
    try:
        with throttles.hunts.using(identifier) as hunt:
            stays = await _turn(throttles, hunt, domain, place)
    except Exception:
        log.exception("turn crashed", identifier=identifier, domain=domain)
    finally:
        if place.open:
            throttles.give_back(place)
        if stays:
            throttles.mark_identifier_not_in_progress(domain, identifier)
        else:
            throttles.remove_identifier(domain, identifier)


async def _turn(throttles: Throttles, hunt: Hunt, domain: str, place: Place) -> bool:
    """Returns whether the identifier goes on waiting at the domain."""
    ctx, identifier = throttles.ctx, hunt.identifier
    tried = throttles.tried_at(domain, identifier)
    while True:
        look = hunt.look(trio.current_time(), newcomers=False)
        seen = await survey(ctx, identifier) if ctx.has_pending_events(identifier) else None
        if look.arrivals == hunt.arrivals:
            break
    if seen is None:
        return False
    reservation = sync_identifier_next_url(seen, hunt, throttles, tried, domain=domain, place=place)
    if reservation is not None:
        await pursue(ctx, hunt, throttles, first=reservation)
        return ctx.has_pending_events(identifier)
    if hunt.flights and any(s.domain == domain for s, _ in askable(seen, hunt, throttles, tried)):
        # Another attempt asks for the same and gets on well: this turn is for when it fails.
        throttles.give_back(place)
        await hunt.news(look)
        return True
    return False
