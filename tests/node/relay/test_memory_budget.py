"""What is kept for all clients is bounded, and those pay who make us keep most."""

from __future__ import annotations

import json
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.node.http.server_stream import PIECE_BYTES
from purgatory_sync.node.relay.client_messages import FILTER_BYTES
from purgatory_sync.node.relay.memory_budget import REASON, MemoryBudget
from purgatory_sync.node.relay.outbox import LOW_BYTES, MAX_BYTES, Outbox
from purgatory_sync.node.relay.relay import LAST_WORDS_SECS
from purgatory_sync.node.relay.subscriptions import ID_BYTES, REMEMBER_SECS, Subscriptions

from .relay_support import MemoryBackend, in_place, make_event, talking


@attrs.define(eq=False)
class Client:
    ended: str | None = None

    def end(self, reason: str) -> None:
        self.ended = reason


def test_those_with_the_most_are_ended_until_an_eighth_is_free() -> None:
    budget = MemoryBudget(800)
    clients = [Client() for _ in range(4)]
    for client, count in zip(clients, (50, 300, 250, 200), strict=True):
        budget.keep(client, count)
    assert [client.ended for client in clients] == [None] * 4
    budget.keep(clients[0], 1)
    assert [client.ended for client in clients] == [None, REASON, None, None]
    assert budget.kept_bytes == 501
    budget.keep(clients[0], 299)
    assert budget.kept_bytes == 800
    budget.keep(clients[3], 1)
    # An eighth is free again: one is enough.
    assert [client.ended for client in clients] == [REASON, REASON, None, None]
    assert budget.kept_bytes == 451
    assert len(REASON) <= 123


def test_what_leaves_is_counted_no_more() -> None:
    budget = MemoryBudget()
    one, other = Client(), Client()
    budget.keep(one, 5)
    budget.keep(other, 7)
    budget.free(one, 2)
    assert budget.kept_bytes == 10
    budget.leave(one)
    budget.leave(one)
    budget.free(one, 3)
    assert budget.kept_bytes == 7


async def test_what_waits_to_be_sent_is_counted(autojump_clock: trio.testing.MockClock) -> None:
    budget = MemoryBudget()
    outbox, other = Outbox(budget), Outbox(budget)
    await outbox.put(b"1234")
    outbox.offer(bytes(PIECE_BYTES))
    other.offer(b"8")
    assert budget.kept_bytes == 5 + PIECE_BYTES
    await outbox.take()
    assert budget.kept_bytes == 5 + PIECE_BYTES  # what is being sent is kept, too
    await outbox.take()
    assert budget.kept_bytes == 1 + PIECE_BYTES
    outbox.end("a reason")
    outbox.offer(b"more")
    outbox.keep(3)
    assert budget.kept_bytes == 1


async def test_a_crowd_of_slow_readers_keeps_no_more_than_all_may(
    autojump_clock: trio.testing.MockClock,
) -> None:
    most, size = 4 * MAX_BYTES, MAX_BYTES // 8
    budget = MemoryBudget(most)
    crowd_of = [Outbox(budget) for _ in range(100)]
    for _ in range(7):
        for outbox in crowd_of:
            outbox.offer(bytes(size))
            assert budget.kept_bytes <= most
    assert {outbox.ended for outbox in crowd_of} == {None, REASON}


VALUES = [f"{number:064x}" for number in range(1000)]
KINDS = [*range(1000, 3000)]


@pytest.mark.parametrize(
    "wanted", [{"ids": VALUES}, {"authors": VALUES}, {"#e": VALUES}, {"kinds": KINDS}]
)
async def test_filters_are_counted_and_the_client_with_the_most_is_dropped(
    autojump_clock: trio.testing.MockClock, wanted: dict[str, list[str]]
) -> None:
    backend = MemoryBackend()
    backend.subscriptions = Subscriptions(MemoryBudget(1_000_000))
    budget = backend.subscriptions.budget
    async with in_place(), talking(backend) as greedy, talking(backend) as modest:
        modest.say("REQ", "s", {"kinds": [1]})
        assert await modest.hear() == ["EOSE", "s"]
        number = 0
        while len(backend.subscriptions) > number:
            number += 1
            greedy.say("REQ", str(number), wanted)
            await trio.sleep(1)
            assert budget.kept_bytes <= 1_000_000
        await trio.sleep(LAST_WORDS_SECS)
        assert greedy.closed == (1008, REASON)
        assert 3 < number < 10
        assert budget.kept_bytes < 10_000
        backend.serve(make_event(1))
        assert (await modest.hear())[0] == "EVENT"


async def test_what_is_kept_for_stored_events_is_counted_while_it_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    budget = backend.subscriptions.budget
    backend.events = [make_event(number, content="x" * LOW_BYTES) for number in range(8)]
    async with talking(backend, room=0) as client:
        client.say("REQ", "s", {})
        await trio.sleep(1)
        # A page, and what of it waits to be sent.
        assert 8 * LOW_BYTES < budget.kept_bytes < 11 * LOW_BYTES
        backend.serve(make_event(9, content="y" * LOW_BYTES))
        assert budget.kept_bytes > 9 * LOW_BYTES
        for _ in range(10):
            await client.hear()
        await trio.sleep(REMEMBER_SECS)
        backend.serve(make_event(10))
        assert json.loads(await client._from_relay.receive())[0] == "EVENT"
        assert budget.kept_bytes < 10_000
        client.say("CLOSE", "s")
        await trio.sleep(1)
        assert budget.kept_bytes == 0


async def test_ids_of_what_was_sent_are_counted_while_they_are_remembered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.events = [make_event(number) for number in range(100)]
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        await trio.sleep(1)
        filters = backend.subscriptions.budget.kept_bytes - 100 * ID_BYTES
        assert 0 < filters < 2 * FILTER_BYTES
        await trio.sleep(REMEMBER_SECS)
        backend.serve(make_event(100))
        await trio.sleep(1)
        assert backend.subscriptions.budget.kept_bytes == filters


async def test_what_becomes_new_before_the_stored_is_sent_is_counted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.before_query = partial(trio.sleep, 10)
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        await trio.sleep(1)
        kept = backend.subscriptions.budget.kept_bytes
        backend.serve(make_event(1, content="x" * LOW_BYTES))
        assert LOW_BYTES < backend.subscriptions.budget.kept_bytes - kept < LOW_BYTES + 1000


@pytest.mark.parametrize(
    "question", [["COUNT", "s", {"ids": VALUES}], ["NEG-OPEN", "s", {"ids": VALUES}, "61"]]
)
async def test_a_question_is_counted_until_it_is_answered(
    autojump_clock: trio.testing.MockClock, question: list[object]
) -> None:
    backend = MemoryBackend()
    backend.before_query = partial(trio.sleep, 10)
    async with in_place(), talking(backend) as client:
        client.say(*question)
        await trio.sleep(1)
        assert backend.subscriptions.budget.kept_bytes > 64 * len(VALUES)
        await trio.sleep(10)
        assert backend.subscriptions.budget.kept_bytes == 0


async def test_what_waits_for_a_client_that_left_is_counted_no_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.events = [make_event(number, content="x" * LOW_BYTES) for number in range(3)]
    async with talking(backend, room=0) as client:
        client.say("REQ", "s", {})
        await trio.sleep(1)
        assert backend.subscriptions.budget.kept_bytes > LOW_BYTES
