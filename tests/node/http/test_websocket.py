"""Sockets on upgraded streams: frames, limits and how they end."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
import trio
import trio.testing
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect

from purgatory_sync.node.frames.deflate import LARGE_BYTES
from purgatory_sync.node.http import server_stream
from purgatory_sync.node.http.server_stream import Gone
from purgatory_sync.node.http.websocket import (
    CLOSE_TIMEOUT_SECS,
    LONG_BYTES,
    PING_SECS,
    Socket,
)
from purgatory_sync.testing.log_capture import capture_logs

from ..support import (
    MAX_MESSAGE_BYTES,
    UPGRADE,
    Served,
    read_to_end,
    read_until,
    served,
    text_frame,
    upgraded,
)

pytestmark = pytest.mark.real


def client(place: Served, compression: str | None = "deflate") -> connect:
    url = f"ws://127.0.0.1:{place.port}/"
    return connect(url, proxy=None, compression=compression, max_size=None)


UPGRADE_DEFLATED = (
    UPGRADE.removesuffix(b"\r\n") + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


async def test_text_binary_and_large_messages_pass() -> None:
    async with served(real=True) as place, client(place) as socket:
        for message in ("", "ü", "x" * MAX_MESSAGE_BYTES):
            await socket.send(message)
            assert await socket.recv() == message


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_message_over_the_limit_closes_with_1009(compression: str | None) -> None:
    async with served(real=True) as place, client(place, compression) as socket:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - either may notice
            await socket.send("x" * (MAX_MESSAGE_BYTES + 1))
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_browser_style_upgrade_and_cors_of_the_answer() -> None:
    async with served(real=True) as place, await place.connect() as stream:
        await stream.send_all(UPGRADE)
        head = (await read_until(stream, b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 101 ")
    assert b"access-control-allow-origin: *" in head


async def test_refused_client_that_stays_leaves_no_word_in_the_log(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    with capture_logs() as logs:
        async with served() as place, await place.connect() as stream:
            await stream.send_all(UPGRADE.replace(b"13", b"8"))
            assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
            await trio.sleep(2 * CLOSE_TIMEOUT_SECS)
    assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_relay_may_close_with_a_reason() -> None:
    async def dismiss(socket: Socket) -> None:
        await socket.close(1008, "enough")

    async with served(websocket=dismiss, real=True) as place, client(place) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "enough")


async def test_what_is_sent_at_once_leaves_in_one_piece(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def say(socket: Socket) -> None:
        await socket.send(b"one", b"two", b"")
        await socket.receive()

    async with served(websocket=say) as place, await upgraded(place) as stream:
        assert await stream.receive_some() == b"\x81\x03one\x81\x03two\x81\x00"


async def test_only_large_messages_are_deflated(autojump_clock: trio.testing.MockClock) -> None:
    small, large = b"x" * (LARGE_BYTES - 1), b"x" * LARGE_BYTES

    async def say(socket: Socket) -> None:
        await socket.send(small)
        await socket.receive()
        await socket.send(large, b"after it", large)
        await socket.receive()

    async with served(websocket=say) as place, await upgraded(place, UPGRADE_DEFLATED) as stream:
        assert await stream.receive_some() == b"\x81\x7e\x03\xff" + small
        await stream.send_all(text_frame(b"go on"))
        first, rest = split_frame(bytes(await stream.receive_some()))
        between, last = split_frame(rest)
        assert between == b"after it"
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        for deflated in (first, split_frame(last)[0]):
            assert len(deflated) < 100
            assert inflate.decompress(deflated + b"\x00\x00\xff\xff") == large


def split_frame(data: bytes) -> tuple[bytes, bytes]:
    """The payload of a short frame, and what comes after it."""
    end = 2 + data[1]
    return data[2:end], data[end:]


async def test_frames_that_are_not_taken_hold_no_connection() -> None:
    seen = trio.Event()

    async def leave_early(socket: Socket) -> None:
        await socket.receive()
        await trio.sleep(0.1)
        seen.set()

    async with served(websocket=leave_early, real=True) as place:
        async with await upgraded(place) as stream:
            await stream.send_all(text_frame(b"x") * 1000)
            await seen.wait()
            await stream.send_eof()
            await read_to_end(stream)
        place.stop.set()
        with trio.fail_after(3):  # less than the grace: nothing waits for it
            while place.nursery.child_tasks:  # noqa: ASYNC110 - until the listener has ended
                await trio.sleep(0.01)


async def test_few_bytes_that_become_many_wait_in_small_number(
    autojump_clock: trio.testing.MockClock,
) -> None:
    taken: list[int] = []
    for number in (2, 3):
        sockets: list[Socket] = []

        async def busy(socket: Socket, sockets: list[Socket] = sockets) -> None:
            sockets.append(socket)
            await trio.sleep(1)
            with suppress(Gone):
                while True:
                    taken.append(len(await socket.receive()))

        async with (
            served(websocket=busy) as place,
            await upgraded(place, UPGRADE_DEFLATED) as stream,
        ):
            for _ in range(2):
                # What is inflated at once is bounded; what comes later waits unread.
                await stream.send_all(bomb() * number)
                await trio.testing.wait_all_tasks_blocked()
            waiting = sockets[0].waiting
            assert waiting == 2
            if number == 3:
                assert b"\x03\xf1" in await read_to_end(stream)
            else:
                await trio.sleep(2)
    assert taken == [MAX_MESSAGE_BYTES] * (4 + 2)


def bomb() -> bytes:
    """A frame that becomes a thousand times as long."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
    text = deflate.compress(b" " * MAX_MESSAGE_BYTES) + deflate.flush(zlib.Z_FULL_FLUSH)[:-4]
    return b"\xc1\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text


async def test_a_peer_whose_pongs_we_do_not_read_is_not_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    received: list[str | bytes] = []

    async def slow(socket: Socket) -> None:
        # Paused at once, and paused while a ping waits for its pong.
        for secs in (10 * PING_SECS, 0, 0, PING_SECS * 3 // 2, 10 * PING_SECS):
            await trio.sleep(secs)
            received.append(await socket.receive())
        await socket.send(b"still here")
        received.append("sent")

    async with served(websocket=slow) as place, await upgraded(place) as stream:
        await stream.send_all(text_frame(b"x") * 2 + long_frame())
        await trio.sleep(10 * PING_SECS + 1)
        assert len(received) == 3
        await trio.sleep(PING_SECS)
        await stream.send_all(text_frame(b"y") + long_frame())
        await trio.sleep(20 * PING_SECS)
    assert [len(each) for each in received] == [1, 1, LONG_BYTES + 1, 1, LONG_BYTES + 1, 4]


def long_frame() -> bytes:
    """A frame behind which nothing is read until it is taken."""
    length = LONG_BYTES + 1
    return b"\x81\xff" + length.to_bytes(8, "big") + bytes(4) + b"x" * length


async def test_a_client_that_never_answers_pings_is_closed_without_a_word_in_the_log(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a busy machine, where the time to close is over before the linger is.
    monkeypatch.setattr(server_stream, "LINGER_SECS", 60.0)
    async with served() as place, await upgraded(place) as stream:
        began = trio.current_time()
        assert (await read_to_end(stream)).startswith(b"\x89")
        assert trio.current_time() - began == 2 * PING_SECS
        await trio.sleep(2 * CLOSE_TIMEOUT_SECS)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
