"""Git over HTTP: clones and fetches by git's own upload-pack, streamed (B 6.1 to 6.4)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from ...errors import BadPack
from ...git.http.http_rules import ADVERTISEMENT, REQUEST, RESULT
from ...git.serving.ref_answers import PREAMBLE
from ...runtime.logger import get_logger
from ...settings import ListenerSettings
from ..http.exchange import Exchange
from ..http.server_stream import PIECE_BYTES, Gone
from .client_pace import ClientPace
from .empty_repository import (
    LEAST_BYTES,
    NO_REFS,
    answer_of_nothing,
    asks_for_unborn,
    unborn_line,
    with_capabilities,
)
from .git_child import GitChild, git_child, git_environment
from .large_files import ANSWER, MEDIA_TYPE, is_lfs_path
from .plain_answers import PackStream, PlainAnswer, PlainAnswers
from .receive_pack_http import NOT_CACHED, GitPush, uncached
from .repository_paths import GitPath, parse_git_path
from .request_body import GitBody, RefusedMethod, RefusedRequest

Resolve = Callable[[str, str], Awaitable[Path | None]]
Unborn = Callable[[str, str], Awaitable[str | None]]

MAX_REQUEST_BYTES = 32 * 1024 * 1024
# What git's clients send fits in; a child is held only while the rest of a longer body arrives,
# and a body that drips must not hold it for ever.
READ_AHEAD_BYTES = 256 * 1024
BODY_SECS = 60.0
# What git says of itself fits in.
WORDS_BYTES = 4096

_NO_PUSH = "this server does not take pushes: it fetches what your signed state event names"
_VERSION = re.compile(r"version=([012])")

log = get_logger(__name__)


class GitEndpoint:
    """The routes of git.

    Args:
      resolve: from npub and identifier (judged) to the bare repository; None when not hosted.
      max_processes: git children at once; further requests wait for their turn.
      push: answers pushes; without it they are refused with a sentence.
      max_secs: how long one of them may live.
      least_pace: bytes a second that a client takes, or it is dropped when others wait.
      unborn: from npub and identifier to the branch that a clone shall begin with, of a repository
        whose HEAD names none yet; None for others.
      parse: reads a path that may be one of these.
    """

    def __init__(
        self,
        resolve: Resolve,
        max_processes: int,
        push: GitPush | None = None,
        *,
        unborn: Unborn | None = None,
        max_secs: float = ListenerSettings().git_max_secs,
        least_pace: int = ListenerSettings().git_min_bytes_per_sec,
        parse: Callable[[str], GitPath | None] = parse_git_path,
    ) -> None:
        self._resolve = resolve
        self._push = push
        self._unborn = unborn
        self._places = trio.CapacityLimiter(max_processes)
        self._max_secs = max_secs
        self._least_pace = least_pace
        self._parse = parse
        self._plain = PlainAnswers()

    async def answer(self, exchange: Exchange) -> bool:
        """Answer a request for git; False when its path is none of git's (nothing is sent then)."""
        path = self._parse(exchange.path)
        if path is None:
            if not is_lfs_path(exchange.path):
                return False
            await exchange.respond(404, ANSWER, MEDIA_TYPE, NOT_CACHED)
            return True
        try:
            await self._route(exchange, path)
        except* RefusedRequest as refusals:
            refusal = _first_of(refusals)
            if exchange.answered:
                raise Gone(str(refusal)) from refusal
            if isinstance(refusal, RefusedMethod):
                await exchange.refuse_method(refusal.allowed, str(refusal), NOT_CACHED)
            else:
                await exchange.respond(refusal.status, f"{refusal}\n".encode(), more=NOT_CACHED)
        return True

    async def _route(self, exchange: Exchange, path: GitPath) -> None:
        if path.service == "info/refs":
            if exchange.method not in ("GET", "HEAD"):
                raise RefusedMethod("GET, HEAD, OPTIONS", "info/refs is read with GET")
            if exchange.query == "service=git-receive-pack":
                await self._pushing().advertise(exchange, path)
                return
            empty = await self._waits_without_repository(path)
            repository = None if empty else (await self._find(path))[1]
            if exchange.query != "service=git-upload-pack":
                raise RefusedRequest(403, "only the smart HTTP protocol is supported: upgrade git")
            if repository is None:
                await self._advertise_nothing(exchange)
            else:
                await self._advertise(exchange, repository)
            return
        if exchange.method != "POST":
            raise RefusedMethod("POST, OPTIONS", f"{path.service} is sent with POST")
        if path.service == "git-receive-pack":
            await self._pushing().receive(exchange, path)
            return
        empty = await self._waits_without_repository(path)
        found = None if empty else await self._find(path)
        if exchange.headers.get("content-type") != REQUEST:
            raise RefusedRequest(415, f"the content type is {REQUEST}")
        if found is None:
            await self._answer_nothing(exchange)
        else:
            await self._upload_pack(exchange, path.npub, *found)

    def _pushing(self) -> GitPush:
        if self._push is None:
            raise RefusedRequest(403, _NO_PUSH)
        return self._push

    async def _look(self, path: GitPath) -> tuple[str, Path] | None:
        for identifier in path.identifiers:
            if repository := await self._resolve(path.npub, identifier):
                return identifier, repository.absolute()
        return None

    async def _find(self, path: GitPath) -> tuple[str, Path]:
        if (found := await self._look(path)) is None:
            raise RefusedRequest(404, "no such repository here")
        return found

    async def _waits_without_repository(self, path: GitPath) -> bool:
        """Whether its announcement is softly expired: it answers as an empty one (B 2.7)."""
        if self._push is None or await self._look(path) is not None:
            return False
        return await self._push.hosts(path)

    async def _advertise_nothing(self, exchange: Exchange) -> None:
        # v0 for every request: after it no client asks for more. In one piece, for it is frequent.
        await exchange.respond(200, NO_REFS, ADVERTISEMENT, NOT_CACHED)

    async def _answer_nothing(self, exchange: Exchange) -> None:
        """What git answers whose repository has no object: no refs, and no wish is fulfilled."""
        first = await _read_ahead(GitBody(exchange, READ_AHEAD_BYTES))
        await exchange.start(200, uncached(RESULT))
        await exchange.write(answer_of_nothing(first))

    async def _advertise(self, exchange: Exchange, repository: Path) -> None:
        headers = uncached(ADVERTISEMENT)
        if exchange.method == "HEAD":
            await exchange.start(200, headers)
            return
        if await exchange.read():
            raise RefusedRequest(400, "info/refs takes no body")
        version = _protocol_version(exchange)
        tells = self._unborn is not None
        if answer := await self._plain.advertisement(repository, version, tells):
            await exchange.respond(200, answer, ADVERTISEMENT, NOT_CACHED)
            return
        arguments = ["upload-pack", "--strict", "--stateless-rpc", "--advertise-refs"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_leave_when_gone, exchange)
            async with self._child([*arguments, str(repository)], version, tells) as child:
                first = await _first_piece(child, LEAST_BYTES)
                if not first:
                    raise RefusedRequest(500, "git cannot read this repository")
                await exchange.start(200, headers)
                if version != 2:
                    await exchange.write(PREAMBLE)
                await exchange.write(with_capabilities(first))
                said = bytearray(first)
                await self._stream(child, exchange, said)
            nursery.cancel_scope.cancel()
        await self._plain.learn(repository, version, tells, bytes(said))

    async def _upload_pack(
        self, exchange: Exchange, npub: str, identifier: str, repository: Path
    ) -> None:
        body = GitBody(exchange, MAX_REQUEST_BYTES)
        # Before the place: a client that says nothing, or a byte now and then, must not hold one.
        first = await _read_ahead(body)
        if not first:
            raise RefusedRequest(400, "the request is empty")
        version = _protocol_version(exchange)
        plain = None
        if len(first) < READ_AHEAD_BYTES:
            plain = await self._plain.upload_pack(repository, version, first)
        branch = None
        if version == 2 and (plain is None or not plain.has_head):
            branch = await self._unborn_branch(first, npub, identifier)
        if plain is not None:
            await self._answer_plain(exchange, plain, branch)
            return
        arguments = ["upload-pack", "--strict", "--stateless-rpc", str(repository)]
        async with trio.open_nursery() as nursery:
            async with self._child(arguments, version) as child:
                nursery.start_soon(_feed, child, first, body, exchange)
                answer = await _first_piece(child, 1)
                if not answer and await child.wait():
                    raise RefusedRequest(400, "git does not understand this request")
                await exchange.start(200, uncached(RESULT))
                await exchange.write(unborn_line(branch) + answer if branch else answer)
                await self._stream(child, exchange)
            nursery.cancel_scope.cancel()

    async def _unborn_branch(self, request: bytes, npub: str, identifier: str) -> str | None:
        if self._unborn is None or not asks_for_unborn(request):
            return None
        return await self._unborn(npub, identifier)

    async def _answer_plain(
        self, exchange: Exchange, answer: PlainAnswer, branch: str | None
    ) -> None:
        if answer.rest is None:
            whole = unborn_line(branch) + answer.beginning if branch else answer.beginning
            await exchange.respond(200, whole, RESULT, NOT_CACHED)
            return
        with answer.rest as rest:
            await exchange.start(200, uncached(RESULT))
            await self._send_pack(exchange, answer.beginning, rest)

    async def _send_pack(self, exchange: Exchange, piece: bytes, rest: PackStream) -> None:
        with trio.move_on_after(self._max_secs) as scope:
            try:
                while piece:
                    await exchange.write(piece)
                    piece = await rest.read()
            except BadPack as error:
                raise Gone(str(error)) from error
            await exchange.write(rest.end)
        if scope.cancelled_caught:
            raise Gone(f"this took longer than {self._max_secs:g} seconds")

    @asynccontextmanager
    async def _child(
        self, arguments: Sequence[str], version: int, unborn: bool = False
    ) -> AsyncIterator[GitChild]:
        """A git in a place of its own, for a limited time."""
        async with self._places:
            with trio.move_on_after(self._max_secs) as scope:
                async with git_child(arguments, _environment(version, unborn)) as child:
                    yield child
            if scope.cancelled_caught:
                raise RefusedRequest(503, f"this took longer than {self._max_secs:g} seconds")

    async def _stream(
        self, child: GitChild, exchange: Exchange, said: bytearray | None = None
    ) -> None:
        """Pass git's answer on; its beginning is added to what it said."""
        pace = ClientPace(self._least_pace, lambda: self._places.statistics().tasks_waiting > 0)
        while piece := await child.stdout.receive_some(PIECE_BYTES):
            if said is not None and len(said) < WORDS_BYTES:
                said += piece  # git writes its capabilities packet by packet
            await pace.write(exchange, bytes(piece))
        # A refusal is a whole answer although git ends with an error; a killed git's answer is cut.
        if await child.wait() < 0:
            raise Gone("git was killed while it answered")


