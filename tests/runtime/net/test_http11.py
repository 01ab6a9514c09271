"""One connection to a server that does not take or not give what it should."""

from __future__ import annotations

import h11
import pytest
import trio
import trio.testing

from purgatory_sync.errors import ConnectFailed, TimedOut
from purgatory_sync.runtime.net.http11 import HttpConnection

POST = h11.Request(method="POST", target="/x", headers=[("host", "x"), ("content-length", "9")])
NO_CONTENT = b"HTTP/1.1 204 No\r\n\r\n"


async def test_b_8_4_a_request_that_is_not_taken_has_the_time_of_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, _ = trio.testing.lockstep_stream_pair()
    started = trio.current_time()
    with pytest.raises(TimedOut, match="was not taken within 30 s"):
        await HttpConnection(ours, 30).request(POST, b"123456789")
    assert trio.current_time() - started == 30


async def test_an_answer_may_come_before_all_of_the_request_is_taken() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(NO_CONTENT)
    theirs.receive_stream.close()
    answer = await HttpConnection(ours, 30).request(POST, b"123456789")
    assert answer.status_code == 204


async def test_a_connection_that_ends_without_an_answer() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_eof()
    with pytest.raises(ConnectFailed, match="closed without an answer"):
        await HttpConnection(ours, 30).request(POST, b"123456789")


async def test_bytes_without_a_request_make_a_connection_unfit_for_more() -> None:
    for extra, fit in ((b"", True), (b"HTTP/1.1 200 OK\r\n\r\n", False)):
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(NO_CONTENT + extra)
        connection = HttpConnection(ours, 30)
        await connection.request(POST, b"123456789")
        assert await connection.read() == b""
        assert connection.start_next() is fit
        assert not connection.is_tunnel()


async def test_n3_tiny_chunks_keep_no_other_task_waiting() -> None:
    """Ten thousand come in one piece; they kept the event loop busy for a quarter of a second."""
    ours, theirs = trio.testing.memory_stream_pair()
    chunks = 10_000
    await theirs.send_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    await theirs.send_all(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
    connection = HttpConnection(ours, 30)
    turns = 0

    async def another() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        await connection.request(POST, b"123456789")
        while await connection.read():
            pass
        nursery.cancel_scope.cancel()
    assert turns > chunks / 100
