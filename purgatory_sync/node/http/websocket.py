"""An upgraded stream as a WebSocket: what h11 accepted, answered by websockets' protocol."""

from __future__ import annotations

import logging
from http import HTTPStatus

import attrs
import h11
import trio
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ..frames.deflate import LargeDeflate
from ..frames.frame_pump import FramePump, Limits
from .server_stream import CORS, Gone, Wire

PING_SECS = 20
CLOSE_TIMEOUT_SECS = 2
# Frames that wait for the relay. Behind a long one nothing is read, so that a client makes us keep
# about as much as the size limit says, not a multiple of it.
QUEUED_FRAMES = 4
LONG_BYTES = 64 * 1024

_LIMITS = Limits(PING_SECS, CLOSE_TIMEOUT_SECS, QUEUED_FRAMES, LONG_BYTES)

# A logger of websockets, not one of this package: as quiet as other libraries' loggers.
_LOGGER = logging.getLogger("websockets.server.purgatory_sync")


@attrs.frozen
class Upgrade:
    """A request for a WebSocket, as websockets reads it."""

    _protocol: ServerProtocol
    _request: Request
    _deflate: LargeDeflate

    async def answer(self, wire: Wire, *, closing: bool) -> FramePump | None:
        """Accept or refuse; None when it is refused or lost, the stream is to be closed then."""
        if closing:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            answer = self._protocol.reject(status, "Server is shutting down.\n")
        else:
            answer = self._protocol.accept(self._request)
        for name, value in CORS:
            answer.headers[name.decode("ascii")] = value.decode("ascii")
        self._protocol.send_response(answer)
        if not await _sent(wire, self._protocol):
            return None
        if answer.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            await _read_away(wire)
            return None
        before_piece = self._deflate.begin_piece
        return FramePump(wire.stream, self._protocol, _LIMITS, before_piece=before_piece)


class Socket:
    """One WebSocket for the relay.

    Attributes:
      peer: the client's address.
    """

    def __init__(self, pump: FramePump, peer: str) -> None:
        self._pump = pump
        self.peer = peer

    @property
    def waiting(self) -> int:
        """How many messages wait to be received."""
        return self._pump.waiting

    async def receive(self) -> str | bytes:
        """The next message: text or binary. Raises Gone when the socket is closed."""
        try:
            text, message = await self._pump.receive()
            return message.decode() if text else message
        except ConnectionClosed as error:
            raise Gone("closed") from error
        except UnicodeDecodeError as error:
            reason = f"{error.reason} at position {error.start}"
            await self._pump.fail(CloseCode.INVALID_DATA, reason)
            raise Gone("closed") from error

    async def send(self, *messages: bytes) -> None:
        """Send messages, each of them UTF-8 text, in one piece. Raises Gone when it is closed."""
        try:
            await self._pump.send(*messages)
        except ConnectionClosed as error:
            raise Gone("closed") from error

    async def wait_closed(self) -> None:
        """Return when the connection is closed."""
        await self._pump.closed.wait()

    async def close(self, code: int, reason: str) -> None:
        """Close with a code and at most 123 bytes of reason; harmless when it is closed."""
        await self._pump.close(code, reason)


class Sockets:
    """Turns upgraded requests into sockets, and closes those that are open at a stop.

    Args:
      max_message_bytes: of one message, inflated; a longer one closes its socket (1009).
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._closing = False
        self._open: dict[FramePump, None] = {}

    def close_all(self, nursery: trio.Nursery) -> None:
        """Refuse new sockets from now on, and begin to close those that are open."""
        self._closing = True
        for pump in self._open:
            nursery.start_soon(pump.close, CloseCode.GOING_AWAY)

    def read(self, request: h11.Request) -> Upgrade | None:
        """The request as websockets reads it; None where its limits are narrower than ours."""
        deflate = LargeDeflate(2 * self._max_message_bytes)
        protocol = ServerProtocol(
            extensions=[deflate], max_size=self._max_message_bytes, logger=_LOGGER
        )
        lines = [b"%b %b HTTP/%b" % (request.method, request.target, request.http_version)]
        lines += [b"%b: %b" % header for header in request.headers if _is_of_interest(header[0])]
        protocol.receive_data(b"\r\n".join(lines) + b"\r\n\r\n")
        for event in protocol.events_received():
            if isinstance(event, Request):
                return Upgrade(protocol, event, deflate)
        return None

    async def open(self, wire: Wire, upgrade: Upgrade, timeout_secs: float) -> FramePump | None:
        """Answer the request; None when it was refused, and the stream is closed then."""
        with trio.move_on_after(timeout_secs):
            pump = await upgrade.answer(wire, closing=self._closing)
            if pump is not None:
                self._open[pump] = None
                return pump
        await wire.stream.aclose()
        return None

    def forget(self, pump: FramePump) -> None:
        """Take a connection that has ended out of those that a stop closes."""
        self._open.pop(pump, None)


async def _sent(wire: Wire, protocol: ServerProtocol) -> bool:
    try:
        pieces = protocol.data_to_send()
        await wire.stream.send_all(b"".join(pieces))
        if not pieces[-1]:
            await wire.stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False
    return True


async def _read_away(wire: Wire) -> None:
    """Wait for the end of a client that was refused: closed at once, it may not see why."""
    with trio.move_on_after(CLOSE_TIMEOUT_SECS):
        try:
            while await wire.stream.receive_some(LONG_BYTES):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


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
