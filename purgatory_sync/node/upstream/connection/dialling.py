"""A connection to one relay: through the gate only, and bounded below the messages too."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame
from websockets.uri import parse_uri

from ....runtime.net.gate import Gate
from ....runtime.net.http11 import start_tls
from ....settings import KIB, MIB
from ....urls import WebUrl
from ...frames.frame_pump import FramePump, Limits
from ..state.relay_health import Ending, Trouble

MAX_MESSAGE_BYTES: Final = MIB + 64 * KIB
QUEUED_FRAMES: Final = 4
OPEN_TIMEOUT_SECS, CLOSE_TIMEOUT_SECS, SEND_SECS = 10, 2, 30
PING_SECS: Final = 20
DIALS_AT_ONCE, DIAL_APART_SECS = 8, 0.25
_LIMITS: Final = Limits(PING_SECS, CLOSE_TIMEOUT_SECS, QUEUED_FRAMES, MAX_MESSAGE_BYTES)
# All frames of a piece are taken apart at once, and a ping has two bytes.
PIECE_BYTES: Final = 4 * KIB
# Pings and pongs are not read as messages, so that no pace holds them up.
CONTROL_FRAMES_PER_SEC, CONTROL_FRAMES_BURST = 10.0, 1_000.0


class _Flooded(Exception):
    """The relay sends too many pings or pongs."""


class _Stalled(trio.BrokenResourceError):
    """The relay does not read what it is sent."""


def ended(error: ConnectionClosed) -> Ending:
    """Why there is no connection any more."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _Flooded):
            return Ending(Trouble.MISBEHAVED, str(cause))
        if isinstance(cause, _Stalled):
            return Ending(Trouble.TIMEOUT, str(cause))
        cause = cause.__cause__
    return Ending(Trouble.CLOSED, f"closed: {error}")


class _Bounded(trio.abc.HalfCloseableStream):
    """A stream that gives up on a peer that takes nothing: our pings would not get through."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        with trio.move_on_after(SEND_SECS) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise _Stalled(f"it did not take what it was sent within {SEND_SECS} s")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(min(max_bytes or PIECE_BYTES, PIECE_BYTES))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _FloodGuard:
    """Ends a connection on which frames come that no reader gets to see, again and again."""

    def __init__(self) -> None:
        self._due = 0.0

    def judge(self, _frame: Frame) -> Exception | None:
        """What ends the connection, after too many pings, pongs and closes."""
        now = trio.current_time()
        self._due = max(self._due, now) + 1 / CONTROL_FRAMES_PER_SEC
        if self._due - now > CONTROL_FRAMES_BURST / CONTROL_FRAMES_PER_SEC:
            return _Flooded("it sends pings without end")
        return None


class Dialler:
    """Begins few connections at once, one after the other: at a start there are hundreds."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._at_once = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._turn = trio.Lock()
        self._next_at = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A place among those that begin a connection; kept until the block ends."""
        async with self._at_once:
            async with self._turn:
                await trio.sleep(max(0.0, self._next_at - trio.current_time()))
                self._next_at = trio.current_time() + DIAL_APART_SECS
            yield

    @asynccontextmanager
    async def dial(self, url: WebUrl, tls: ssl.SSLContext) -> AsyncIterator[FramePump]:
        """As `dial`, in its turn."""
        async with AsyncExitStack() as stack:
            async with self.turn():
                socket = await stack.enter_async_context(dial(url, self._gate, tls))
            yield socket


@asynccontextmanager
async def dial(url: WebUrl, gate: Gate, tls: ssl.SSLContext) -> AsyncIterator[FramePump]:
    """A WebSocket to a relay, through the gate only: no proxy, no redirects, bounded messages.

    A redirect is refused as an answer that is no WebSocket: its target is not judged.

    Args:
      url: a judged ws or wss URL.
      tls: for wss; the name is checked against the certificate.

    Raises what the gate, TLS and websockets raise; TimeoutError when the opening takes too long.
    Leaving closes the connection.
    """
    stream: trio.abc.Stream = _Bounded(await gate.open_tcp(url.host, url.port))
    failure: Exception | None = None
    try:
        with trio.move_on_after(OPEN_TIMEOUT_SECS) as opening:
            if url.scheme == "wss":
                stream = await start_tls(stream, tls, url.host, OPEN_TIMEOUT_SECS)
            protocol = await _greet(stream, url)
        if opening.cancelled_caught:
            raise TimeoutError("timed out during opening handshake")
        pump = FramePump(stream, protocol, _LIMITS, judge_control=_FloodGuard().judge)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            nursery.start_soon(pump.keep_alive)
            try:
                async with pump:
                    yield pump
            except Exception as error:  # as it is, not in a group
                failure = error
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)
    if failure is not None:
        raise failure


async def _greet(stream: trio.abc.Stream, url: WebUrl) -> ClientProtocol:
    """Ask for a WebSocket and read the answer, or raise what is wrong with it."""
    protocol = ClientProtocol(parse_uri(url.text), max_size=MAX_MESSAGE_BYTES)
    request = protocol.connect()
    request.headers["User-Agent"] = "purgatory-sync"
    protocol.send_request(request)
    await stream.send_all(b"".join(protocol.data_to_send()))
    answered = False
    while not answered and protocol.handshake_exc is None:
        data = await stream.receive_some()
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        answered = bool(protocol.events_received())
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    return protocol
