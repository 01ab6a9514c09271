"""Streams in memory instead of sockets, and the few lines of HTTP that raw tests need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio
import trio.testing

from purgatory_sync.node.http.blocked_clients import BlockedClients
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.listener import Listener
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.settings import ListenerSettings

Client = trio.abc.HalfCloseableStream
MAX_MESSAGE_BYTES = 1 << 20
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class MemoryListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    """Accepts streams that tests hand in."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[trio.abc.HalfCloseableStream](1000)

    def connect(self) -> Client:
        ours, theirs = trio.testing.memory_stream_pair()
        self._send.send_nowait(theirs)
        return ours

    async def accept(self) -> trio.abc.HalfCloseableStream:
        return await self._receive.receive()

    async def aclose(self) -> None:
        self._send.close()
        self._receive.close()
        await trio.lowlevel.checkpoint()


async def hello(exchange: Exchange) -> None:
    """Answers with the length of the body that it read."""
    total = 0
    while piece := await exchange.read():
        total += len(piece)
    await exchange.respond(200, b"%s %d" % (exchange.path.encode(), total))


async def echo(socket: Socket) -> None:
    """Sends back what it receives."""
    while True:
        message = await socket.receive()
        await socket.send(message.encode() if isinstance(message, str) else message)


async def _always() -> bool:
    return True


@attrs.frozen
class Served:
    """A listener that runs for a test."""

    memory: MemoryListener
    port: int
    stop: trio.Event
    nursery: trio.Nursery

    async def connect(self) -> Client:
        """A client's stream: in memory, or a socket when the listener has a port."""
        if self.port:
            return await trio.open_tcp_stream("127.0.0.1", self.port)
        return self.memory.connect()


@asynccontextmanager
async def served(
    http: Callable[[Exchange], Awaitable[None]] = hello,
    websocket: Callable[[Socket], Awaitable[None]] = echo,
    settings: ListenerSettings | None = None,
    *,
    real: bool = False,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    is_open: Callable[[], Awaitable[bool]] | None = None,
    blocked: BlockedClients | None = None,
    base: str = "",
) -> AsyncIterator[Served]:
    """Run a listener in memory, or on a free port of 127.0.0.1."""
    listener = Listener(
        http,
        websocket,
        settings or ListenerSettings(),
        max_message_bytes,
        is_open=is_open or _always,
        blocked=blocked,
        base=base,
    )
    memory, stop = MemoryListener(), trio.Event()
    async with trio.open_nursery() as nursery:
        listeners = None if real else [memory]
        serve = partial(listener.serve, "127.0.0.1", 0, stop, listeners=listeners)
        port = await nursery.start(serve)
        yield Served(memory, port, stop, nursery)
        stop.set()
        nursery.cancel_scope.deadline = trio.current_time() + 20


async def read_to_end(stream: Client) -> bytes:
    """All that comes until the other side ends."""
    data = bytearray()
    with trio.fail_after(60):
        try:
            async for piece in stream:
                data += piece
        except trio.BrokenResourceError:
            pass
    return bytes(data)


async def read_until(stream: Client, end: bytes) -> bytes:
    """All that comes up to and with `end`, or until the other side ends."""
    data = bytearray()
    with trio.fail_after(60):
        while end not in data:
            piece = await stream.receive_some(65536)
            if not piece:
                break
            data += piece
    return bytes(data)


async def talk(place: Served, request: bytes) -> bytes:
    """Send raw bytes on a new connection and read until the other side ends it."""
    async with await place.connect() as stream:
        await stream.send_all(request)
        return await read_to_end(stream)


async def upgraded(place: Served, request: bytes = UPGRADE) -> Client:
    """A client's stream after the handshake, for raw frames."""
    stream = await place.connect()
    await stream.send_all(request)
    assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return stream


def text_frame(text: bytes) -> bytes:
    """A short text frame, masked as clients must (with zeros)."""
    assert len(text) < 126
    return b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text


async def nothing_hosted(npub: str, identifier: str) -> Path | None:
    """For git's routes where no repository is."""
    return None
