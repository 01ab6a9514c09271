"""Pushes that wait, for their turn or for the lock, and what changes meanwhile (B 6.7)."""

from __future__ import annotations

import os
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.pushes.in_flight import PushesInFlight
from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing import events

from ...git.local_repos import history
from ...world import NOW, World
from ..upkeep.test_sweep import sweeper
from .pushing_support import (
    MAIN,
    NOSTR,
    OWNER,
    STRANGER,
    TARGET,
    awaiting,
    pack,
    pusher_of,
    refusal,
    state,
)


async def test_b_6_7_nothing_expires_while_a_push_that_may_rely_on_it_waits_for_its_turn(
    world: World, autojump_clock: MockClock
) -> None:
    pusher = pusher_of(world)
    await world.announce(OWNER)
    await world.announce(STRANGER)
    (step,) = history(1)
    ours = state({MAIN: step.oid})
    theirs = events.state(STRANGER, "repo", {MAIN: step.oid}, created_at=NOW - 10)
    asked = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    for event in (ours, theirs, asked):
        await world.offer(event)
    sweeping = attrs.evolve(sweeper(world), in_flight=pusher.in_flight)
    with pusher.in_flight.waiting(TARGET):
        await trio.sleep(1801)
        await sweeping.sweep()
        assert world.purgatory.get(ours.id) is not None
        assert world.purgatory.get(asked.id) is not None
        assert world.purgatory.get(theirs.id) is None
    assert pusher.in_flight == PushesInFlight()
    await sweeping.sweep()
    assert world.purgatory.get(ours.id) is None
    assert world.purgatory.get(asked.id) is None


@pytest.mark.real
async def test_b_6_7_what_is_refused_after_its_proof_leaves_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    pusher = pusher_of(world, limits=HuntSettings(ingest="git"))  # which works in a folder
    step, event = await awaiting(world)
    changes: dict[str, str | None] = {MAIN: step.oid}
    said: list[str] = []

    async def pushed() -> None:
        said.append(await refusal(pusher, changes, pack([step])))

    open_files = len(os.listdir("/proc/self/fd"))
    deletion = events.deletion(OWNER, ids=[event.id], created_at=NOW)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        for each in (partial(world.offer, deletion), pushed):
            nursery.start_soon(each)
            await trio.sleep(1)
    assert "no state event" in said[0]
    assert os.listdir(world.repositories.tmp) == []
    assert len(os.listdir("/proc/self/fd")) == open_files


async def test_n5_a_pack_joins_only_the_repository_that_it_was_proven_for(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    steps = history(2)
    await pusher.receive(TARGET, {NOSTR: steps[0].oid}, pack(steps[:1]))
    await world.offer(state({MAIN: steps[1].oid}))
    changes: dict[str, str | None] = {MAIN: steps[1].oid}
    said: list[str] = []

    async def announced_again() -> None:
        await world.announce(OWNER, created_at=NOW - 50)

    async def pushed() -> None:
        said.append(await refusal(pusher, changes, pack(steps[1:])))

    deletion = events.deletion(OWNER, ids=[announcement.id], created_at=NOW)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        # The pack is proven while all of them wait for the lock, the push as the last.
        for each in (partial(world.offer, deletion), announced_again, pushed):
            nursery.start_soon(each)
            await trio.sleep(1)
    assert "try again" in said[0]
    assert world.refs(OWNER) == {}
    assert present_oids(world.path(OWNER), [steps[1].oid]) == frozenset()
    await pusher.receive(TARGET, changes, pack(steps))
    assert world.refs(OWNER) == changes
