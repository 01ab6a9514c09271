"""What a relay may do below the messages: bounded too, and with a reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair
from websockets.server import ServerProtocol

from purgatory_sync.node.upstream import RelayStatus, Trouble, Upstream
from purgatory_sync.node.upstream.connection.dialling import (
    CONTROL_FRAMES_BURST,
    MAX_MESSAGE_BYTES,
    PIECE_BYTES,
    PING_SECS,
    SEND_SECS,
    _Bounded,
)
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Settings, SyncSettings
from purgatory_sync.testing.mock_context import clock_at

from ..support import NOW, SERVICE, Engine

Serve = Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]
PING, PONG = b"\x89\x00", b"\x8a\x00"


async def test_little_is_taken_apart_at_once(autojump_clock: MockClock) -> None:
    ours, theirs = memory_stream_pair()
    await theirs.send_all(bytes(3 * PIECE_BYTES))
    for most in (None, 2 * PIECE_BYTES, 1):
        assert len(await _Bounded(ours).receive_some(most)) == (1 if most == 1 else PIECE_BYTES)


async def shake_hands(stream: trio.abc.HalfCloseableStream) -> None:
    server = ServerProtocol()
    while not (events := server.events_received()):
        server.receive_data(await stream.receive_some())
    server.send_response(server.accept(events[0]))  # type: ignore[arg-type]
    for data in server.data_to_send():
        await stream.send_all(data)


@asynccontextmanager
async def following(serve: Serve, *, shaking: bool = True) -> AsyncIterator[Upstream]:
    """Follows a relay that is nothing but a stream, which takes only what is read."""
    async with trio.open_nursery() as nursery:

        async def talk(stream: trio.abc.HalfCloseableStream) -> None:
            try:
                if shaking:
                    await shake_hands(stream)
                await serve(stream)
            except* (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        async def connect(address: str, port: int) -> trio.abc.HalfCloseableStream:
            ours, theirs = lockstep_stream_pair()
            nursery.start_soon(talk, theirs)
            return ours

        async def resolve(host: str) -> list[str]:
            await trio.lowlevel.checkpoint()
            return ["93.184.216.34"]

        settings = Settings(
            domain=SERVICE, sync=SyncSettings(bootstrap_relay_url="ws://relay.example")
        )
        gate, clock = Gate(resolve=resolve, connect=connect), clock_at(NOW)
        upstream = Upstream(settings, gate, Engine().offer, clock=clock)
        await nursery.start(upstream.run)
        yield upstream
        nursery.cancel_scope.cancel()


async def left(upstream: Upstream, secs: float) -> RelayStatus:
    with trio.fail_after(secs):
        while not (look := upstream.looks()[0]).failures:  # noqa: ASYNC110
            await trio.sleep(0.5)
    assert not look.connected
    return look


async def read_all(stream: trio.abc.Stream) -> None:
    while await stream.receive_some(65_536):
        pass


async def test_a_relay_that_takes_nothing_is_left(autojump_clock: MockClock) -> None:
    async def deaf(_stream: trio.abc.Stream) -> None:
        await trio.sleep_forever()

    async with following(deaf) as upstream:
        look = await left(upstream, SEND_SECS + 5)
        assert look.trouble is Trouble.TIMEOUT
        assert look.reason == "it did not take what it was sent within 30 s"


async def test_a_relay_that_pings_and_reads_no_pong_is_left(autojump_clock: MockClock) -> None:
    async def deaf_from_now_on(stream: trio.abc.Stream) -> None:
        with trio.move_on_after(5):
            await read_all(stream)
        await stream.send_all(PING)
        await trio.sleep_forever()

    async with following(deaf_from_now_on) as upstream:
        look = await left(upstream, SEND_SECS + 10)
        assert look.reason == "it did not take what it was sent within 30 s"


@pytest.mark.parametrize("frame", [PING, PONG])
async def test_pings_without_end(autojump_clock: MockClock, frame: bytes) -> None:
    sent = 0

    async def flood(stream: trio.abc.Stream) -> None:
        nonlocal sent
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            while True:
                await stream.send_all(frame * 100)
                sent += 100

    async with following(flood) as upstream:
        look = await left(upstream, 10)
        assert look.trouble is Trouble.MISBEHAVED
        assert look.reason == "it sends pings without end"
        assert look.retry_at is not None
        assert look.retry_at - NOW >= 600
        assert sent <= CONTROL_FRAMES_BURST + PIECE_BYTES


async def test_a_ping_now_and_then_is_no_flood(autojump_clock: MockClock) -> None:
    async def lively(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            for _ in range(100):
                await stream.send_all(PING * 9)
                await trio.sleep(0.15)

    async with following(lively) as upstream:
        await trio.sleep(15)
        assert upstream.looks()[0].connected


async def test_a_relay_that_answers_no_ping_is_left(autojump_clock: MockClock) -> None:
    async with following(read_all) as upstream:
        look = await left(upstream, 2 * PING_SECS + 5)
        assert "keepalive ping timeout" in look.reason


async def test_a_frame_that_never_ends(autojump_clock: MockClock) -> None:
    async def drip(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            await stream.send_all(b"\x81\x7f" + (MAX_MESSAGE_BYTES).to_bytes(8, "big"))
            while True:
                await stream.send_all(b" ")
                await trio.sleep(1)

    async with following(drip) as upstream:
        look = await left(upstream, 60)
        assert "keepalive ping timeout" in look.reason


@pytest.mark.parametrize(
    "frame",
    [
        b"\x81\x7f" + (2**62).to_bytes(8, "big"),
        b"\x01\x00" + b"\x00\x00" * 10_000,
        b"\x81\x84\x00\x00\x00\x00[]  ",
        b"\xf1\x00",
        b"\x89\x7e\x01\x00" + bytes(256),
        b"HTTP/1.1 200 OK\r\n\r\n" * 10,
    ],
    ids=["huge", "fragments", "masked", "reserved", "large ping", "no frame"],
)
async def test_frames_that_are_none(autojump_clock: MockClock, frame: bytes) -> None:
    async def send(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            await stream.send_all(frame)
            await trio.sleep_forever()

    async with following(send) as upstream:
        look = await left(upstream, 10)
        assert look.trouble is Trouble.CLOSED


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 X\r\n" + b"x: y\r\n" * 1_000,
        b"HTTP/1.1 " + b"1" * 100_000,
    ],
    ids=["nothing", "noise", "a page", "no key", "many headers", "long line"],
)
@pytest.mark.parametrize("then_ends", [False, True])
async def test_what_is_no_relay(
    autojump_clock: MockClock, greeting: bytes, then_ends: bool
) -> None:
    async def greet(stream: trio.abc.HalfCloseableStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            await stream.send_all(greeting)
            if then_ends:
                await stream.send_eof()
            await trio.sleep_forever()

    async with following(greet, shaking=False) as upstream:
        look = await left(upstream, 30)
        assert look.trouble is not Trouble.LOCAL


async def test_a_greeting_that_drips(autojump_clock: MockClock) -> None:
    async def drip(stream: trio.abc.HalfCloseableStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_all, stream)
            for byte in b"HTTP/1.1 101 Switching Protocols\r\n":
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)

    async with following(drip, shaking=False) as upstream:
        look = await left(upstream, 15)
        assert look.trouble is Trouble.TIMEOUT
