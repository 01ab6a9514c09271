"""The steps of a hunt: look what is missing, ask who may have it, look again (B 8.5, 8.11)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from ..runtime.logger import get_logger
from .hunt_attempt import sync_identifier_from_url
from .limits.hunt_state import Flight, Hunt, Look
from .limits.shared_limits import Throttles
from .limits.sync_context import Source, SyncContext
from .limits.tried_urls import TriedUrls
from .source_choice import Reservation, Survey, askable, survey, sync_identifier_next_url

log = get_logger(__name__)


async def pursue(
    ctx: SyncContext,
    hunt: Hunt,
    throttles: Throttles,
    *,
    first: Reservation | None = None,
) -> None:
    """Hunt until nothing more can be begun and all attempts of this pursuit have ended.

    Everything that no other attempt asks for is asked for at once; what a slow one asks for is
    asked for at another domain too. What only throttled domains may have is queued there.

    Args:
      first: an attempt to begin with (a domain's turn): other ways are looked for only once it
        is slow, and no longer than it goes on.

    Cancelling ends the attempts; places are free afterwards.
    """
    own: list[Flight] = []

    async with trio.open_nursery() as nursery:

        def launch(reservation: Reservation) -> None:
            own.append(reservation.flight)
            nursery.start_soon(sync_identifier_from_url, ctx, reservation, throttles)

        def is_flying() -> bool:
            return any(flight in hunt.flights for flight in own)

        if first is not None:
            look = hunt.look(trio.current_time(), newcomers=False)
            launch(first)
            await hunt.news(look)
        while first is None or is_flying():
            look, seen = await _step(ctx, hunt, throttles, launch)
            if seen is not None and (not is_flying() or hunt.has_slow_flight(trio.current_time())):
                queue_at_throttled(seen, hunt, throttles)
            if not is_flying() or not ctx.has_pending_events(hunt.identifier):
                return
            look.round_at = hunt.next_round_at(trio.current_time())
            await hunt.news(look)
            if trio.current_time() >= look.round_at:
                hunt.begin_round()


async def _step(
    ctx: SyncContext,
    hunt: Hunt,
    throttles: Throttles,
    launch: Callable[[Reservation], None],
) -> tuple[Look, Survey | None]:
    """Look at all that is missing and begin what can be begun; nothing waits after the choice."""
    while True:
        look = hunt.look(trio.current_time())
        if not ctx.has_pending_events(hunt.identifier):
            hunt.cancel_flights()
            throttles.dequeue(hunt.identifier)
            return look, None
        seen = await survey(ctx, hunt.identifier)
        if look.arrivals != hunt.arrivals:
            continue  # what an attempt brought meanwhile may count as missing in what was seen
        if seen is None:
            return look, None
        if not await _ask_for_releases(ctx, hunt, seen):
            break
    missing = seen.missing
    hunt.cancel_useless(missing)
    while not hunt.has_in_hand(missing):
        reservation = sync_identifier_next_url(seen, hunt, throttles, hunt.tried)
        if reservation is None:
            break
        launch(reservation)
    return look, seen


async def _ask_for_releases(ctx: SyncContext, hunt: Hunt, seen: Survey) -> bool:
    """Have released what lacks nothing, once in a hunt; returns whether it was asked for."""
    due = [need for need in seen.releases_due if need.event_id not in hunt.releases_asked]
    asked = False
    for need in due:
        hunt.releases_asked[need.event_id] = None
        owner = need.owners[0] if need.owners else None
        source = Source("", "", owner, frozenset(), frozenset((need.event_id,)))
        target = ctx.find_target_repo(seen.data, source)
        if target is not None and not asked:
            asked = True
            await ctx.process_newly_available_git_data(target, frozenset())
    return asked


def queue_at_throttled(seen: Survey, hunt: Hunt, throttles: Throttles) -> tuple[str, ...]:
    """Let the identifier wait at every throttled domain with untried URLs; returns those."""
    queued = []
    for found in get_throttled_domains_with_untried_urls(seen, hunt, throttles, hunt.tried):
        domain, tried = found.domain, found.tried_urls_for_domain
        if throttles.enqueue_identifier(domain, hunt.identifier, tried):
            queued.append(domain)
            log.debug("throttled", identifier=hunt.identifier, domain=domain)
    return tuple(queued)


@attrs.frozen
class ThrottledDomainInfo:
    """A throttled domain that has untried URLs for an identifier, and what was tried there."""

    domain: str
    tried_urls_for_domain: TriedUrls


def get_throttled_domains_with_untried_urls(
    seen: Survey, hunt: Hunt, throttles: Throttles, tried: TriedUrls
) -> tuple[ThrottledDomainInfo, ...]:
    """The throttled domains with URLs that are untried for something missing (S8)."""
    domains = dict.fromkeys(
        source.domain
        for source, _ in askable(seen, hunt, throttles, tried)
        if throttles.is_throttled_for(source.domain, hunt.identifier)
    )
    return tuple(ThrottledDomainInfo(each, tried.for_domain(each)) for each in domains)
