"""An httpx transport of an embedder in place of the gate's: our errors, our time-outs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import httpx
import trio

from ...errors import AttemptFailed, ConnectFailed, ProtocolBroken, TimedOut, Unanswered
from .transport import ANSWER_SECS, ON_CONTACT


class GivenTransport(httpx.AsyncBaseTransport):
    """Sends requests by another transport, and raises what the gate's would.

    Args:
      transport: of an embedder; closed with this one.
      connect_timeout_secs: for connecting, TLS included.
      idle_timeout_secs: for each piece that is sent or received. The transport keeps both, as
        httpx's own do.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        *,
        connect_timeout_secs: float,
        idle_timeout_secs: float,
    ) -> None:
        self._transport = transport
        self._idle_timeout_secs = idle_timeout_secs
        self._timeout: Final = {
            "connect": connect_timeout_secs,
            "write": idle_timeout_secs,
            "pool": None,
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; it counts as a contact even if the transport contacts no server.

        Raises AttemptFailed's subclasses for errors of httpx. Cancelled, the transport is.
        """
        on_contact: Callable[[], None] | None = request.extensions.get(ON_CONTACT)
        if on_contact is not None:
            on_contact()
        secs: float | None = request.extensions.get(ANSWER_SECS)
        response = await self._answer(request, secs)
        if not isinstance(response.stream, httpx.AsyncByteStream):
            raise ConnectFailed("the transport's answer cannot be read asynchronously")
        response.stream = _Body(response.stream)
        return response

    async def _answer(self, request: httpx.Request, secs: float | None) -> httpx.Response:
        if secs is None:
            secs, read = inf, self._idle_timeout_secs
        else:
            read = max(secs, self._idle_timeout_secs)
        request.extensions = {"timeout": self._timeout | {"read": read}}
        with trio.move_on_after(secs), _our_errors():
            return await self._transport.handle_async_request(request)
        raise Unanswered(f"no byte for {secs:g} s")

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


class _Body(httpx.AsyncByteStream):
    """No generator, so that it can be left at any time and be read on."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self._pieces: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._stream.__aiter__()
        with _our_errors():
            return await self._pieces.__anext__()

    async def aclose(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()
        await self._stream.aclose()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise _translated(error) from error


def _translated(error: httpx.HTTPError) -> AttemptFailed:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(text)
    if isinstance(error, httpx.ProtocolError):
        return ProtocolBroken(text)
    return ConnectFailed(text)
