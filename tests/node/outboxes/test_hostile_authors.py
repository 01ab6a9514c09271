"""What strangers can make us dial, however many keys they have (B 15.8): in virtual time."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from random import Random

import pytest
import trio

from benchmarks.outbox_world import NOW, OutboxWorld, an_event, relay_url
from purgatory_sync.node.outboxes.choosing import MAX_RELAYS
from purgatory_sync.nostr.event import Event

HOUR = 3600.0
HOSTILE = 10_000
OWN, TRAP = 0, 1_000
HOURS = 3


def most_within(times: list[float], secs: float) -> int:
    """How many lie in the fullest window of that length."""
    times = sorted(times)
    return max((bisect_left(times, at + secs) - n for n, at in enumerate(times)), default=0)


def a_reply(random: Random, root: Event, author: str) -> Event:
    return an_event(random, author, 1111, [("E", root.id), ("e", root.id)])


def a_list(random: Random, author: str, *relays: int) -> Event:
    return an_event(random, author, 10002, [("r", relay_url(n), "write") for n in relays])


@pytest.mark.parametrize("together", [False, True], ids=["each its own hosts", "in pairs"])
async def test_b_15_8_ten_thousand_hostile_authors_get_what_the_table_says(
    autojump_clock: trio.testing.MockClock, together: bool
) -> None:
    random = Random(3)
    world = OutboxWorld(1)
    owner = f"{random.getrandbits(256):064x}"
    root = an_event(random, owner, 1621, [], NOW - 1000)
    world.serve(root, a_list(random, owner, OWN))
    for number in range(HOSTILE):
        author = f"{random.getrandbits(256):064x}"
        first = TRAP + 4 * (number // 2 if together else number)
        world.serve(a_reply(random, root, author), a_list(random, author, *range(first, first + 4)))

    async with world.running() as outboxes:
        await trio.sleep_until(HOURS * HOUR)
        chosen = len(outboxes.relays())
        own = [at for at in world.dials[OWN] if at]

    assert chosen <= MAX_RELAYS
    assert world.most_connections <= 8
    # The owner's outbox is visited from the first minute on, and in time.
    assert world.dials[OWN][0] <= 60
    assert all(after - before <= 1.25 * HOUR for before, after in pairwise(own))
    assert own[-1] >= (HOURS - 1.25) * HOUR
    first_dials = [times[0] for number, times in world.dials.items() if number >= TRAP]
    if not together:
        assert first_dials == []  # each waits for a day
    assert most_within(first_dials, HOUR) <= 20
    assert most_within(first_dials, 60) <= 4
    # A relay that nobody reaches is tried less and less.
    for number, times in world.dials.items():
        if number >= TRAP:
            visits = sorted({round(at, -1) for at in times})
            assert all(b - a >= 280 for a, b in pairwise(visits)), number


async def test_b_15_8_one_stranger_has_two_new_hosts_an_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    random = Random(4)
    world = OutboxWorld(1)
    root = an_event(random, f"{random.getrandbits(256):064x}", 1621, [], NOW - 1000)
    author = f"{random.getrandbits(256):064x}"
    world.serve(root, a_reply(random, root, author))
    world.serve(a_list(random, author, TRAP, TRAP + 1, TRAP + 2, TRAP + 3))

    async with world.running():
        await trio.sleep_until(24 * HOUR - 100)
        assert not world.dials
        await trio.sleep_until(30 * HOUR)
        first = [times[0] for times in world.dials.values()]

    assert len(first) == 2  # of four relays two cover it twice
    assert most_within(first, HOUR) <= 2
