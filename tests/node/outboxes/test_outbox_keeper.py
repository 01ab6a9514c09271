"""Conversations are followed on participants' relays: in a world of relays in memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio

from benchmarks.outbox_world import NOW, SERVICE, OutboxWorld, an_event, relay_url
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import Author, announcement

OWNER = Author.from_seed(1)
HOUR = 3600.0
INDEX = 90

random = Random(7)


def somebody() -> str:
    return f"{random.getrandbits(256):064x}"


def issue(author: str | None = None) -> Event:
    tags = [("a", f"30617:{OWNER.pubkey}:r")]
    return an_event(random, author or somebody(), 1621, tags, NOW - 1000)


def reply(root: Event, author: str | None = None, *, created_at: int = NOW - 500) -> Event:
    return an_event(
        random, author or somebody(), 1111, [("E", root.id), ("e", root.id)], created_at
    )


def relay_list(author: str, *relays: tuple[int, str], created_at: int = NOW - 2000) -> Event:
    tags = [("r", relay_url(n), *([use] if use else [])) for n, use in relays]
    return an_event(random, author, 10002, tags, created_at)


def repository() -> Event:
    return announcement(
        OWNER,
        "r",
        clone=[f"https://{SERVICE}/{OWNER.npub}/r.git"],
        relays=[f"wss://{SERVICE}"],
        created_at=NOW - 5000,
    )


def a_world(*numbers: int, **sync: Any) -> OutboxWorld:
    """Relays with these numbers; an index relay beside them where one is to be asked."""
    world = OutboxWorld(0, **sync)
    world.relays = {n: world.new_relay() for n in numbers}
    return world


async def at(seconds: float) -> None:
    await trio.sleep_until(seconds)


async def test_b_15_7_a_reply_is_found_in_the_outbox_of_another_participant(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1, 2), issue()
    answer = reply(root)
    await world.relays[1].publish([answer])
    world.serve(root, relay_list(root.pubkey, (1, "write")))

    async with world.running():
        await at(90)
        assert answer.id in world.served
        assert world.dials.keys() == {1}


async def test_b_15_7_a_reply_brings_an_author_whose_outbox_is_asked_in_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1, 2, INDEX, user_index_relays=(relay_url(INDEX),)), issue()
    first = reply(root)
    second = an_event(random, somebody(), 1111, [("e", first.id)])
    await world.relays[1].publish([first])
    await world.relays[2].publish([second])
    await world.relays[INDEX].publish([relay_list(first.pubkey, (2, "write"))])
    world.serve(root, relay_list(root.pubkey, (1, "write")))

    async with world.running():
        await at(60)
        assert second.id not in world.served
        # A relay that one stranger names waits for a day, or for a second one who names it.
        await at(24 * HOUR + 600)
        assert second.id in world.served


async def test_b_15_2_inboxes_of_root_authors_and_of_owners_by_coordinate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1, 2, 3), issue()
    unseen, answer = issue(), reply(root)
    await world.relays[1].publish([answer])
    await world.relays[2].publish([unseen])
    lists = (
        relay_list(root.pubkey, (1, "read")),
        relay_list(OWNER.pubkey, (2, "read"), (3, "write")),
    )
    world.serve(repository(), root, *lists)

    async with world.running():
        await at(120)
        assert {answer.id, unseen.id} <= world.served.keys()
        assert world.dials.keys() == {1, 2, 3}


async def test_b_15_5_each_relay_is_visited_every_hour_and_no_connection_stays(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running():
        await at(120)
        assert world.connections == 0
        late = reply(root, created_at=NOW + 100)
        await world.relays[1].publish([late])
        await at(HOUR + 120)
        assert late.id in world.served
        await at(20 * HOUR)
        times = world.dials[1]
        gaps = [after - before for before, after in pairwise(times)]
        assert all(gap <= 1.25 * HOUR for gap in gaps)
        assert 18 <= len(times) - 2 <= 28  # beside NIP-11, once a day
        assert world.connections == 0


async def test_b_15_5_a_relay_that_fails_is_tried_less_and_less(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    world.dead.add(1)
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running() as outboxes:
        await at(8 * HOUR)
        times = sorted({round(each, -1) for each in world.dials[1]})
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps[:4] == pytest.approx([300, 600, 1200, 2400], abs=20)
        assert gaps[4:]
        assert all(gap >= HOUR - 20 for gap in gaps[4:])
        (look,) = outboxes.relays()
        assert (look.found, look.owners, look.failures) == ("outbox", 0, len(times))
        assert outboxes.counts().relays == {"reached": 0, "failing": 1, "waiting": 0}


async def test_b_15_5_a_new_participant_has_its_relay_visited_soon_but_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running():
        await at(300)
        before = len(world.dials[1])
        for number in range(10):
            newcomer = reply(root)
            world.serve(newcomer, relay_list(newcomer.pubkey, (1, "")))
            await trio.sleep(180)
            assert len(world.dials[1]) == before + 1, number


async def test_b_15_4_a_relay_that_is_followed_is_not_visited(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running():
        world.upstream.follow([relay_url(1)])
        await at(3 * HOUR)
        assert len(world.dials[1]) <= 2 + 2  # NIP-11 and the one connection; a first visit at most


async def test_b_15_6_a_list_is_looked_for_where_lists_are_known(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1, INDEX, user_index_relays=(relay_url(INDEX),)), issue()
    answer = reply(root)
    await world.relays[1].publish([answer])
    listed = relay_list(root.pubkey, (1, ""))
    profile = an_event(random, root.pubkey, 0, [])
    other = relay_list(answer.pubkey, (1, ""))
    await world.relays[INDEX].publish([listed, profile, other])
    world.serve(root)

    async with world.running():
        await at(400)
        assert {listed.id, profile.id, answer.id} <= world.served.keys()
        dialled = len(world.dials[INDEX])
        await at(23 * HOUR)
        assert len(world.dials[INDEX]) == dialled  # found: asked again after a day
        await at(25 * HOUR)
        assert len(world.dials[INDEX]) > dialled


async def test_b_15_6_without_a_list_fallback_relays_once_an_index_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = a_world(
        5, INDEX, user_index_relays=(relay_url(INDEX),), plus_fallback_relays=(relay_url(5),)
    )
    root = issue()
    answer = reply(root)
    await world.relays[5].publish([answer])
    world.dead.add(INDEX)
    world.serve(root)

    async with world.running():
        await at(250)
        assert 5 not in world.dials
        world.dead.clear()
        await at(HOUR)
        assert answer.id in world.served
        # A list is found: nobody has the fallback relay visited any more.
        world.serve(relay_list(root.pubkey, (6, "")))
        await at(HOUR + 120)
        dialled = len(world.dials[5])
        await at(5 * HOUR)
        assert len(world.dials[5]) == dialled


async def test_b_15_6_empty_lists_mean_that_nobody_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    world.serve(root, *(reply(root) for _ in range(20)))

    async with world.running():
        await at(48 * HOUR)
        assert not world.dials


async def test_b_15_6_a_list_that_is_served_already_is_taken_at_a_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1, INDEX, user_index_relays=(relay_url(INDEX),)), issue()
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running():
        await at(120)
        assert world.dials.keys() == {1}


async def test_b_15_2_what_is_gone_brings_no_visit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world, root = a_world(1), issue()
    listed = relay_list(root.pubkey, (1, ""))
    world.serve(root, listed)

    async with world.running():
        await at(120)
        dialled = len(world.dials[1])
        assert dialled
        world.withdraw(root)
        await at(10 * HOUR)
        assert len(world.dials[1]) == dialled


async def visits_of(world: OutboxWorld, hours: float) -> Sequence[float]:
    await at(hours * HOUR)
    return world.dials[1]


@pytest.mark.parametrize("blocked", [True, False])
async def test_b_15_2_a_blacklisted_author_brings_no_visit(
    autojump_clock: trio.testing.MockClock, blocked: bool
) -> None:
    world = a_world(1)
    root = issue(OWNER.pubkey)
    if blocked:
        world.block(OWNER.npub)
    world.serve(root, relay_list(root.pubkey, (1, "")))

    async with world.running():
        assert bool(await visits_of(world, 1)) is not blocked
