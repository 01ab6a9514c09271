"""What the engine itself costs: servers that answer at once, releases that cost nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from statistics import median

import trio
from trio.testing import MockClock

from purgatory_sync.hunt.loop import start_sync_loop
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.state import State
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.settings import PurgatorySettings, SyncSettings
from purgatory_sync.testing.mock_context import OWNER, MockSyncContext

from .measuring import Effort, Goal, Line, spending

# So few that a slow machine does not take waiting for the processor for slow servers (B 8.5).
IDENTIFIERS = 2_000
DOMAINS = 100
QUEUED = 100_000
FEW = 10
FAR_SECS = 1e6
POLITE = SyncSettings()
IMPOLITE = SyncSettings(domain_concurrent=10**6, domain_rate_limit=10**6)

Work = Callable[[Purgatory, MockSyncContext], Awaitable[float]]


def measure_engine(effort: Effort) -> list[Line]:
    """Identifiers a second of processor time, from the queue to the release."""
    count = effort.of(IDENTIFIERS)
    states = [make_state(number) for number in range(1, count + 1)]

    async def hunt_all(purgatory: Purgatory, ctx: MockSyncContext) -> float:
        for number, state in enumerate(states):
            url = f"https://host-{number % DOMAINS}.example/{state.identifier}.git"
            ctx.with_urls([url], state.identifier).url_provides(url, state.oids)
        with spending() as spent:
            for state in states:
                purgatory.add_state(state, Origin.SYNC, 0.0, delay=0.0)
            while len(purgatory.sync_queue):  # noqa: ASYNC110 - there is no signal when it is empty
                await trio.sleep(0.1)
        if len(ctx.releases) != count or len(ctx.fetches) != count:
            raise RuntimeError(f"{len(ctx.fetches)} fetches and {len(ctx.releases)} releases")
        return count / spent.cpu

    rates = [_run(hunt_all, IMPOLITE) for _ in range(max(1, effort.times // 3))]
    what = "identifiers through queue, hunt and release"
    detail = f"{count:,} on {DOMAINS} domains, limits out of the way"
    return [Line(what, median(rates), "/s", Goal(5_000.0, "more"), detail)]


def measure_tick(effort: Effort) -> list[Line]:
    """One tick of the loop with ten hunts that have no source, among few and among many."""
    many = effort.of(QUEUED)

    async def tick(purgatory: Purgatory, ctx: MockSyncContext) -> float:
        names = [f"due-{number}" for number in range(FEW)]
        for name in names:
            ctx.with_repo_data(None, name)
        costs = []
        await trio.sleep(0.5)
        for _ in range(10 * effort.times):
            for name in names:
                purgatory.sync_queue.enqueue(name, 0.0)
            with spending() as spent:
                await trio.sleep(1.0)
            costs.append(spent.cpu)
            if any(name in purgatory.sync_queue for name in names):
                raise RuntimeError("what was due was not hunted")
        return median(costs)

    def among(queued: int) -> Work:
        async def work(purgatory: Purgatory, ctx: MockSyncContext) -> float:
            for number in range(queued):
                purgatory.sync_queue.enqueue(f"waiting-{number}", FAR_SECS + number)
            return await tick(purgatory, ctx)

        return work

    # This clock jumps when no task has anything to do, so that a tick takes no second.
    alone, crowded = (
        _run(among(queued), POLITE, MockClock(autojump_threshold=0)) for queued in (FEW, many)
    )
    what = f"tick with {FEW} due of {many:,} queued, against of {2 * FEW}"
    detail = f"{1e6 * crowded:.0f} µs by {1e6 * alone:.0f} µs"
    return [Line(what, crowded / alone, "x", Goal(2.0), detail)]


def _run(work: Work, sync: SyncSettings, clock: trio.abc.Clock | None = None) -> float:
    """Run the loop with a world of its own."""

    async def main() -> float:
        purgatory = Purgatory(PurgatorySettings(), sync)
        ctx = MockSyncContext(purgatory=purgatory)
        throttles = ThrottleManager(ctx, sync)
        async with trio.open_nursery() as nursery:
            await nursery.start(throttles.run)
            await nursery.start(start_sync_loop, purgatory, ctx, throttles)
            result = await work(purgatory, ctx)
            nursery.cancel_scope.cancel()
        return result

    return trio.run(main, clock=clock)


def make_state(number: int) -> State:
    event = Event(
        id=f"{number:064x}",
        pubkey=OWNER,
        created_at=number,
        kind=kinds.STATE,
        tags=(("d", f"repository-{number}"), ("refs/heads/main", f"{number:040x}")),
        content="",
        sig="0" * 128,
    )
    return State.parse(event)
