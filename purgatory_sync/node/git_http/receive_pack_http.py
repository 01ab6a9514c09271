"""Pushes over HTTP: receive-pack as our own conversation (B 6.5, 6.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final, Protocol

import attrs
import trio

from ...errors import OverBudget, PushRefused, RepositoryError
from ...git.protocol.receive_pack import (
    ADVERTISEMENT_TYPE,
    MAX_COMMAND_BYTES,
    REQUEST_TYPE,
    RESULT_TYPE,
    PushRequest,
    RequestParser,
    accepted,
    advertisement,
    refused,
)
from ...runtime.logger import get_logger
from ...settings import PushSettings
from ..http.exchange import Exchange
from ..http.server_stream import Headers
from .client_pace import ClientPace
from .keep_alive import KeepAlive
from .repository_paths import GitPath
from .request_body import GitBody, RefusedRequest

NOT_CACHED: Final[Headers] = [
    (b"cache-control", b"no-cache, max-age=0, must-revalidate"),
    (b"pragma", b"no-cache"),
    (b"expires", b"Fri, 01 Jan 1980 00:00:00 GMT"),
]
DRAIN_SECS: Final = 600.0
DRAIN_BYTES: Final = 1 << 30
"""How much of the rest of a refused push is read, so that its client sees the reason."""
FAILED: Final = "this service failed to take the push: nothing moved; push again later"
_PROBE: Final = "probe"


class Pushes(Protocol):
    """Where pushes go: the engine, for the node."""

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str] | None:
        """What a push to a repository builds on; None when it is not hosted."""

    def waiting(self, npub: str, identifier: str) -> AbstractContextManager[None]:
        """Within it a push waits for its turn: nothing ends that it may rely on (B 6.7)."""

    async def receive(
        self,
        npub: str,
        identifier: str,
        changes: Mapping[str, str | None],
        read: Callable[[], Awaitable[bytes]],
    ) -> None:
        """Take a push, whose pack `read` gives in pieces, or raise PushRefused."""


log = get_logger(__name__)


@attrs.define
class PushCounts:
    """Pushes since the start; git's probes are none.

    Attributes:
      results: how many were `accepted`, `refused` with a reason, or `broken` off.
      bytes: what they sent, as it was sent.
      secs: from their first byte to the end of their release.
    """

    results: Counter[str] = attrs.field(
        factory=lambda: Counter({"accepted": 0, "refused": 0, "broken": 0})
    )
    bytes: int = 0
    secs: float = 0.0


@attrs.frozen
class GitPush:
    """The routes of pushes.

    Attributes:
      max_pack_bytes: most bytes of one pack.
      places: pushes that are received at once; further ones wait for their turn.
      least_pace: bytes a second that a client sends, or it is dropped when others wait.
      keepalive_secs: between the signs of life that a client has while its push is judged.
      counts: what became of them.
    """

    pushes: Pushes
    max_pack_bytes: int
    places: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(PushSettings().max_concurrent)
    )
    least_pace: int = PushSettings().min_bytes_per_sec
    keepalive_secs: float = PushSettings().keepalive_secs
    counts: PushCounts = attrs.field(factory=PushCounts)

    async def advertise(self, exchange: Exchange, path: GitPath) -> None:
        """Answer info/refs?service=git-receive-pack."""
        _, refs = await self._find(path)
        if await exchange.read():
            raise RefusedRequest(400, "info/refs takes no body")
        await exchange.start(200, uncached(ADVERTISEMENT_TYPE))
        await exchange.write(advertisement(refs, await self.haves(path)))

    async def haves(self, path: GitPath) -> Sequence[str]:
        """Commits that need not be sent, beside those that refs name: none."""
        return ()

    async def receive(self, exchange: Exchange, path: GitPath) -> None:
        """Answer a POST of git-receive-pack; a refusal is an answer that clients print."""
        if exchange.headers.get("content-type") != REQUEST_TYPE:
            raise RefusedRequest(415, f"the content type is {REQUEST_TYPE}")
        identifier, _ = await self._find(path)
        body = GitBody(exchange, MAX_COMMAND_BYTES + self.max_pack_bytes)
        keep_alive = KeepAlive(exchange, uncached(RESULT_TYPE), self.keepalive_secs)
        pace = ClientPace(self.least_pace, lambda: self.places.statistics().tasks_waiting > 0)
        conversation = _Conversation(body, pace, keep_alive)
        answer, failure = b"", None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_alive.run)
            try:
                answer = await self._counted(path.npub, identifier, body, conversation)
            except Exception as error:  # raised below, as it is
                failure = error
            finally:
                keep_alive.end()
        if failure is not None and keep_alive.begun:
            await keep_alive.finish(refused(conversation.parser.request, FAILED))
        if failure is not None:
            raise failure
        await keep_alive.finish(answer)

    async def _counted(
        self, npub: str, identifier: str, body: GitBody, conversation: _Conversation
    ) -> bytes:
        start, result = trio.current_time(), "broken"
        try:
            # Before the place: a client that says nothing must not hold one.
            await conversation.begin()
            try:
                async with self._turn(npub, identifier):
                    result, answer = await self._converse(npub, identifier, conversation)
            except PushRefused as refusal:
                result = "quota" if isinstance(refusal, OverBudget) else "refused"
                answer = refused(conversation.parser.request, str(refusal))
                await conversation.drain()
            return answer
        finally:
            if result != _PROBE:
                self.counts.results[result] += 1
                self.counts.bytes += body.sent
                self.counts.secs += trio.current_time() - start

    @asynccontextmanager
    async def _turn(self, npub: str, identifier: str) -> AsyncIterator[None]:
        """A place among those that are received; nothing that the push needs ends before it."""
        with self.pushes.waiting(npub, identifier):
            async with self.places:
                yield

    async def _converse(
        self, npub: str, identifier: str, conversation: _Conversation
    ) -> tuple[str, bytes]:
        """What became of the push, and what is answered."""
        request = await conversation.commands()
        if request is None:
            return _PROBE, b""
        await self.pushes.receive(npub, identifier, request.changes, conversation.read)
        return "accepted", accepted(request)

    async def hosts(self, path: GitPath) -> bool:
        """Whether pushes to this path are taken (B 2.7: before its repository is made, too)."""
        return await self._look(path) is not None

    async def _find(self, path: GitPath) -> tuple[str, Mapping[str, str]]:
        try:
            found = await self._look(path)
        except RepositoryError as error:
            log.error("repository cannot be read", error=str(error))
            raise RefusedRequest(503, "its operator has to see to this repository") from error
        if found is None:
            raise RefusedRequest(404, "no such repository here")
        return found

    async def _look(self, path: GitPath) -> tuple[str, Mapping[str, str]] | None:
        for identifier in path.identifiers:
            if (refs := await self.pushes.refs(path.npub, identifier)) is not None:
                return identifier, refs
        return None


class _Conversation:
    """The body of one push: commands, then the pack."""

    def __init__(self, body: GitBody, pace: ClientPace, keep_alive: KeepAlive) -> None:
        self.parser = RequestParser()
        self._body = body
        self._pace = pace
        self._keep_alive = keep_alive
        self._rest = b""

    async def begin(self) -> None:
        """Wait for the first bytes."""
        self._rest = await self._body.read()

    async def commands(self) -> PushRequest | None:
        """What is asked for; None when it is git's probe before a large push.

        Raises:
          PushRefused: no commands as B 6.5 wants them.
        """
        parser = self.parser
        while not parser.done:
            if not (piece := await self.read()):
                raise PushRefused("the request ends before its commands do")
            parser.feed(piece)
        self._rest = parser.rest()
        request = parser.request
        if request.commands:
            return request
        if request.shallow or await self.read():
            raise PushRefused("the request holds no command")
        return None

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        rest, self._rest = self._rest, b""
        piece = rest or await self._pace.read(self._body)
        if not piece:
            self._keep_alive.begin(side_band=self.parser.done and self.parser.request.side_band)
        return piece

    async def drain(self) -> None:
        """Read on until the client listens: it sends all it has before it reads an answer."""
        with trio.move_on_after(DRAIN_SECS):
            await self._body.skip(DRAIN_BYTES)


def uncached(content_type: str) -> Headers:
    """The headers of an answer to git, which no cache may keep."""
    return [*NOT_CACHED, (b"content-type", content_type.encode())]
