"""The sweep by itself: a failure in it stops nothing else."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.engine.context import RealSyncContext
from purgatory_sync.engine.upkeep.sweep import Sweeper
from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.hunt.limits.sync_context import Need
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.nostr.authority.repository_data import RepositoryData
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import HuntedEvent
from purgatory_sync.records import Placeholder
from purgatory_sync.release.index.missing_objects import Missing
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, SERVICE, World

OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)
MAIN = "refs/heads/main"


def sweeper(world: World, clock: WallClock | None = None) -> Sweeper:
    clock = clock or world.admission.clock
    client = GitClient(world.settings.hunt, Gate(), world.repositories.tmp)
    context = RealSyncContext(world.core, world.releaser, client, clock, SERVICE)
    throttles = ThrottleManager(context, wall=clock)
    return Sweeper(
        world.core, world.releaser, throttles, world.settings.purgatory, clock, clock.now()
    )


async def hold_two(world: World) -> tuple[Event, Event]:
    """Two states of identifiers of their own, the first of them held first."""
    held = []
    for author, identifier in ((OWNER, "bad"), (OTHER, "good")):
        await world.announce(author, identifier)
        state = events.state(author, identifier, {MAIN: "1" * 40}, created_at=NOW - 50)
        await world.offer(state)
        held.append(state)
    return held[0], held[1]


async def hold_untried(world: World) -> Event:
    """A state with a source that is never tried."""
    event = events.announcement(
        OWNER,
        "repo",
        clone=[f"https://{SERVICE}/{OWNER.npub}/repo.git", "https://far.example.com/repo.git"],
        relays=[f"wss://{SERVICE}"],
        created_at=NOW - 100,
    )
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    for each in (event, state):
        assert (await world.offer(each)).accepted
    return state


@pytest.mark.parametrize("failure", [RepositoryError("damaged"), OSError("gone"), KeyError("?")])
async def test_an_event_that_cannot_be_judged_keeps_no_other_from_its_end(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
) -> None:
    bad, good = await hold_two(world)
    sweep = sweeper(world)
    look = RealSyncContext.collect_needed_oids

    async def fails(
        ctx: RealSyncContext, identifier: str, data: RepositoryData
    ) -> tuple[Need, ...]:
        if identifier == "bad":
            raise failure
        return await look(ctx, identifier, data)

    monkeypatch.setattr(RealSyncContext, "collect_needed_oids", fails)
    await trio.sleep(1801)
    await sweep.sweep()
    held = await world.held()
    assert bad.id in held
    assert good.id not in held


async def test_b_8_10_a_failing_sweep_still_queues_what_was_lost(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hold_two(world)
    await trio.sleep(1801)
    world.purgatory.sync_queue.remove("good")

    async def fails(
        entries: Sequence[HuntedEvent], index: object, repositories: object
    ) -> dict[str, Missing]:
        raise ZeroDivisionError

    monkeypatch.setattr("purgatory_sync.engine.context.identify_missing_oids", fails)
    await sweeper(world).sweep()
    assert "good" in world.purgatory.sync_queue


async def test_a_sweep_that_is_cancelled_in_the_middle_leaves_nothing_open(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(self: Sweeper) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Sweeper, "sweep", endless)
    with trio.move_on_after(5):
        await sweeper(world).run()
    gc.collect()  # what is left open is warned of now
    await trio.lowlevel.checkpoint()


async def test_b_8_9_nothing_ends_untried_because_the_machine_slept(
    world: World, autojump_clock: MockClock
) -> None:
    state = await hold_untried(world)
    asleep = 0.0
    clock = WallClock(world.admission.clock.epoch, lambda: asleep)
    sweep = sweeper(world, clock)
    await sweep.sweep()
    asleep = 25 * 3600.0
    await sweep.sweep()
    assert state.id in await world.held()
    await trio.sleep(24 * 3600 - 1)
    await sweep.sweep()
    assert state.id in await world.held()
    await trio.sleep(1)
    await sweep.sweep()
    assert state.id not in await world.held()


async def test_b_2_7_a_held_pull_request_keeps_the_repository_it_addresses(
    world: World, autojump_clock: MockClock
) -> None:
    for owner in (OWNER, OTHER):
        await world.announce(owner)
    await trio.sleep(1000)
    await world.offer(events.pull_request(OTHER, [OWNER.coordinate("repo")], "1" * 40))
    await trio.sleep(900)
    await sweeper(world).sweep()
    assert is_repository(world.path(OWNER))
    assert not is_repository(world.path(OTHER))


async def test_b_8_9_a_source_without_a_repository_to_fetch_into_needs_no_try(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce_group(OWNER, OTHER)
    request = events.pull_request(
        OWNER, [OTHER.coordinate("repo")], "1" * 40, clone=["https://far.example.com/repo.git"]
    )
    await world.offer(request)
    world.repositories.remove(OWNER.pubkey, "repo")
    await trio.sleep(1801)
    await sweeper(world).sweep()
    assert world.purgatory.get(request.id) is None


async def test_what_was_released_while_the_sweep_waited_does_not_expire(
    world: World, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    steps = history(1)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    await world.offer(state)
    await trio.sleep(1801)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(sweeper(world).sweep)
        await wait_all_tasks_blocked()
        world.give(OWNER, steps)
        await world.releaser.process_locked("repo")
    assert await world.served() == {announcement.id, state.id}
    assert not (await world.store.load()).expired
    assert is_repository(world.path(OWNER))


async def test_b_9_a_clock_that_is_set_back_prolongs_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    state, _ = await hold_two(world)
    announcement = world.purgatory.find_announcement(OWNER.pubkey, "bad")
    waiting = Placeholder(OTHER.pubkey, "good", "5" * 64, "1" * 40, NOW)
    world.purgatory.placeholders.add(waiting)
    ahead = 365 * 86_400.0
    clock = WallClock(world.admission.clock.epoch - ahead, lambda: ahead)
    sweep = sweeper(world, clock)
    await sweep.sweep()
    ahead = 0.0
    await sweep.sweep()
    assert world.purgatory.get(state.id) is not None
    await trio.sleep(1800)
    await sweep.sweep()
    assert world.purgatory.get(state.id) is None
    assert len(world.purgatory.placeholders) == 0
    assert announcement is not None
    assert announcement.soft_expired_at == clock.now()
    await trio.sleep(24 * 3600)
    await sweep.sweep()
    assert world.purgatory.get(announcement.event_id) is None


async def test_b_8_9_the_latest_end_comes_no_later_because_the_clock_was_set_back(
    world: World, autojump_clock: MockClock
) -> None:
    state = await hold_untried(world)
    ahead = 365 * 86_400.0
    clock = WallClock(world.admission.clock.epoch - ahead, lambda: ahead)
    sweep = sweeper(world, clock)
    ahead = 0.0
    await sweep.sweep()
    await trio.sleep(24 * 3600 - 1)
    await sweep.sweep()
    assert world.purgatory.get(state.id) is not None
    await trio.sleep(1)
    await sweep.sweep()
    assert world.purgatory.get(state.id) is None


async def test_b_4_3_a_placeholder_that_came_anew_meanwhile_does_not_end(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    over = Placeholder(OWNER.pubkey, "repo", "5" * 64, "1" * 40, NOW - 1200)
    anew = Placeholder(OWNER.pubkey, "repo", "5" * 64, "2" * 40, NOW)
    row = Placeholder(**attrs.asdict(anew))
    world.purgatory.placeholders.add(over)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(sweeper(world).sweep)
        await trio.sleep(1)
        await world.store.apply(Change(placeholders=[row]))
        world.purgatory.placeholders.add(anew)
    assert list(world.purgatory.placeholders) == [anew]
    assert (await world.store.load()).placeholders == (row,)


async def test_b_2_7_what_its_soft_end_could_not_remove_goes_when_it_is_forgotten(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(owner: str, identifier: str) -> None:
        raise RepositoryError("in use")

    await world.announce(OWNER)
    with monkeypatch.context() as patch:
        patch.setattr(world.repositories, "remove", fails)
        await trio.sleep(1800)
        await sweeper(world).sweep()
    assert is_repository(world.path(OWNER))
    await trio.sleep(24 * 3600)
    await sweeper(world).sweep()
    assert await world.held() == set()
    assert not is_repository(world.path(OWNER))
