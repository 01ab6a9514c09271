"""httpx over connections that only the gate opens, kept for the next request to the same server.

httpcore's pool is left out: it loses places when queued requests are cancelled, looks at every
idle connection for each request, and does not tell when a connection begins. Here are no places
to lose: how many requests run at once is the caller's to limit.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs
import h11
import httpx
import trio

from ...errors import ConnectFailed, NaughtyScope, NotHttp, TlsFailed
from .gate import Gate
from .http11 import HttpConnection, start_tls

KEEPALIVE_SECS: Final = 90.0
MAX_IDLE: Final = 256

# The request extension with the function that is called when a connection is about to begin, or
# an open one is about to be used.
ON_CONTACT: Final = "purgatory_sync.on_contact"
# The one with the seconds for the first byte of the answer, where they are not those of each piece.
ANSWER_SECS: Final = "purgatory_sync.answer_secs"

_Origin = tuple[str, str, int]


@attrs.define(eq=False)
class _Idle:
    """A connection that waits for another request, since a time of Trio's clock."""

    origin: _Origin
    connection: HttpConnection
    since: float


class GateTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections of the gate; HTTP/1.1, AttemptFailed's errors.

    Args:
      gate: opens every connection.
      connect_timeout_secs: for the TLS handshake (the gate has its own for connecting).
      idle_timeout_secs: for each piece that is sent or received.
      tls: the context for https; when absent the usual one, made at the first need.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        connect_timeout_secs: float,
        idle_timeout_secs: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._gate = gate
        self._connect_timeout = connect_timeout_secs
        self._idle_timeout = idle_timeout_secs
        self._given_tls = tls
        self._idle: dict[_Idle, None] = {}  # the one that waits longest comes first
        self._by_origin: dict[_Origin, list[_Idle]] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or default_tls_context()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request whose body is in memory.

        The connection belongs to the response until that is closed. A kept connection that ends
        without an answer was closed while it was idle: the request is sent again over a new one.

        Raises AttemptFailed's subclasses. Cancellation closes the connection.
        """
        try:
            return await self._send(request)
        except (TlsFailed, NotHttp) as error:
            if self._gate.is_proxied:  # whose fault it is cannot be told
                error.naughty = NaughtyScope.NONE
            raise

    async def _send(self, request: httpx.Request) -> httpx.Response:
        on_contact: Callable[[], None] | None = request.extensions.get(ON_CONTACT)
        origin = _origin_of(request.url)
        kept = await self._take(origin)
        if kept is not None:
            if on_contact is not None:
                on_contact()
            try:
                return await self._exchange(kept, origin, request)
            except ConnectFailed:
                on_contact = None
        connection = await self._open(origin, on_contact)
        return await self._exchange(connection, origin, request)

    async def aclose(self) -> None:
        """Close what is idle; what is in use belongs to its response."""
        while self._idle:
            await self._drop(next(iter(self._idle)))

    async def _open(self, origin: _Origin, on_contact: Callable[[], None] | None) -> HttpConnection:
        scheme, host, port = origin
        stream: trio.abc.Stream = await self._gate.open_tcp(host, port, on_contact)
        if scheme == "https":
            stream = await start_tls(stream, self._tls, host, self._connect_timeout)
        return HttpConnection(stream, self._idle_timeout)

    async def _exchange(
        self, connection: HttpConnection, origin: _Origin, request: httpx.Request
    ) -> httpx.Response:
        asked = h11.Request(
            method=request.method, target=request.url.raw_path, headers=request.headers.raw
        )
        try:
            secs: float | None = request.extensions.get(ANSWER_SECS)
            head = await connection.request(asked, request.content, secs)
        except BaseException:
            await connection.aclose()
            raise
        return httpx.Response(
            head.status_code, headers=list(head.headers), stream=_Body(self, origin, connection)
        )

    async def _take(self, origin: _Origin) -> HttpConnection | None:
        """The connection that was used last; those that ended meanwhile are closed on the way."""
        while waiting := self._by_origin.get(origin):
            idle = waiting[-1]
            expired = trio.current_time() - idle.since > KEEPALIVE_SECS
            if not expired and not idle.connection.is_stale():
                self._forget(idle)
                return idle.connection
            await self._drop(idle)
        return None

    async def give_back(self, origin: _Origin, connection: HttpConnection) -> None:
        """Keep a connection whose response is over, or close it when something was left unread."""
        if not connection.start_next():
            await connection.aclose()
            return
        idle = _Idle(origin, connection, trio.current_time())
        self._idle[idle] = None
        self._by_origin.setdefault(origin, []).append(idle)
        while True:
            oldest = next(iter(self._idle))
            if len(self._idle) <= MAX_IDLE and idle.since - oldest.since <= KEEPALIVE_SECS:
                break
            await self._drop(oldest)

    async def _drop(self, idle: _Idle) -> None:
        self._forget(idle)
        await idle.connection.aclose()

    def _forget(self, idle: _Idle) -> None:
        del self._idle[idle]
        waiting = self._by_origin[idle.origin]
        waiting.remove(idle)
        if not waiting:
            del self._by_origin[idle.origin]


class _Body(httpx.AsyncByteStream):
    """The body of one response; no generator, so that it can be left at any time."""

    def __init__(
        self, transport: GateTransport, origin: _Origin, connection: HttpConnection
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection = connection
        self._ended = self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = b"" if self._ended else await self._connection.read()
        if not piece:
            self._ended = True
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            with trio.CancelScope(shield=True):
                await self._transport.give_back(self._origin, self._connection)


def default_tls_context() -> ssl.SSLContext:
    """A context that demands good certificates: the system's roots, certifi's where it has none."""
    places = ssl.get_default_verify_paths()
    folder = Path(places.capath) if places.capath else None
    if places.cafile or (folder is not None and folder.is_dir() and any(folder.iterdir())):
        context = ssl.create_default_context()
    else:
        context = httpx.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _origin_of(url: httpx.URL) -> _Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.raw_host.decode("ascii"), port
