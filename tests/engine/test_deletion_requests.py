"""Deletion requests about nothing are bounded, and leave after a time (B 5.4)."""

from __future__ import annotations

from pathlib import Path

import attrs

from purgatory_sync.engine.upkeep.spent_requests import RequestKeeper
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.kinds.deletions import (
    MAX_TARGETS,
    SPENT,
    TOO_LONG,
    TOO_MANY,
    TOO_MANY_IN_ALL,
)
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing.events import Author, announcement
from purgatory_sync.testing.mock_context import clock_at

from ..world import NOW, World

OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)
SERVED, GATE, USED = 30 * 86_400.0, 180 * 86_400.0, 270 * 86_400.0


def request(*targets: tuple[str, str]) -> Event:
    return OWNER.sign(5, "", targets, NOW - 1)


async def later(world: World, secs: float) -> None:
    """Let time pass and look at what is over."""
    world.admission = attrs.evolve(world.admission, clock=clock_at(NOW + secs))
    clock, settings = world.admission.clock, world.settings.purgatory
    await RequestKeeper(world.store, world.core, clock, settings).let_go()


async def test_b_5_4_a_request_without_effect_leaves_and_keeps_out_for_a_time(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    target = OWNER.sign(10317, "", [("g", "wss://x.example")], NOW - 5)
    unused = request(("e", target.id))
    assert (await world.offer(unused)).accepted
    await later(world, SERVED - 10)
    assert unused.id in await world.served()
    await later(world, SERVED + 10)
    assert unused.id not in await world.served()
    assert (await world.offer(unused, Origin.SYNC)).message == SPENT
    await world.core.ledger.apply(Change(tombstones_ended=NOW + SERVED + GATE + 1))
    assert (await world.offer(target)).accepted, "nothing keeps it out any more"


async def test_b_5_4_what_had_an_effect_keeps_out_for_ever(tmp_path: Path) -> None:
    world = World(tmp_path)
    target = OWNER.sign(10317, "", [("g", "wss://x.example")], NOW - 5)
    assert (await world.offer(target)).accepted
    used = request(("e", target.id))
    assert (await world.offer(used)).accepted
    late = OWNER.sign(10317, "", [("g", "wss://y.example")], NOW - 4)
    first_without = request(("e", late.id))
    assert (await world.offer(first_without)).accepted
    await later(world, USED / 2)
    assert await world.served() == {used.id}
    assert not (await world.offer(late)).accepted, "now it had an effect"
    assert not (await world.offer(target)).accepted, "and so did the first"
    assert (await world.offer(first_without)).accepted
    await later(world, USED + 10)
    assert await world.served() == {used.id, first_without.id}, "the last effect counts"
    await later(world, 1.5 * USED + 10)
    assert await world.served() == set()
    assert (await world.offer(used, Origin.SYNC)).message == SPENT
    await later(world, 100 * USED)
    await world.core.ledger.apply(Change(tombstones_ended=NOW + 100 * USED))
    for each in (target, late):
        assert (await world.offer(each)).message == "invalid: deleted by its author"


async def test_b_5_4_that_it_keeps_out_is_noted_once_a_day(tmp_path: Path) -> None:
    world, applied = World(tmp_path), []
    target = OWNER.sign(10317, "", [("g", "wss://x.example")], NOW - 5)
    assert (await world.offer(target)).accepted
    assert (await world.offer(request(("e", target.id)))).accepted
    apply = world.store.apply

    async def counting(change: Change) -> Applied:
        applied.append(change)
        return await apply(change)

    world.store.apply = counting  # type: ignore[method-assign]
    for secs, writes in ((60, 0), (86_500, 1), (86_600, 1), (173_000, 2)):
        world.admission = attrs.evolve(world.admission, clock=clock_at(NOW + secs))
        assert not (await world.offer(target)).accepted
        assert len(applied) == writes


async def test_b_5_4_so_many_in_all_and_so_many_events_in_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    few = attrs.evolve(world.settings.purgatory, max_requests=2)
    settings = attrs.evolve(world.settings, purgatory=few)
    world.admission = attrs.evolve(world.admission, settings=settings)
    for number, author in enumerate((OWNER, OTHER, Author.from_seed(3))):
        event = author.sign(5, "", [("e", f"{number:064x}")], NOW - 1)
        assert (await world.offer(event)).message == ("" if number < 2 else TOO_MANY_IN_ALL)
    named = [("e", f"{number:064x}") for number in range(MAX_TARGETS + 1)]
    assert (await world.offer(request(*named))).message == TOO_LONG


async def test_b_5_4_so_many_of_one_author_and_none_about_nothing(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    few = attrs.evolve(world.settings.purgatory, max_requests_per_author=2)
    settings = attrs.evolve(world.settings, purgatory=few)
    world.admission = attrs.evolve(world.admission, settings=settings)
    grasps = OWNER.sign(10317, "", [("g", "wss://x.example")], NOW - 5)
    assert (await world.offer(grasps)).accepted
    for number in range(3):
        said = await world.offer(request(("e", f"{number:064x}")))
        assert said.message == ("" if number < 2 else TOO_MANY)
    assert (await world.offer(request(("e", grasps.id)))).accepted
    assert grasps.id not in await world.served()
    foreign = OTHER.sign(5, "", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await world.offer(foreign)).accepted
    await later(world, 1)
    assert foreign.id not in await world.served()


async def test_b_5_4_what_else_keeps_versions_out_makes_no_request_look_old(
    tmp_path: Path,
) -> None:
    """A refused announcement bars older ones for seven days (B 2.2); its author may delete it."""
    world = World(tmp_path)
    await world.announce(OTHER)
    elsewhere = announcement(
        OWNER, "repo", clone=["https://x.example/r.git"], relays=["wss://x.example"], created_at=NOW
    )
    assert not (await world.offer(elsewhere)).accepted
    asks = OWNER.sign(5, "", [("a", str(OWNER.coordinate("repo")))], NOW + 1)
    answer = await world.offer(asks)
    assert (answer.accepted, answer.message) == (True, "")
    await later(world, SERVED - 10)
    assert asks.id in await world.served()
