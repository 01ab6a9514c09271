"""How near the optimum the hunt is under its own limits, in virtual time (mission N8).

The lower bound is what a planner could do that knows everything: the shortest time in which
each identifier can be given to one of its domains, none of which takes more than its limits allow
(found by maximum flow).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from random import Random

import attrs
import trio
from trio.testing import MockClock

from purgatory_sync.hunt.loop import start_sync_loop
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.settings import PurgatorySettings, SyncSettings
from purgatory_sync.testing.mock_context import Fetch, MockSyncContext

from .engine import make_state
from .measuring import Effort, Goal, Line

IDENTIFIERS = 1_000
DOMAINS = 50
MOST_SOURCES = 3
FETCH_SECS = 1.0
TICK_SECS = 1.0
WINDOW_SECS = 60.0
LIMITS = SyncSettings()
SEED = 34


@attrs.frozen
class World:
    """Which domains have which identifier; a few domains have most, as in the real corpus."""

    sources: Mapping[int, tuple[int, ...]]

    @classmethod
    def make(cls, identifiers: int, domains: int) -> World:
        """The same world for the same sizes."""
        chance = Random(SEED)
        weights = [1 / (1 + domain) for domain in range(domains)]
        return cls(
            {
                number: tuple(
                    dict.fromkeys(
                        chance.choices(range(domains), weights, k=chance.randint(1, MOST_SOURCES))
                    )
                )
                for number in range(identifiers)
            }
        )


def measure_politeness(effort: Effort) -> list[Line]:
    """1,000 identifiers over 50 domains under 5 at a time and 30 in any 60 seconds."""
    world = World.make(effort.of(IDENTIFIERS), effort.of(DOMAINS, least=2))
    fetches = _hunt_all(world)
    served = sorted(fetch.ended_at for fetch in fetches if fetch.ended_at is not None)
    bound = lower_bound(world.sources)
    size = (
        f"{len(world.sources):,} identifiers on {len({*sum(world.sources.values(), ())})} domains"
    )
    return [
        Line(
            "time to all, by the lower bound",
            served[-1] / bound,
            "x",
            Goal(1.05),
            size + f": {served[-1]:.0f} s by {bound:.0f} s",
        ),
        Line("most starts in any 60 s at a domain", _most_starts(fetches), "", Goal(30.0)),
        Line("most in flight at a domain", _most_in_flight(fetches), "", Goal(5.0)),
        Line(
            "longest wait by its place in the domain's queue", _worst_wait(fetches), "x", Goal(1.1)
        ),
    ]


def _hunt_all(world: World) -> list[Fetch]:
    async def main() -> list[Fetch]:
        purgatory = Purgatory(PurgatorySettings(), LIMITS)
        ctx = MockSyncContext(purgatory=purgatory)
        throttles = ThrottleManager(ctx, LIMITS)
        start = trio.current_time()
        for number, domains in world.sources.items():
            state = make_state(number + 1)
            urls = [f"https://d{domain}.example/{state.identifier}.git" for domain in domains]
            ctx.with_urls(urls, state.identifier)
            for url in urls:
                ctx.url_provides(url, state.oids).latency(url, FETCH_SECS)
            purgatory.add_state(state, Origin.SYNC, 0.0, delay=0.0)
        async with trio.open_nursery() as nursery:
            await nursery.start(throttles.run)
            await nursery.start(start_sync_loop, purgatory, ctx, throttles)
            while len(purgatory.sync_queue):  # noqa: ASYNC110 - there is no signal when it is empty
                await trio.sleep(TICK_SECS)
            nursery.cancel_scope.cancel()
        for fetch in ctx.fetches:
            fetch.at -= start
            fetch.ended_at = None if fetch.ended_at is None else fetch.ended_at - start
        return ctx.fetches

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def ideal_ends(count: int) -> list[float]:
    """When the k-th attempt at one domain can be over at the soonest, for k up to count."""
    starts: list[float] = []
    for k in range(count):
        soonest = 0.0
        if k >= LIMITS.domain_concurrent:
            soonest = starts[k - LIMITS.domain_concurrent] + FETCH_SECS
        if k >= LIMITS.domain_rate_limit:
            soonest = max(soonest, starts[k - LIMITS.domain_rate_limit] + WINDOW_SECS)
        starts.append(soonest)
    return [start + FETCH_SECS for start in starts]


def lower_bound(sources: Mapping[int, Sequence[int]]) -> float:
    """The shortest time in which every identifier can be served, by any plan."""
    ends = ideal_ends(len(sources))
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        capacity = sum(end <= ends[middle] for end in ends)
        if _fits(sources, capacity):
            high = middle
        else:
            low = middle + 1
    return ends[low]


def _fits(sources: Mapping[int, Sequence[int]], capacity: int) -> bool:
    """Whether a flow exists: one unit from each identifier, at most `capacity` into a domain."""
    taken: dict[int, set[int]] = defaultdict(set)
    return all(_place(number, sources, taken, capacity) for number in sources)


def _place(
    number: int, sources: Mapping[int, Sequence[int]], taken: dict[int, set[int]], capacity: int
) -> bool:
    """Find an augmenting path for one more identifier, shortest first."""
    came_from: dict[int, tuple[int, int | None]] = {}
    todo: deque[tuple[int, int | None]] = deque([(number, None)])
    while todo:
        who, freed = todo.popleft()
        for domain in sources[who]:
            if domain in came_from:
                continue
            came_from[domain] = who, freed
            if len(taken[domain]) < capacity:
                _shift(domain, came_from, taken)
                return True
            todo += [(other, domain) for other in sorted(taken[domain])]
    return False


def _shift(
    domain: int, came_from: Mapping[int, tuple[int, int | None]], taken: dict[int, set[int]]
) -> None:
    at: int | None = domain
    while at is not None:
        who, freed = came_from[at]
        taken[at].add(who)
        if freed is not None:
            taken[freed].discard(who)
        at = freed


def _by_domain(fetches: Sequence[Fetch]) -> list[list[Fetch]]:
    found: dict[str, list[Fetch]] = defaultdict(list)
    for fetch in fetches:
        found[fetch.url.split("/")[2]].append(fetch)
    return [sorted(each, key=lambda fetch: fetch.at) for each in found.values()]


def _most_starts(fetches: Sequence[Fetch]) -> int:
    return max(
        sum(first.at <= fetch.at < first.at + WINDOW_SECS for fetch in each)
        for each in _by_domain(fetches)
        for first in each
    )


def _most_in_flight(fetches: Sequence[Fetch]) -> int:
    return max(
        sum(f.at <= moment.at and (f.ended_at or f.at) > moment.at for f in each)
        for each in _by_domain(fetches)
        for moment in each
    )


def _worst_wait(fetches: Sequence[Fetch]) -> float:
    """The k-th that a domain served, by when the k-th can be served at the soonest there."""
    worst = 0.0
    for each in _by_domain(fetches):
        ends = sorted(fetch.ended_at or 0.0 for fetch in each)
        worst = max(
            worst,
            *(
                end / (ideal + TICK_SECS)
                for end, ideal in zip(ends, ideal_ends(len(ends)), strict=True)
            ),
        )
    return worst
