"""Bounded, in order, and ended rather than grown."""

from __future__ import annotations

import trio
import trio.testing

from purgatory_sync.node.http.server_stream import PIECE_BYTES
from purgatory_sync.node.relay.outbox import (
    LOW_BYTES,
    LOW_MESSAGES,
    MAX_BYTES,
    MAX_MESSAGES,
    Outbox,
)


async def put_many(outbox: Outbox, count: int, size: int = 1) -> None:
    for _ in range(count):
        await outbox.put(bytes(size))


async def test_order_is_kept(autojump_clock: trio.testing.MockClock) -> None:
    outbox = Outbox()
    await outbox.put(b"1")
    outbox.offer(b"2")
    await outbox.put(b"3")
    assert await outbox.take() == [b"1", b"2", b"3"]


async def test_what_is_taken_together_fits_into_one_piece(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outbox = Outbox()
    for size in (PIECE_BYTES - 1, 1, 1, PIECE_BYTES + 1, 1):
        await outbox.put(bytes(size))
    sizes = [[len(each) for each in await outbox.take()] for _ in range(4)]
    assert sizes == [[PIECE_BYTES - 1, 1], [1], [PIECE_BYTES + 1], [1]]


async def test_put_waits_for_room(autojump_clock: trio.testing.MockClock) -> None:
    for count, size in ((LOW_MESSAGES, 1), (1, LOW_BYTES)):
        outbox = Outbox()
        await put_many(outbox, count, size)
        with trio.move_on_after(1) as scope:
            await outbox.put(b"more")
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.put, b"last")
            await trio.testing.wait_all_tasks_blocked()
            taken = await outbox.take()
        assert len(taken) == count
        assert b"more" not in taken
        assert await outbox.take() == [b"last"]


async def test_offer_ends_a_client_that_does_not_keep_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for count, size in ((MAX_MESSAGES, 1), (8, MAX_BYTES // 8)):
        outbox, reasons = Outbox(), []
        for _ in range(count + 1):
            reasons.append(outbox.ended)
            outbox.offer(bytes(size))
        assert reasons == [None] * (count + 1)
        assert outbox.ended == "too slow: reconnect and ask again for what is new"
        assert await outbox.take() == []


async def test_end_wakes_the_reader_that_waits(autojump_clock: trio.testing.MockClock) -> None:
    full, empty = Outbox(), Outbox()
    await put_many(full, LOW_MESSAGES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(full.put, b"x")
        nursery.start_soon(empty.take)
        await trio.testing.wait_all_tasks_blocked()
        full.end("a")
        empty.end("b")
        empty.end("c")
    assert (full.ended, empty.ended) == ("a", "b")
