"""A mock world with a running throttle manager, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import attrs
import trio

from purgatory_sync.hunt.limits.domain_throttle import Place
from purgatory_sync.hunt.limits.sync_context import Source
from purgatory_sync.hunt.limits.tried_urls import TriedUrls
from purgatory_sync.hunt.loop import start_sync_loop
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.hunt.source_choice import Reservation, survey, sync_identifier_next_url
from purgatory_sync.hunt.strategy import (
    ThrottledDomainInfo,
    get_throttled_domains_with_untried_urls,
)
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.settings import SyncSettings
from purgatory_sync.testing.mock_context import Fetch, MockSyncContext, clock_at

EPOCH = 1_000_000.0


def url(name: str, repository: str = "r") -> str:
    return f"https://{name}.example/{repository}.git"


A, B, C, D = url("a"), url("b"), url("c"), url("d")


def manager(ctx: MockSyncContext, *, concurrent: int = 5, per_minute: int = 30) -> ThrottleManager:
    settings = SyncSettings(domain_concurrent=concurrent, domain_rate_limit=per_minute)
    return ThrottleManager(ctx, settings, wall=clock_at(EPOCH))


@asynccontextmanager
async def serving(throttles: ThrottleManager) -> AsyncIterator[trio.Nursery]:
    """The manager's tasks run within the block, and are cancelled at its end."""
    async with trio.open_nursery() as nursery:
        await nursery.start(throttles.run)
        yield nursery
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def looping(
    purgatory: Purgatory, ctx: MockSyncContext, throttles: ThrottleManager
) -> AsyncIterator[trio.Nursery]:
    """Manager and main loop run within the block, and are cancelled at its end."""
    async with serving(throttles) as nursery:
        await nursery.start(start_sync_loop, purgatory, ctx, throttles)
        yield nursery


def saturate(throttles: ThrottleManager, domain: str, places: int = 5) -> list[Place]:
    """Take all places of a domain; returns them."""
    taken = [throttles.start_request(domain) for _ in range(places)]
    return [place for place in taken if place is not None]


async def next_url(
    ctx: MockSyncContext,
    identifier: str,
    domain: str | None,
    tried: TriedUrls,
    throttles: ThrottleManager,
) -> Reservation | None:
    """What a hunt does before it asks: look what is missing, and choose."""
    if not ctx.has_pending_events(identifier):
        return None
    with throttles.hunts.using(identifier) as hunt:
        seen = await survey(ctx, identifier)
        if seen is None:
            return None
        return sync_identifier_next_url(seen, hunt, throttles, tried, domain=domain)


async def throttled_domains(
    ctx: MockSyncContext, identifier: str, tried: TriedUrls, throttles: ThrottleManager
) -> tuple[ThrottledDomainInfo, ...]:
    """The throttled domains that have untried URLs for what is missing now."""
    seen = await survey(ctx, identifier)
    assert seen is not None
    with throttles.hunts.using(identifier) as hunt:
        return get_throttled_domains_with_untried_urls(seen, hunt, throttles, tried)


def starts(ctx: MockSyncContext) -> list[tuple[float, str]]:
    """When each URL was asked."""
    return [(fetch.at, fetch.url) for fetch in ctx.fetches]


def asked(ctx: MockSyncContext) -> list[tuple[float, str, list[str]]]:
    """When each URL was asked, and for what."""
    return [(fetch.at, fetch.url, sorted(fetch.oids)) for fetch in ctx.fetches]


def most_in_flight(fetches: Iterable[Fetch]) -> int:
    """How many of them went on at one moment, at most."""
    moments = [(fetch.at, 1) for fetch in fetches]
    moments += [(fetch.ended_at, -1) for fetch in fetches if fetch.ended_at is not None]
    now = most = 0
    for _, step in sorted(moments):
        now += step
        most = max(most, now)
    return most


def most_in_a_window(fetches: Iterable[Fetch], secs: float = 60.0) -> int:
    """How many of them started within any 60 seconds, at most."""
    times = [fetch.at for fetch in fetches]
    return max((sum(at - secs < other <= at for other in times) for at in times), default=0)


def by_domain(ctx: MockSyncContext) -> Counter[str]:
    """How often each host was asked."""
    return Counter(fetch.url.split("/")[2] for fetch in ctx.fetches)


def source(name: str, *oids: str) -> Source:
    return Source(url(name), f"{name}.example", "a" * 64, frozenset(oids), frozenset({"event-1"}))


@attrs.define
class Finished:
    """What a task returned, and when."""

    at: float | None = None
    value: object = None

    async def run(self, work: object, *args: object) -> None:
        """Run an async function and note its result."""
        self.value = await work(*args)  # type: ignore[operator]
        self.at = trio.current_time()