async def _read_ahead(body: GitBody) -> bytes:
    """The body, or its beginning when it is a long one."""
    with _body_time():
        pieces = bytearray()
        while len(pieces) < READ_AHEAD_BYTES and (piece := await body.read()):
            pieces += piece
    return bytes(pieces)


@contextmanager
def _body_time() -> Iterator[None]:
    with trio.move_on_after(BODY_SECS) as scope:
        yield
    if scope.cancelled_caught:
        raise RefusedRequest(408, f"the request took longer than {BODY_SECS:.0f} seconds")


async def _feed(child: GitChild, piece: bytes, body: GitBody, exchange: Exchange) -> None:
    """Give the request's body to git, then watch whether the client stays for the answer."""
    with _body_time():
        try:
            while piece:
                await child.stdin.send_all(piece)
                piece = await body.read()
            await child.stdin.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # git has heard enough; its answer says why
    await _leave_when_gone(exchange)


async def _leave_when_gone(exchange: Exchange) -> None:
    await exchange.wait_gone()
    raise Gone("left before the answer was made")


async def _first_piece(child: GitChild, least: int) -> bytes:
    """At least so many bytes of the answer, or all of it when there are fewer."""
    data = b""
    while len(data) < least and (piece := await child.stdout.receive_some(PIECE_BYTES)):
        data += bytes(piece)
    if not data:
        error = child.stderr.decode(errors="replace").strip()
        log.info("git gave no answer", error=error)
    return data


def _protocol_version(exchange: Exchange) -> int:
    """The highest protocol version that the client names (0 when it names none)."""
    keys = exchange.headers.get("git-protocol", "").split(":")
    return max((int(m[1]) for key in keys if (m := _VERSION.fullmatch(key))), default=0)


def _environment(version: int, unborn: bool) -> dict[str, str]:
    return git_environment(f"version={version}" if version else None, unborn=unborn)


def _first_of(group: ExceptionGroup[RefusedRequest]) -> RefusedRequest:
    inner = group.exceptions[0]
    return _first_of(inner) if isinstance(inner, ExceptionGroup) else inner
