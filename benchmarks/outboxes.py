"""Visits to participants' relays: connections, how often each is visited, memory (GRASP-03)."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import attrs
import trio
import trio.testing

from purgatory_sync.node.process.heap import give_back_memory
from purgatory_sync.nostr.event import Event

from .measuring import Effort, Goal, Line
from .outbox_world import NOW, OutboxWorld, an_event, relay_url

RELAYS, PEOPLE, CONVERSATIONS = 60, 2_000, 5_000
INDEX = 200
HOUR = 3600.0
# New hosts are dialled at 20 an hour: all sixty are known after three.
HOURS_UNTIL_ALL, HOURS_WATCHED = 4.0, 3.0


@attrs.frozen
class Result:
    """What one run showed.

    Attributes:
      most_connections: open at once.
      chosen: relays that are visited.
      longest_secs: between the beginnings of two visits of one relay.
      grown_mib: resident memory, beside what the relays themselves hold.
      found, missing: replies that lay on participants' relays only.
    """

    most_connections: int
    chosen: int
    longest_secs: float
    grown_mib: float
    found: int
    missing: int


def measure_outboxes(effort: Effort) -> list[Line]:
    """A node that follows 5,000 conversations of 2,000 participants on 60 relays."""
    relays = effort.of(RELAYS, 6)
    people, conversations = effort.of(PEOPLE, 20), effort.of(CONVERSATIONS, 50)
    result = follow(relays, people, conversations)
    detail = f"{conversations} conversations, {people} participants, {result.chosen} relays"
    found = f"{result.found} of {result.found + result.missing} replies were found"
    return [
        Line("connections at once", result.most_connections, "", Goal(8), detail),
        Line("between two visits", result.longest_secs / 60, "min", Goal(75), found),
        Line("memory", result.grown_mib, "MiB", Goal(40)),
    ]


def follow(relays: int, people: int, conversations: int) -> Result:
    """Run the simulated world for some hours of virtual time."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(_follow, relays, people, conversations, clock=clock)


async def _follow(relays: int, people: int, conversations: int) -> Result:
    world = OutboxWorld(0, user_index_relays=(relay_url(INDEX),))
    world.relays = {number: world.new_relay() for number in (*range(relays), INDEX)}
    hidden = await _fill(world, relays, people, conversations)
    gc.collect()
    before = _resident_mib()
    grown = 0.0
    async with world.running() as outboxes, trio.open_nursery() as nursery:
        nursery.start_soon(give_back_memory)  # as the node does
        for _ in range(int(HOURS_UNTIL_ALL + HOURS_WATCHED)):
            await trio.sleep(HOUR)
            gc.collect()
            grown = max(grown, _resident_mib() - before)
        end, chosen = trio.current_time(), len(outboxes.relays())
        nursery.cancel_scope.cancel()
    longest = max(_longest(world.dials[n], end) for n in range(relays) if world.dials[n])
    found = sum(each.id in world.served for each in hidden)
    most = world.most_connections
    return Result(most, chosen, longest, grown, found, len(hidden) - found)


def _longest(times: Sequence[float], end: float) -> float:
    """The longest time between two visits since all relays were dialled once."""
    watched = [at for at in times if at <= HOURS_UNTIL_ALL * HOUR][-1:]
    watched += [at for at in times if at > HOURS_UNTIL_ALL * HOUR]
    return max(after - before for before, after in pairwise([*watched, end]))


async def _fill(
    world: OutboxWorld, relays: int, people: int, conversations: int
) -> Sequence[Event]:
    """Conversations that are served here, and replies to them that are elsewhere only."""
    random = Random(5)
    keys = [f"{random.getrandbits(256):064x}" for _ in range(people)]
    named = {key: random.sample(range(relays), 2) for key in keys}
    uses = {key: zip(numbers, ("write", "read"), strict=True) for key, numbers in named.items()}
    lists = [
        an_event(random, key, 10002, [("r", relay_url(number), use) for number, use in each])
        for key, each in uses.items()
    ]
    await world.relays[INDEX].publish(lists)
    elsewhere: dict[int, list[Event]] = {number: [] for number in range(relays)}
    hidden = []
    for number in range(conversations):
        root = an_event(random, keys[number % people], 1621, [], NOW - random.randrange(10**6))
        tags = [("E", root.id), ("e", root.id)]
        replies = [an_event(random, random.choice(keys), 1111, tags) for _ in range(3)]
        world.serve(root, *replies)
        if number % 10 == 0:
            reply = an_event(random, random.choice(keys), 1111, [("e", replies[0].id)])
            hidden.append(reply)
            for relay in named[root.pubkey]:
                elsewhere[relay].append(reply)
        for relay in named[root.pubkey]:
            elsewhere[relay] += [root, *replies]
    for relay, events in elsewhere.items():
        await world.relays[relay].publish(events)
    return hidden


def _resident_mib() -> float:
    """The resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
