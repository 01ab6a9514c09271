"""httpcore's border: its connections go through the gate, its time-outs and errors are ours."""

# ruff: noqa: ASYNC109 - httpcore's interface passes time-outs as arguments

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore
import trio

from ..errors import ConnectFailed, Forbidden, NotHttp, TimedOut, TlsFailed

OpenStream = Callable[[str, int], Awaitable[trio.abc.Stream]]

_HTTP = b"HTTP/1."


class GateBackend(httpcore.AsyncNetworkBackend):
    """Opens streams with the function given; unix sockets are refused.

    The connect time-out is the gate's: what httpcore passes is not looked at.
    """

    def __init__(self, open_stream: OpenStream) -> None:
        self._open_stream = open_stream

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return NetworkStream(await self._open_stream(host, port))

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise Forbidden("unix sockets are never contacted")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class NetworkStream(httpcore.AsyncNetworkStream):
    """A Trio stream as httpcore wants it; Trio's time-outs, typed errors.

    A peer whose first bytes are no HTTP is noticed here, before anything waits for the end of
    a head that never comes.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._greeting: bytes | None = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with trio.move_on_after(_seconds(timeout)):
            try:
                data = bytes(await self._stream.receive_some(max_bytes))
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise httpcore.ReadError("the connection broke") from error
            if self._greeting is not None:
                self._greet(data)
            return data
        raise TimedOut(f"no byte for {timeout:g} s")

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        with trio.move_on_after(_seconds(timeout)):
            try:
                await self._stream.send_all(buffer)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise httpcore.WriteError("the connection broke") from error
            return
        raise TimedOut(f"the request was not taken within {timeout:g} s")

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        secured = trio.SSLStream(
            self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True
        )
        try:
            with trio.fail_after(_seconds(timeout)):
                await secured.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(self._stream)
            if isinstance(error, trio.TooSlowError):
                raise TimedOut(f"no TLS within {timeout:g} s") from error
            if isinstance(error, trio.BrokenResourceError):
                raise _tls_failure(error) from error
            raise
        return NetworkStream(secured)

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return None  # httpcore asks it for HTTP/2 only, which is not spoken here
        stream: Any = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if info == "is_readable":
            return isinstance(stream, trio.SocketStream) and stream.socket.is_readable()
        return None

    def _greet(self, data: bytes) -> None:
        self._greeting = (self._greeting or b"") + data[: len(_HTTP)]
        seen = self._greeting[: len(_HTTP)]
        if not _HTTP.startswith(seen):
            raise NotHttp("the peer does not speak HTTP/1")
        if len(seen) == len(_HTTP):
            self._greeting = None


def _tls_failure(error: trio.BrokenResourceError) -> TlsFailed | ConnectFailed:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TlsFailed(f"bad certificate: {cause.verify_message}")
    # A connection cut within the handshake says nothing about who cut it.
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return TlsFailed(f"no TLS: {cause.reason or 'handshake failed'}")
    return ConnectFailed("the connection was cut during the TLS handshake")


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else timeout
