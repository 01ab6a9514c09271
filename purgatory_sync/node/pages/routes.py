"""Which page answers which path, and only to those who want to read one (B 6.4)."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from ...engine.explained import NodeLook
from ...engine.repository_look import RepositoryLook
from ...nostr.keys import encode_npub
from ...settings import Network
from ..exchange import Exchange
from ..git_paths import parse_git_path
from ..nip11 import RelayInfo
from .public import PublicLook, public_look
from .rendering import Renderer

Look = Callable[[], Awaitable[NodeLook]]
FindRepository = Callable[[str, str], Awaitable[RepositoryLook | None]]

JSON: Final = b"application/json"
STATUS, STATUS_JSON = "/purgatory", "/purgatory.json"
_PAGES = ("text/html", "application/xhtml+xml")
_NOT_HOSTED = "This service hosts no repository of that name."
_NO_SUCH_PATH = "No page and no repository has this address."


class Pages:
    """The pages of a node.

    Args:
      info: who we are.
      look: the engine at this moment; asked for each status page.
      repository: from npub and identifier (judged) to what is hosted, or None.
      allow: the operator's exceptions of addresses that may be contacted.
    """

    def __init__(
        self, info: RelayInfo, look: Look, repository: FindRepository, allow: Sequence[Network]
    ) -> None:
        self._info = info
        self._look = look
        self._repository = repository
        self._allow = tuple(allow)
        self._renderer = Renderer(info.service)

    async def landing(self, exchange: Exchange) -> None:
        """Answer `/`."""
        await self._send(exchange, 200, "landing", self._info.name, info=self._info)

    async def answer(self, exchange: Exchange) -> bool:
        """Answer a GET or HEAD with a page; False for who wants none (nothing is sent then)."""
        if exchange.method not in ("GET", "HEAD"):
            return False
        if exchange.path == STATUS_JSON:
            body = msgspec.json.encode(await self._public())
            headers = [(b"content-type", JSON), (b"cache-control", b"no-store")]
            await exchange.start(200, [*headers, (b"content-length", b"%d" % len(body))])
            await exchange.write(body)
        elif exchange.path == STATUS:
            look = await self._public()
            await self._send(exchange, 200, "status", "What waits here, and why", look=look)
        elif not wants_page(exchange.headers.get("accept", "")):
            return False
        else:
            await self._repository_page(exchange)
        return True

    async def _public(self) -> PublicLook:
        return public_look(await self._look(), self._allow)

    async def _repository_page(self, exchange: Exchange) -> None:
        # The same reading as git's paths have, so that a page is where its repository is.
        path = parse_git_path(f"{exchange.path.rstrip('/')}/info/refs")
        if path is None:
            await self._missing(exchange, _NO_SUCH_PATH)
            return
        for identifier in path.identifiers:
            if (look := await self._repository(path.npub, identifier)) is not None:
                await self._show(exchange, look)
                return
        await self._missing(exchange, _NOT_HOSTED)

    async def _missing(self, exchange: Exchange, reason: str) -> None:
        await self._send(exchange, 404, "missing", "Nothing is served here", reason=reason)

    async def _show(self, exchange: Exchange, look: RepositoryLook) -> None:
        npub, name = encode_npub(look.owner), quote(look.identifier, safe="")
        clone = f"{look.scheme}://{self._info.service}/{npub}/{name}.git"
        relay = quote(look.relay, safe="")
        await self._send(
            exchange,
            200,
            "repository",
            look.name or look.identifier,
            look=look,
            npub=npub,
            clone=f"git clone {shlex.quote(clone)}",
            nostr_clone=f"git clone {shlex.quote(f'nostr://{npub}/{relay}/{name}')}",
            gitworkshop=f"https://gitworkshop.dev/{npub}/{relay}/{name}",
        )

    async def _send(
        self, exchange: Exchange, status: int, page: str, title: str, **values: object
    ) -> None:
        body = self._renderer.render(page, title, **values)
        length = (b"content-length", b"%d" % len(body))
        await exchange.start(status, [*self._renderer.headers, length])
        await exchange.write(body)


def wants_page(accept: str) -> bool:
    """Whether an Accept header names HTML, as browsers' do and git's never does."""
    return any(choice.partition(";")[0].strip().lower() in _PAGES for choice in accept.split(","))
