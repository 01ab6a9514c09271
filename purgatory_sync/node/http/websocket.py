"""An upgraded stream as a WebSocket: websockets' connection on a stream that h11 accepted.

`process_event`, `handshake`, `send_context`, `start_keepalive`, `close_stream`, `recv_messages`,
`pause_reading` and `pending_pings` are undocumented names of websockets 17: the version is pinned
and the tests of this module notice a change.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus

import h11
import trio
from websockets.exceptions import ConnectionClosed
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import SEND_EOF, Event
from websockets.server import ServerProtocol
from websockets.trio.server import Server, ServerConnection
from websockets.typing import DataLike, ExtensionParameter

from .server_stream import CORS, Gone, Wire

PING_SECS = 20
CLOSE_TIMEOUT_SECS = 2
# Frames that wait for the relay. Behind a long one nothing is read, so that a client makes us keep
# about as much as the size limit says, not a multiple of it.
QUEUED_FRAMES = 4
LONG_BYTES = 64 * 1024
LARGE_BYTES = 1024

# websockets' own, but for what any client can cause by being silent.
_LOGGER = logging.getLogger("websockets.server.purgatory_sync")
_LOGGER.addFilter(lambda record: record.msg != "keepalive ping failed")


class _Protocol(ServerProtocol):
    """What is to be sent at once leaves in one piece: each piece is a call of the system."""

    def receive_data(self, data: bytes | bytearray) -> None:
        for each in self.extensions:
            if isinstance(each, _OfLarge):
                each.begin_piece()
        super().receive_data(data)

    def data_to_send(self) -> list[bytes]:
        pieces = super().data_to_send()
        end = pieces[-1:] if pieces and pieces[-1] == SEND_EOF else []
        return [b"".join(pieces), *end] if len(pieces) > 1 else pieces


class _Connection(ServerConnection):
    def process_event(self, event: Event) -> None:
        """Read no further behind a long frame until it is taken."""
        long = isinstance(event, Frame) and len(event.data) > LONG_BYTES
        self.recv_messages.high = 0 if long else QUEUED_FRAMES
        super().process_event(event)

    def pause_reading(self) -> None:
        """Read nothing, pongs neither: nobody is given up for those that wait to be read."""
        super().pause_reading()
        self._excuse()

    async def ping(self, data: DataLike | None = None, *, ack_on_close: bool = False) -> trio.Event:
        """Send a ping; the event says that its pong came, or need not come."""
        heard = await super().ping(data, ack_on_close=ack_on_close)
        if self.recv_flow_control is not None:
            self._excuse()
        return heard

    def _excuse(self) -> None:
        for heard, *_ in self.pending_pings.values():
            heard.set()
        self.pending_pings.clear()


class _OfLarge(Extension):
    """Deflates large messages; an event is mostly hex, and most are not worth the time.

    Args:
      most_inflated: bytes that what is received at once may become; more closes the socket (1009).
        All frames of it are inflated in one go, and any may become a thousand times as long.
    """

    def __init__(self, deflate: Extension, most_inflated: int) -> None:
        self.name = deflate.name
        self._deflate = deflate
        self._most_inflated = most_inflated
        self._left = most_inflated

    def begin_piece(self) -> None:
        """What is decoded from now on was received at once."""
        self._left = self._most_inflated

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        # To zlib 0 is no limit.
        left = max(1, self._left if max_size is None else min(self._left, max_size))
        inflated = self._deflate.decode(frame, max_size=left)
        if inflated is not frame:
            self._left -= len(inflated.data)
        return inflated

    def encode(self, frame: Frame) -> Frame:
        return self._deflate.encode(frame) if len(frame.data) >= LARGE_BYTES else frame


class _Deflate(ServerExtensionFactory):
    """permessage-deflate (RFC 7692) with little memory for each client."""

    name = ServerPerMessageDeflateFactory.name

    def __init__(self, most_inflated: int) -> None:
        self._most_inflated = most_inflated
        self._factory = ServerPerMessageDeflateFactory(
            server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
        )

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], Extension]:
        answer, deflate = self._factory.process_request_params(params, accepted_extensions)
        return answer, _OfLarge(deflate, self._most_inflated)


class Socket:
    """One WebSocket for the relay.

    Attributes:
      peer: the client's address.
    """

    def __init__(self, connection: ServerConnection, peer: str) -> None:
        self._connection = connection
        self.peer = peer

    async def receive(self) -> str | bytes:
        """The next message: text or binary. Raises Gone when the socket is closed."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise Gone("closed") from error

    async def send(self, *messages: bytes) -> None:
        """Send messages, each of them UTF-8 text, in one piece. Raises Gone when it is closed."""
        try:
            async with self._connection.send_context():
                for message in messages:
                    self._connection.protocol.send_text(message)
        except ConnectionClosed as error:
            raise Gone("closed") from error

    async def wait_closed(self) -> None:
        """Return when the connection is closed."""
        await self._connection.wait_closed()

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and at most 123 bytes of reason; harmless when it is closed."""
        await self._connection.aclose(code, reason)


class Sockets:
    """Turns upgraded requests into sockets, and closes those that are open at a stop.

    Args:
      max_message_bytes: of one message, inflated; a longer one closes its socket (1009).
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        # websockets wants its Server; only its flag and its set of connections are used.
        self._server = Server([], trio.aclose_forcefully)

    def close_all(self, nursery: trio.Nursery) -> None:
        """Refuse new sockets from now on, and begin to close those that are open."""
        self._server.closing = True
        for connection in self._server.connections:
            nursery.start_soon(connection.aclose, CloseCode.GOING_AWAY)

    def connect(
        self, nursery: trio.Nursery, wire: Wire, request: h11.Request
    ) -> ServerConnection | None:
        """A connection that has read the request but not answered it.

        None where websockets does not read it: its limits are narrower than ours.
        """
        protocol = _Protocol(
            extensions=[_Deflate(2 * self._max_message_bytes)],
            max_size=self._max_message_bytes,
            logger=_LOGGER,
        )
        connection = _Connection(
            nursery,
            wire.stream,
            protocol,
            self._server,
            ping_interval=PING_SECS,
            ping_timeout=PING_SECS,
            close_timeout=CLOSE_TIMEOUT_SECS,
            max_queue=(QUEUED_FRAMES, 0),
        )
        lines = [b"%b %b HTTP/%b" % (request.method, request.target, request.http_version)]
        lines += [b"%b: %b" % header for header in request.headers if _is_of_interest(header[0])]
        protocol.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
        events = protocol.events_received()
        for event in events:
            connection.process_event(event)
        return connection if events else None

    async def open(self, connection: ServerConnection, timeout_secs: float) -> bool:
        """Answer the request; False when it was refused, and the stream is closed then."""
        # ConnectionClosed: it was refused, and the peer did not end its side.
        with trio.move_on_after(timeout_secs) as scope, suppress(ConnectionClosed):
            await connection.handshake(process_response=_allow_every_origin, server_header=None)
        # Not by its state: what a brisk client sends next may have closed it by now.
        if scope.cancelled_caught or not _accepted(connection.response):
            await connection.close_stream()
            return False
        self._server.all_connections.add(connection)
        connection.start_keepalive()
        return True

    def forget(self, connection: ServerConnection) -> None:
        """Take a connection that has ended out of those that a stop closes."""
        self._server.all_connections.discard(connection)


def _is_of_interest(name: bytes) -> bool:
    """Whether a header bears on the handshake: of others a browser may send long ones, or many."""
    return name in (b"host", b"connection", b"upgrade", b"origin") or name.startswith(
        b"sec-websocket-"
    )


def has_body(request: h11.Request) -> bool:
    """Whether a request announces a body; one that asks for an upgrade must not."""
    return any(
        (name == b"content-length" and value != b"0") or name == b"transfer-encoding"
        for name, value in request.headers
    )


def _accepted(answer: Response | None) -> bool:
    return answer is not None and answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS


def _allow_every_origin(_connection: ServerConnection, _request: Request, answer: Response) -> None:
    for name, value in CORS:
        answer.headers[name.decode("ascii")] = value.decode("ascii")
