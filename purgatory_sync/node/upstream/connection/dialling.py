"""A connection to one relay: through the gate only, and bounded below the messages too."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio
from websockets.exceptions import ConnectionClosed
from websockets.frames import CTRL_OPCODES, Frame
from websockets.trio.client import ClientConnection, connect

from ....runtime.net.gate import Gate
from ....runtime.net.http11 import start_tls
from ....settings import KIB, MIB
from ....urls import WebUrl
from ..state.relay_health import Ending, Trouble

MAX_MESSAGE_BYTES: Final = MIB + 64 * KIB
QUEUED_FRAMES: Final = 4
OPEN_TIMEOUT_SECS, CLOSE_TIMEOUT_SECS, SEND_SECS = 10, 2, 30
PING_SECS: Final = 20
# All frames of a piece are taken apart at once, and a ping has two bytes.
PIECE_BYTES: Final = 4 * KIB
# Nobody reads pings and pongs, so that no pace holds them up.
CONTROL_FRAMES_PER_SEC, CONTROL_FRAMES_BURST = 10.0, 1_000.0


class _Flooded(Exception):
    """The relay sends more pings or pongs than anybody needs."""


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
    """A stream that gives up on a peer that takes nothing: no ping of ours would get through."""

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


# Of both classes below a test notices when websockets renames what is overridden.


class _Connection(ClientConnection):
    _control_due = 0.0

    def process_event(self, event: Any) -> None:
        """Close the connection when frames come that no reader gets to see, again and again."""
        super().process_event(event)
        if not isinstance(event, Frame) or event.opcode not in CTRL_OPCODES:
            return
        now = trio.current_time()
        self._control_due = max(self._control_due, now) + 1 / CONTROL_FRAMES_PER_SEC
        ahead = self._control_due - now
        if ahead > CONTROL_FRAMES_BURST / CONTROL_FRAMES_PER_SEC and self.connection_exc is None:
            self.set_connection_exc(_Flooded("it sends pings without end"))
            self.nursery.start_soon(self.close_stream)


class _Direct(connect):
    """One connection to one place."""

    async def enable_tls(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        """TLS whose failures say what is wrong."""
        assert self.ssl is not None  # noqa: S101 - dial() gives one for wss
        return await start_tls(stream, self.ssl, self.ws_uri.host, OPEN_TIMEOUT_SECS)

    def process_redirect(self, exc: Exception) -> Exception:
        """A redirect is an answer that is no WebSocket: nobody has judged where it leads."""
        return exc


@asynccontextmanager
async def dial(url: WebUrl, gate: Gate, tls: ssl.SSLContext) -> AsyncIterator[ClientConnection]:
    """A WebSocket to a relay, through the gate only: no proxy, no redirects, bounded messages.

    Args:
      url: a judged ws or wss URL.
      tls: for wss; the name is checked against the certificate.

    Raises what the gate, TLS and websockets raise. Leaving closes the connection.
    """
    stream = _Bounded(await gate.open_tcp(url.host, url.port))
    try:
        socket = _Direct(
            url.text,
            stream=stream,
            ssl=tls if url.scheme == "wss" else None,
            proxy=None,
            compression=None,
            user_agent_header="purgatory-sync",
            open_timeout=OPEN_TIMEOUT_SECS,
            ping_interval=PING_SECS,
            ping_timeout=PING_SECS,
            close_timeout=CLOSE_TIMEOUT_SECS,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=QUEUED_FRAMES,
            create_connection=_Connection,
        )
        async with socket as connection:
            try:
                yield connection
            finally:
                await _hang_up(connection, stream)
    finally:
        await trio.aclose_forcefully(stream)


async def _hang_up(connection: ClientConnection, stream: trio.abc.Stream) -> None:
    """Say that this is the end, and throw away what still comes.

    The reader of websockets would wait for ever for somebody to take what it has read.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_throw_away, connection)
        with trio.move_on_after(CLOSE_TIMEOUT_SECS):
            await connection.aclose()
        await trio.aclose_forcefully(stream)
        if connection.recv_flow_control is not None:
            # Closed while it was paused, it is not resumed by what takes the rest.
            connection.resume_reading()


async def _throw_away(connection: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            # It asserts that a message begins, but may have given up one of too many frames.
            with suppress(AssertionError):
                await connection.recv(decode=False)
