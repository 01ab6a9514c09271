"""Random worlds, hours of virtual time, and what must hold in all of them."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from purgatory_sync.errors import (
    ConnectFailed,
    Forbidden,
    NotGit,
    RateLimited,
    ResolverFailed,
    TimedOut,
)
from purgatory_sync.hunt.limits.sync_context import AttemptObserver, Source
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.nostr.authority.repository_data import RepositoryData
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.purgatory.release_result import ProcessResult
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import Fetch, MockSyncContext

from ..purgatory.support import oid, state
from .support import looping, manager, most_in_a_window, most_in_flight

ENOUGH_ROUNDS = 120
PASSING = (
    ConnectFailed("refused"),
    TimedOut("silent"),
    RateLimited("429", 90.0),
    ResolverFailed("no answer"),
    ZeroDivisionError("a bug"),
)
LASTING = (
    Forbidden("not public"),
    NotGit("a page"),
    ConnectFailed("refused"),
    TimedOut("silent"),
    RateLimited("503", 30.0),
)


class ClumsyContext(MockSyncContext):
    """Crashes now and then, and counts starts as the servers do: when a request has come."""

    def __init__(self, purgatory: Purgatory, dice: random.Random) -> None:
        super().__init__(purgatory=purgatory)
        self.crashes = 0.0
        self.seen_by_host: dict[str, list[float]] = defaultdict(list)
        self._dice = dice

    def _may_crash(self) -> None:
        if self._dice.random() < self.crashes:
            raise ZeroDivisionError("a bug of the embedder")

    async def fetch_repository_data(self, identifier: str) -> RepositoryData | None:
        self._may_crash()
        return await super().fetch_repository_data(identifier)

    def find_target_repo(self, data: RepositoryData, source: Source) -> Path | None:
        self._may_crash()
        return super().find_target_repo(data, source)

    async def process_newly_available_git_data(
        self, source_repo: Path, new_oids: frozenset[str]
    ) -> ProcessResult:
        self._may_crash()
        return await super().process_newly_available_git_data(source_repo, new_oids)

    async def fetch_oids(
        self, repository: Path, url: str, oids: frozenset[str], observer: AttemptObserver
    ) -> frozenset[str]:
        self._may_crash()
        snapshots = SnapshotBuilder(observer, self.seen_by_host[host_of(url)], self.seen_by_host)
        return await super().fetch_oids(repository, url, oids, snapshots)


@attrs.frozen
class SnapshotBuilder:
    """Notes when a server has seen that it is asked."""

    _observer: AttemptObserver
    _asked: list[float]
    _by_host: dict[str, list[float]]

    def contacted(self) -> None:
        self._observer.contacted()

    def answered(self) -> None:
        self._asked.append(trio.current_time())
        self._observer.answered()

    def received(self, pack_bytes: int) -> None:
        self._observer.received(pack_bytes)

    def body_ended(self) -> None:
        self._observer.body_ended()

    def redirected(self, domain: str) -> bool:
        has_place = self._observer.redirected(domain)
        if has_place and self._by_host[domain] is not self._asked:
            self._by_host[domain].append(trio.current_time())
        return has_place


def host_of(url: str) -> str:
    return url.split("/")[2]


def build(seed: int, purgatory: Purgatory) -> tuple[ClumsyContext, dict[str, set[str]]]:
    """A world, and by identifier the OIDs that some server gives sooner or later."""
    dice = random.Random(seed)
    ctx = ClumsyContext(purgatory, random.Random(seed + 2))
    ctx.crashes = dice.choice((0.0, 0.0, 0.05))
    ctx.look_up_secs = dice.choice((0.0, 0.0, 0.125))
    ctx.release_secs = dice.choice((0.0, 0.5))
    available: dict[str, set[str]] = {}
    hosts = [f"h{number}.example" for number in range(dice.randint(1, 4))]
    for number in range(dice.randint(1, 12)):
        identifier = f"r{number}"
        copies = range(dice.randint(1, 3))
        urls = [f"https://{dice.choice(hosts)}/{identifier}/{copy}" for copy in copies]
        ctx.with_urls(urls, identifier)
        oids = [oid(1 + number * 10 + each) for each in range(4)]
        available[identifier] = set()
        for each in urls:
            provided = dice.sample(oids, dice.randint(0, 4))
            good = _set_up(ctx, each, hosts, dice)
            ctx.url_provides(each, provided)
            available[identifier] |= set(provided if good else ())
    return ctx, available


def _set_up(ctx: MockSyncContext, url: str, hosts: list[str], dice: random.Random) -> bool:
    what = dice.randrange(10)
    if what == 0:
        ctx.fails(url, dice.choice(LASTING))
        return False
    if what == 1:
        ctx.latency(url, 600.0).fails(url, TimedOut("silent"))
        return False
    if what == 8:
        # Where it leads others may wait whenever it is asked.
        ctx.redirects(url, dice.choice(hosts))
        return False
    if what == 9:
        ctx.answers_after(url, dice.choice((1.0, 29.0)))
    if what in (2, 3):
        ctx.fails(url, dice.choice(PASSING), times=dice.randint(1, 3))
    if what in (3, 4):
        ctx.drips(url, dice.choice((100, 5000)), dice.randint(1, 40))
    else:
        ctx.latency(url, dice.choice((0.0, 0.5, 5.0)))
    return True


async def live(seed: int) -> None:
    dice, purgatory = random.Random(seed + 1), Purgatory()
    ctx, available = build(seed, purgatory)
    throttles = manager(ctx)
    async with looping(purgatory, ctx, throttles):
        for identifier in available:
            number = int(identifier[1:])
            for each in range(dice.randint(1, 4)):
                origin = dice.choice((Origin.SYNC, Origin.USER))
                purgatory.add_state(state(identifier, 1 + number * 10 + each), origin, 0.0)
                if dice.random() < 0.3:
                    await trio.sleep(dice.choice((0.1, 1.0, 7.0)))
        for _ in range(dice.randint(0, 20)):
            await trio.sleep(dice.choice((0.0, 0.1, 7.0, 45.0)))
            disturb(purgatory, ctx, dice.choice(tuple(available)), dice)
        ctx.crashes /= 10
        for _ in range(ENOUGH_ROUNDS):
            await trio.sleep(60)
            if not releasable(purgatory, available):
                break
        assert releasable(purgatory, available) == []
        check_queued(purgatory)
    check_limits(ctx.fetches)
    check_what_servers_saw(ctx.seen_by_host)
    check_nothing_is_left(throttles)


def disturb(
    purgatory: Purgatory, ctx: MockSyncContext, identifier: str, dice: random.Random
) -> None:
    """Something comes or goes while all hunts go on."""
    some_oid = 1 + int(identifier[1:]) * 10 + dice.randrange(4)
    match dice.randrange(5):
        case 0 | 1:
            purgatory.add_state(state(identifier, some_oid), Origin.SYNC, 0.0)
        case 2:
            ctx.push([oid(some_oid)], identifier)
        case 3:
            for held in purgatory.find_state(identifier)[:1]:
                purgatory.remove_state_event(held.event_id)
        case 4 if purgatory.has_pending_events(identifier):
            purgatory.trigger_immediate_sync(identifier)


def releasable(purgatory: Purgatory, available: dict[str, set[str]]) -> list[str]:
    """Where something is still held although its objects can be had."""
    return [
        identifier
        for identifier, oids in available.items()
        if any(held.state.oids <= oids for held in purgatory.find_state(identifier))
    ]


def check_queued(purgatory: Purgatory) -> None:
    for held in purgatory.hunted_events():
        assert held.identifiers[0] in purgatory.sync_queue


def check_limits(fetches: list[Fetch]) -> None:
    by_host: dict[str, list[Fetch]] = defaultdict(list)
    by_url: dict[str, list[Fetch]] = defaultdict(list)
    for fetch in fetches:
        by_url[fetch.url].append(fetch)
        if fetch.outcome not in ("Forbidden", "ResolverFailed"):
            by_host[host_of(fetch.url)].append(fetch)
    for each in by_host.values():
        assert most_in_flight(each) <= 5
        assert most_in_a_window(each) <= 30
    for each in by_url.values():
        for one, other in pairwise(each):
            apart = one.ended_at is not None and one.ended_at <= other.at
            assert apart or not one.oids & other.oids


def check_what_servers_saw(seen_by_host: dict[str, list[float]]) -> None:
    for seen in seen_by_host.values():
        seen.sort()
        assert all(later - first >= 60.0 for first, later in zip(seen, seen[30:], strict=False))


def check_nothing_is_left(throttles: ThrottleManager) -> None:
    statistics = throttles.statistics()
    assert statistics.hunting == 0
    for living in throttles.domains:
        assert living.throttle.queue.waiting == len(living.throttle.queue)  # no turn goes on
    assert all(domain.in_flight == 0 for domain in statistics.domains.values())


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_random_worlds_keep_the_limits_and_release_all_that_can_be_had(seed: int) -> None:
    with capture_logs():
        trio.run(live, seed, clock=MockClock(autojump_threshold=0))
