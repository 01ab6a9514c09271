"""Nothing ends that a push may rely on while it waits for its turn (B 6.7)."""

from __future__ import annotations

import attrs
import trio
from trio.testing import MockClock

from purgatory_sync.engine.in_hand import PushesInHand
from purgatory_sync.testing import events

from ..git.local_repos import history
from ..world import NOW, World
from .pushing_support import MAIN, OWNER, STRANGER, TARGET, pusher_of, state
from .test_sweeping import sweeper


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
    sweeping = attrs.evolve(sweeper(world), in_hand=pusher.in_hand)
    with pusher.in_hand.waiting(TARGET):
        await trio.sleep(1801)
        await sweeping.sweep()
        assert world.purgatory.get(ours.id) is not None
        assert world.purgatory.get(asked.id) is not None
        assert world.purgatory.get(theirs.id) is None
    assert pusher.in_hand == PushesInHand()
    await sweeping.sweep()
    assert world.purgatory.get(ours.id) is None
    assert world.purgatory.get(asked.id) is None
