"""One connection to an HTTP/1.1 server: h11 over a stream, Trio's time-outs, typed errors."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any, Final

import h11
import trio

from ...errors import (
    ConnectFailed,
    NotHttp,
    ProtocolBroken,
    TimedOut,
    TlsFailed,
    Unanswered,
)

_PIECE_BYTES: Final = 65536
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_INFORMATIONAL: Final = 16
_GREETING: Final = b"HTTP/1."
# A chunk costs us the same, large or small: ten thousand tiny ones come in one piece, and others
# wait meanwhile.
_CHUNKS_AT_ONCE: Final = 64


class HttpConnection:
    """A connection that serves one request after another.

    Args:
      stream: an open stream; it belongs to the connection from here on.
      idle_timeout_secs: for each piece that is sent or received.
    """

    def __init__(self, stream: trio.abc.Stream, idle_timeout_secs: float) -> None:
        self._stream = stream
        self._idle_timeout = idle_timeout_secs
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
        self._greeting = b""
        self._answer_secs: float | None = None
        self._chunks_at_once = 0

    async def request(
        self, head: h11.Request, content: bytes = b"", answer_secs: float | None = None
    ) -> h11.Response:
        """Send a request and return the head of its answer; `read` gives the body.

        Args:
          answer_secs: for the first byte of the answer; when absent the time of other pieces.

        Raises:
          Unanswered: no byte came within answer_secs.
          NotHttp: the peer answers something else.
          ConnectFailed: the connection ended before a head.
          TimedOut: silence.

        After an exception (cancellation too) the connection can only be closed.
        """
        data = [self._h11.send(head), self._h11.send(h11.Data(data=content))]
        data.append(self._h11.send(h11.EndOfMessage()))
        self._greeting, self._answer_secs = b"", answer_secs
        # A server may answer and close before it has read all of the request.
        with suppress(trio.BrokenResourceError):
            await self._send(b"".join(part for part in data if part))
        try:
            return await self._head()
        except h11.RemoteProtocolError as error:
            if len(self._greeting) < len(_GREETING):
                raise ConnectFailed("the connection was closed without an answer") from error
            raise NotHttp("the answer's head is not HTTP/1.1") from error
        except trio.BrokenResourceError as error:
            raise ConnectFailed("the connection was closed without an answer") from error

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
          ProtocolBroken: the body is cut or not HTTP.
          ConnectFailed: the connection broke.
          TimedOut: silence.
        """
        try:
            while True:
                event = await self._event()
                if isinstance(event, h11.Data):
                    await self._be_fair()
                    if event.data:
                        return bytes(event.data)
                else:
                    return b""
        except h11.RemoteProtocolError as error:
            raise ProtocolBroken("the body ends early or is not HTTP") from error
        except trio.BrokenResourceError as error:
            raise ConnectFailed("the connection broke within the answer") from error

    def start_next(self) -> bool:
        """Get ready for another request; False when the connection can only be closed."""
        ended = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if not ended or self._h11.trailing_data[0]:
            return False
        self._h11.start_next_cycle()
        return True

    def is_tunnel(self) -> bool:
        """Whether a CONNECT was granted, and nothing followed its answer: no request yet."""
        return self._h11.their_state is h11.SWITCHED_PROTOCOL and not self._h11.trailing_data[0]

    def is_stale(self) -> bool:
        """Whether an idle connection has something to read: its end, or bytes without a request."""
        stream: Any = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return isinstance(stream, trio.SocketStream) and stream.socket.is_readable()

    async def aclose(self) -> None:
        """Close at once, without waiting for the peer; safe in a cancelled scope."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._stream)

    async def _head(self) -> h11.Response:
        for _ in range(_MAX_INFORMATIONAL):
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                break
        raise ProtocolBroken("no answer to the request, but other HTTP messages")

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            data = await self._receive()
            self._chunks_at_once = 0
            if len(self._greeting) < len(_GREETING):
                self._greet(data)
            self._h11.receive_data(data)
        return event  # type: ignore[return-value]  # h11 types its sentinels as classes

    def _greet(self, data: bytes) -> None:
        """Notice a peer that speaks something else before we wait for the end of a head."""
        self._greeting = (self._greeting + data)[: len(_GREETING)]
        if not _GREETING.startswith(self._greeting):
            raise NotHttp("the peer does not speak HTTP/1.1")

    async def _be_fair(self) -> None:
        self._chunks_at_once += 1
        if self._chunks_at_once >= _CHUNKS_AT_ONCE:
            self._chunks_at_once = 0
            await trio.lowlevel.checkpoint()

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_BYTES):
            with trio.move_on_after(self._idle_timeout) as scope:
                await self._stream.send_all(view[start : start + _PIECE_BYTES])
            if scope.cancelled_caught:
                raise TimedOut(f"the request was not taken within {self._idle_timeout:g} s")

    async def _receive(self) -> bytes:
        first = None if self._greeting else self._answer_secs
        secs = self._idle_timeout if first is None else first
        with trio.move_on_after(secs):
            return bytes(await self._stream.receive_some(_PIECE_BYTES))
        raise (TimedOut if first is None else Unanswered)(f"no byte for {secs:g} s")


async def start_tls(
    stream: trio.abc.Stream, context: ssl.SSLContext, host: str, timeout_secs: float
) -> trio.abc.Stream:
    """Speak TLS over a stream; the certificate must name the host.

    Raises:
      TlsFailed: a bad certificate, or a peer that speaks no TLS.
      ConnectFailed: the connection was cut.
      TimedOut: no handshake within timeout_secs.

    After an exception (cancellation too) the stream is closed.
    """
    secured = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        with trio.fail_after(timeout_secs):
            await secured.do_handshake()
    except BaseException as error:
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        if isinstance(error, trio.TooSlowError):
            raise TimedOut(f"no TLS within {timeout_secs:g} s") from error
        if isinstance(error, trio.BrokenResourceError):
            raise _tls_failure(error) from error
        raise
    return secured


def _tls_failure(error: trio.BrokenResourceError) -> TlsFailed | ConnectFailed:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TlsFailed(f"bad certificate: {cause.verify_message}")
    # A connection cut within the handshake says nothing about who cut it.
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return TlsFailed(f"no TLS: {cause.reason or 'the handshake failed'}")
    return ConnectFailed("the connection was cut during the TLS handshake")
