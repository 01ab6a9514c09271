"""Requests to git servers; every answer's head is judged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar
from typing import Any, Final, cast

import attrs
import httpx
import trio

from ...errors import AttemptFailed, BadStatus, ObjectsRefused, RateLimited, RedirectRefused
from ...runtime.clock import WallClock
from ...runtime.net.inflating import Inflating
from ...runtime.net.transport import ANSWER_SECS, ON_CONTACT
from ...urls import WebUrl
from .http_rules import (
    ADVERTISEMENT,
    INFO_REFS,
    REQUEST,
    RESULT,
    SERVICE_QUERY,
    UPLOAD_PACK,
    coding_of,
    is_of,
    is_redirect,
    judge_content,
    status_failure,
)

# After a short refusal the connection is good for the next URL of the same host.
_READ_ON: Final = (ObjectsRefused, BadStatus, RateLimited, RedirectRefused)
_READ_ON_BYTES: Final = 64 * 1024
_READ_ON_SECS: Final = 0.2
# What was asked for is here, and the end of the answer nearly always too; a server that keeps it
# back loses the connection and delays no request.
_END_SECS: Final = 0.05
_LOCATION: Final = "purgatory_sync.location"


Prove = Callable[[WebUrl], str]


@attrs.frozen
class Steps:
    """Called as a request goes its way.

    Attributes:
      contact: a connection is about to begin, or an open one is about to be used.
      answer: the head of the answer is here, success or error.
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
    """A body whose head was judged.

    Attributes:
      is_git: its type is the one of git's that was asked for.
    """

    _pieces: AsyncIterator[bytes]
    is_git: bool = True

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives; who stopped reads on where he was.

        Iterating raises AttemptFailed's subclasses.
        """
        return self._pieces


async def _hide_location(response: httpx.Response) -> None:
    """Keep httpx from making a request of where a redirect leads, which it does unasked."""
    if "location" in response.headers:
        response.extensions[_LOCATION] = response.headers["location"]
        del response.headers["location"]


class _NoCookies(CookieJar):
    """Takes none, so that none is sent, and no server makes us read them."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Leave them."""


class GitHttpClient:
    """One for all git servers: an httpx client that adds nothing of its own to a request.

    It follows no redirect, and takes no cookie, no credential and nothing from the environment.

    Args:
      transport: sends the requests and raises AttemptFailed's subclasses; closed with the client.
      prove: the header `Authorization` of a request to a repository; it may raise Forbidden. With
        it no redirect counts: a proof is for the host that it names. None: no request has one.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        user_agent: str,
        prove: Prove | None = None,
    ) -> None:
        self._prove = prove
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            cookies=_NoCookies(),
            event_hooks={"response": [_hide_location]},
        )
        self._headers = {
            "User-Agent": user_agent,
            "Accept-Encoding": "identity",
        }

    @asynccontextmanager
    async def advertisement(
        self, base: WebUrl, version: int, steps: Steps
    ) -> AsyncIterator[Body | Elsewhere]:
        """GET info/refs; yields and raises as `post`, but a body of another type too.

        A server of files (the dumb protocol) has one of any type.

        Args:
          version: protocol 2, or 1: the refs, and a word that tells a server that knows versions
            from one that knows v0 only.
        """
        headers = self._headers_for(base) | {
            "Accept": "*/*",
            "Git-Protocol": f"version={version}",
            "Pragma": "no-cache",
        }
        url = f"{base.text}{INFO_REFS}{SERVICE_QUERY}"
        extensions = {ON_CONTACT: steps.contact}
        request = httpx.Request("GET", url, headers=headers, extensions=extensions)
        async with self._judged(request, None, steps) as answer:
            yield answer

    @asynccontextmanager
    async def file(self, base: WebUrl, path: str, steps: Steps) -> AsyncIterator[Body | Elsewhere]:
        """GET a file of a repository, as the dumb protocol does; yields and raises as `post`."""
        headers = self._headers_for(base) | {"Accept": "*/*"}
        extensions = {ON_CONTACT: steps.contact}
        url = f"{base.text}/{path}"
        request = httpx.Request("GET", url, headers=headers, extensions=extensions)
        async with self._judged(request, None, steps) as answer:
            yield answer

    @asynccontextmanager
    async def post(
        self,
        base: WebUrl,
        body: bytes,
        version: int,
        steps: Steps,
        answer_secs: float | None = None,
    ) -> AsyncIterator[Body | Elsewhere]:
        """POST git-upload-pack.

        Args:
          base: the repository.
          version: protocol 2 or 0.
          steps: called as the request goes its way.
          answer_secs: for the first byte of the answer; when absent the time of each piece.

        Yields the body (the head is judged) or a redirect; at the end the response is closed at
        once, read or not.

        Raises:
          AttemptFailed: the status, the content type, or what happened to the connection.
        """
        headers = self._headers_for(base) | {"Accept": RESULT, "Content-Type": REQUEST}
        if version == 2:
            headers["Git-Protocol"] = "version=2"
        url = f"{base.text}{UPLOAD_PACK}"
        extensions = {ON_CONTACT: steps.contact, ANSWER_SECS: answer_secs}
        request = httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)
        async with self._judged(request, RESULT, steps) as answer:
            yield answer

    def _headers_for(self, base: WebUrl) -> dict[str, str]:
        if self._prove is None:
            return self._headers
        return self._headers | {"Authorization": self._prove(base)}

    @asynccontextmanager
    async def _judged(
        self, request: httpx.Request, content_type: str | None, steps: Steps
    ) -> AsyncIterator[Body | Elsewhere]:
        response = await self._client.send(request, stream=True, auth=None)
        steps.answer()
        # httpx wraps the transport's stream into a generator: closed here, not by the collector.
        pieces = cast(
            AsyncGenerator[bytes, None], aiter(cast(httpx.AsyncByteStream, response.stream))
        )
        try:
            answer = _judge(response, pieces, content_type)
            if self._prove is not None and isinstance(answer, Elsewhere):
                raise RedirectRefused("a redirect in answer to a proof, which is for one host")
            yield answer
        except _READ_ON:
            await _read_on(pieces, _READ_ON_SECS)
            raise
        else:
            await _read_on(pieces, _END_SECS)
        finally:
            with trio.CancelScope(shield=True):
                await pieces.aclose()
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections that are kept; attempts that still run close theirs."""
        await self._client.aclose()


def _judge(
    response: httpx.Response, pieces: AsyncIterator[bytes], content_type: str | None
) -> Body | Elsewhere:
    if is_redirect(response.status_code):
        return Elsewhere(response.extensions.get(_LOCATION))
    now = WallClock.from_system().now()
    failure = status_failure(response.status_code, response.headers, now)
    if failure is not None:
        raise failure
    if content_type is not None:
        judge_content(response.headers, content_type)
    coding = coding_of(response.headers)
    body = pieces if coding is None else Inflating(pieces, coding)
    return Body(body, is_of(response.headers, content_type or ADVERTISEMENT))


async def _read_on(pieces: AsyncIterator[bytes], secs: float) -> None:
    """Read a short rest, so that the connection can serve another request."""
    size = 0
    with trio.move_on_after(secs), suppress(AttemptFailed):
        async for piece in pieces:
            size += len(piece)
            if size > _READ_ON_BYTES:
                break
