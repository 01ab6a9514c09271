"""Requests to git servers; every answer's head is judged."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, cast

import attrs
import httpx
import trio

from ...errors import AttemptFailed, BadStatus, ObjectsRefused, RateLimited, RedirectRefused
from ...runtime.clock import WallClock
from ...runtime.net.gate import Gate
from ...runtime.net.transport import ON_CONTACT, GateTransport
from ...settings import HuntSettings
from ...urls import WebUrl
from ...version import __version__
from .http_rules import (
    ADVERTISEMENT,
    INFO_REFS,
    REQUEST,
    RESULT,
    SERVICE_QUERY,
    UPLOAD_PACK,
    is_redirect,
    judge_content,
    status_failure,
)

# After a short refusal the connection is good for the next URL of the same host.
_READ_ON: Final = (ObjectsRefused, BadStatus, RateLimited, RedirectRefused)
_READ_ON_BYTES: Final = 64 * 1024
_READ_ON_SECS: Final = 0.2
# What was asked for is here, and the end of the answer nearly always too; a server that keeps it
# back loses the connection and delays nobody.
_END_SECS: Final = 0.05


@attrs.frozen
class Steps:
    """Called as a request goes its way.

    Attributes:
      contact: a connection is about to begin, or an open one is about to be used.
      answer: the head of the answer is here, whatever it says.
    """

    contact: Callable[[], None]
    answer: Callable[[], None]


@attrs.frozen
class Elsewhere:
    """A redirect, not followed.

    Attributes:
      location: the header as it came, if it came.
    """

    location: str | None


@attrs.frozen
class Body:
    """A body of git's, whose head was judged."""

    _response: httpx.Response

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Iterating raises AttemptFailed's subclasses.
        """
        stream = cast(httpx.AsyncByteStream, self._response.stream)
        return stream.__aiter__()


class GitHttpClient:
    """One for all git servers.

    httpx's client is left out: nothing of what it adds (redirects, cookies, credentials, proxies)
    may happen here.

    Args:
      settings: the time-outs.
      gate: opens every connection.
      tls: the context for https, for those who bring certificates of their own.
    """

    def __init__(
        self, settings: HuntSettings, gate: Gate, tls: ssl.SSLContext | None = None
    ) -> None:
        self._transport = GateTransport(
            gate,
            connect_timeout_secs=settings.connect_timeout_secs,
            idle_timeout_secs=settings.idle_timeout_secs,
            tls=tls,
        )
        self._headers = {
            "User-Agent": f"purgatory-sync/{__version__}",
            "Accept-Encoding": "identity",
        }

    @asynccontextmanager
    async def advertisement(
        self, base: WebUrl, version: int, steps: Steps
    ) -> AsyncIterator[Body | Elsewhere]:
        """GET info/refs; yields and raises as `post`.

        Args:
          version: protocol 2, or 1: the refs, and a word that tells a server that knows versions
            from one that knows v0 only.
        """
        headers = self._headers | {
            "Accept": ADVERTISEMENT,
            "Git-Protocol": f"version={version}",
            "Pragma": "no-cache",
        }
        url = f"{base.text}{INFO_REFS}{SERVICE_QUERY}"
        extensions = {ON_CONTACT: steps.contact}
        request = httpx.Request("GET", url, headers=headers, extensions=extensions)
        async with self._judged(request, ADVERTISEMENT, steps) as answer:
            yield answer

    @asynccontextmanager
    async def post(
        self, base: WebUrl, body: bytes, version: int, steps: Steps
    ) -> AsyncIterator[Body | Elsewhere]:
        """POST git-upload-pack.

        Args:
          base: the repository.
          version: protocol 2 or 0.
          steps: called as the request goes its way.

        Yields the body (the head is judged) or a redirect; at the end the response is closed at
        once, read or not.

        Raises:
          AttemptFailed: the status, the content type, or what happened to the connection.
        """
        headers = self._headers | {"Accept": RESULT, "Content-Type": REQUEST}
        if version == 2:
            headers["Git-Protocol"] = "version=2"
        url = f"{base.text}{UPLOAD_PACK}"
        extensions = {ON_CONTACT: steps.contact}
        request = httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)
        async with self._judged(request, RESULT, steps) as answer:
            yield answer

    @asynccontextmanager
    async def _judged(
        self, request: httpx.Request, content_type: str, steps: Steps
    ) -> AsyncIterator[Body | Elsewhere]:
        response = await self._transport.handle_async_request(request)
        steps.answer()
        try:
            yield _judge(response, content_type)
        except _READ_ON:
            await _read_on(response, _READ_ON_SECS)
            raise
        else:
            await _read_on(response, _END_SECS)
        finally:
            with trio.CancelScope(shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections that are kept; attempts that still run close theirs."""
        await self._transport.aclose()


def _judge(response: httpx.Response, content_type: str) -> Body | Elsewhere:
    if is_redirect(response.status_code):
        return Elsewhere(response.headers.get("location"))
    now = WallClock.from_system().now()
    failure = status_failure(response.status_code, response.headers, now)
    if failure is not None:
        raise failure
    judge_content(response.headers, content_type)
    return Body(response)


async def _read_on(response: httpx.Response, secs: float) -> None:
    """Read a short rest, so that the connection can serve another request."""
    size = 0
    with trio.move_on_after(secs), suppress(AttemptFailed):
        async for piece in Body(response).pieces():
            size += len(piece)
            if size > _READ_ON_BYTES:
                break
