"""HTTP/1.1 and WebSocket on one Trio port, within limits that hold against hostile clients."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias

import h11
import trio

from ...errors import ConfigurationError
from ...runtime.logger import get_logger
from ...settings import ListenerSettings
from .blocked_clients import BlockedClients
from .exchange import Exchange
from .places import Places
from .server_stream import CORS, PIECE_BYTES, Gone, Wire
from .websocket import Socket, Sockets, has_body

StreamListener: TypeAlias = trio.abc.Listener[trio.abc.HalfCloseableStream]

# Connections beyond the limit are answered for so long, so many at once.
TURNED_AWAY_SECS, MAX_TURNED_AWAY = 1.0, 64
_TURNED_AWAY_PIECES = 16

_DESCRIPTORS_SAID_EVERY_SECS = 60.0


def _closing(status: bytes) -> bytes:
    """A whole answer without a body, after which the connection ends."""
    head = b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n" % status
    return b"".join([head, *(b"%b: %b\r\n" % header for header in CORS), b"\r\n"])


_BUSY = _closing(b"503 Service Unavailable")
_FORBIDDEN = _closing(b"403 Forbidden")

log = get_logger(__name__)


class _SayOnce(logging.Filter):
    """Of descriptors that are used up trio tells ten times a second, each time with a traceback."""

    _said_at = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created < self._said_at + _DESCRIPTORS_SAID_EVERY_SECS:
            return False
        self._said_at = record.created
        record.exc_info = None
        record.msg, record.args = "no file descriptors for connections: raise `ulimit -n`", ()
        return True


logging.getLogger("trio.serve_listeners").addFilter(_SayOnce())


async def _always() -> bool:
    return True


class Listener:
    """Accepts connections, answers their requests with `http`, hands upgraded ones to `websocket`.

    Args:
      http: answers one request; what it raises ends that connection only.
      websocket: talks to one socket until it returns; WebSockets are opened at the base path only.
      settings: limits of connections, heads, bodies and times.
      max_message_bytes: of one WebSocket message.
      is_open: whether a WebSocket may be opened now (else 503); may take its time.
      blocked: whose connections are refused, and end; no client's when absent. Behind a trusted
        proxy clients are judged, not the proxy.
      base: the path of WebSockets, with or without a slash behind it; empty for the root.
    """

    def __init__(
        self,
        http: Callable[[Exchange], Awaitable[None]],
        websocket: Callable[[Socket], Awaitable[None]],
        settings: ListenerSettings,
        max_message_bytes: int,
        *,
        is_open: Callable[[], Awaitable[bool]] = _always,
        blocked: BlockedClients | None = None,
        base: str = "",
    ) -> None:
        self._http = http
        self._websocket = websocket
        self._is_open = is_open
        self._blocked = blocked or BlockedClients()
        self._websocket_paths = (base, f"{base}/")
        self._settings = settings
        self._sockets = Sockets(max_message_bytes)
        self._places = Places(settings)
        self._turned_away = 0
        self._idle: set[trio.CancelScope] = set()
        self._stopping = False

    async def serve(
        self,
        host: str,
        port: int,
        stop: trio.Event,
        *,
        listeners: Sequence[StreamListener] | None = None,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until stop is set, then let connections end within shutdown_grace_secs.

        Args:
          host: address or name to listen on.
          port: 0 takes a free one.
          stop: set it to stop: idle connections are closed, sockets told (1001), requests finished.
          listeners: accept from these instead of from host and port; they are closed at the end.
          task_status: reports the port that is listened on (0 with listeners of one's own).

        Raises:
          ConfigurationError: the address cannot be listened on.

        Cancelled, it drops every connection at once.
        """
        bound = 0
        if listeners is None:
            listeners, bound = await _listen(host, port)
        accept = partial(trio.serve_listeners, self._accept, list(listeners))
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                await accepting.start(partial(accept, handler_nursery=connections))
                task_status.started(bound)
                await stop.wait()
                accepting.cancel_scope.cancel()
            self._stopping = True
            grace = self._settings.shutdown_grace_secs
            connections.cancel_scope.deadline = trio.current_time() + grace
            for scope in self._idle:
                scope.cancel()
            self._sockets.close_all(connections)

    async def _accept(self, stream: trio.abc.HalfCloseableStream) -> None:
        try:
            async with stream:
                peer = _peer(stream)
                direct = "" if self._places.is_proxy(peer) else peer
                if self._blocked.has(direct):
                    await self._turn_away(stream, _FORBIDDEN)
                    return
                with self._blocked.watching(direct), self._places.connection(peer) as free:
                    if not free:
                        await self._turn_away(stream, _BUSY)
                        return
                    wire = Wire(stream, self._settings)
                    if exchange := await self._talk(wire, peer):
                        await self._upgrade(wire, exchange, peer)
                    await wire.close()
        except* (Gone, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as gone:
            log.debug("connection gone", error=repr(gone.exceptions))
        except* Exception:
            log.exception("connection failed")

    async def _turn_away(self, stream: trio.abc.HalfCloseableStream, answer: bytes) -> None:
        """Say why there is no connection; what is read of the request cuts no answer by a reset."""
        await stream.send_all(answer)
        if self._turned_away >= MAX_TURNED_AWAY:
            return
        self._turned_away += 1
        try:
            with trio.move_on_after(TURNED_AWAY_SECS):
                await stream.send_eof()
                for _ in range(_TURNED_AWAY_PIECES):
                    if not await stream.receive_some(PIECE_BYTES):
                        break
        finally:
            self._turned_away -= 1

    async def _talk(self, wire: Wire, peer: str) -> Exchange | None:
        """Answer requests until the connection ends or one asks for a WebSocket."""
        try:
            while not self._stopping and (exchange := await self._request(wire, peer)):
                if (status := self._unacceptable(exchange.request)) is not None:
                    await wire.refuse(status)
                    return None
                if self._blocked.has(exchange.peer):
                    await wire.refuse(403)
                    return None
                if exchange.wants_websocket() and exchange.path in self._websocket_paths:
                    if not await self._is_open():
                        await wire.refuse(503)
                        return None
                    return exchange
                with self._places.request(peer, exchange.peer) as free:
                    if not free:
                        await wire.refuse(503)
                        return None
                    with self._blocked.watching(exchange.peer) as watched:
                        await self._http(exchange)
                    if watched.cancelled_caught:
                        return None
                if not await exchange.finish():
                    break
        except* h11.RemoteProtocolError as broken:
            status = getattr(broken.exceptions[0], "error_status_hint", 400)
            await wire.refuse(status)
        except* Gone:
            raise
        except* Exception:
            log.exception("request failed")
            await wire.refuse(500)
        return None

    async def _request(self, wire: Wire, peer: str) -> Exchange | None:
        with trio.move_on_after(self._settings.head_timeout_secs) as scope:
            self._idle.add(scope)
            try:
                event = await wire.receive()
            finally:
                self._idle.discard(scope)
            if isinstance(event, h11.Request):
                return Exchange(wire, event, self._places.client(peer, event.headers))
        return None

    def _unacceptable(self, request: h11.Request) -> int | None:
        """The status of a request that h11 lets pass and that must be refused."""
        if not request.http_version.startswith(b"1."):
            return 505
        # h11 asks only how long a head is of which more must come.
        length = len(request.target) + sum(len(n) + len(v) + 4 for n, v in request.headers)
        if length > self._settings.max_head_bytes:
            return 431
        names = {name for name, _ in request.headers}
        # A proxy before us may see the request's end elsewhere than we do (RFC 9112, 6.3).
        return 400 if {b"content-length", b"transfer-encoding"} <= names else None

    async def _upgrade(self, wire: Wire, exchange: Exchange, peer: str) -> None:
        with self._places.request(peer, exchange.peer) as free:
            if free:
                with self._blocked.watching(exchange.peer):
                    await self._open_socket(wire, exchange)
            else:
                await wire.refuse(503)

    async def _open_socket(self, wire: Wire, exchange: Exchange) -> None:
        request = exchange.request
        # A client waits for our answer before it speaks WebSocket; and a body has no place here.
        if wire.h11.trailing_data[0] or has_body(request):
            await wire.refuse(400)
            return
        upgrade = self._sockets.read(request)
        if upgrade is None:
            await wire.refuse(431)
            return
        pump = await self._sockets.open(wire, upgrade, self._settings.send_timeout_secs)
        if pump is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            nursery.start_soon(pump.keep_alive)
            try:
                async with pump:
                    await self._websocket(Socket(pump, exchange.peer))
            finally:
                self._sockets.forget(pump)
            nursery.cancel_scope.cancel()


def _peer(stream: trio.abc.HalfCloseableStream) -> str:
    """The address at the other end; empty for a stream that is no socket."""
    return str(stream.socket.getpeername()[0]) if isinstance(stream, trio.SocketStream) else ""


async def _listen(host: str, port: int) -> tuple[Sequence[StreamListener], int]:
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"{host}:{port} is in use by another process: stop it, or set NGIT_BIND_ADDRESS"
            ) from error
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): set NGIT_BIND_ADDRESS "
            "to an address of this machine and a port that this user may use"
        ) from error
    return listeners, int(listeners[0].socket.getsockname()[1])
