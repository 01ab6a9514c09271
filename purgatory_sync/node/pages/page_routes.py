"""Which page answers which path, and only to those who want to read one (B 6.4)."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from ...engine.status.catalogue import Catalogue
from ...engine.status.prs_status import ContributedRepository
from ...engine.status.repository_status import RepositoryStatus
from ...errors import RepositoryError, StoreError
from ...nostr.keys import encode_npub
from ...runtime.logger import get_logger
from ...settings import Network
from ...urls import PRS, scheme_of
from ..git_http.repository_paths import GitPath, parse_git_path, parse_prs_path
from ..http.exchange import Exchange
from ..http.server_stream import Headers
from ..relay.nip11 import ICON_PATH, RelayInfo
from ..upstream.state.relay_health import RelayStatus
from .page_filter import filter_of
from .public import PublicRepository, is_told
from .rendering import Renderer
from .status_page import Look, Relays, StatusPage

FindRepository = Callable[..., Awaitable[RepositoryStatus | None]]
FindContribution = Callable[[str, str], Awaitable[ContributedRepository | None]]
List = Callable[[], Awaitable[Catalogue]]

log = get_logger(__name__)

JSON: Final = b"application/json"
STATUS, STATUS_JSON = "/purgatory", "/purgatory.json"
REQUESTS_BYTES: Final = 40_000
_PAGES = ("text/html", "application/xhtml+xml")
# An image may be opened as a page of its own: then, too, it loads and runs nothing.
_ICON_HEADERS: Final[Headers] = [
    (b"content-type", b"image/svg+xml"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"public, max-age=86400"),
]
_UNREADABLE: Final = (
    b"this page cannot be shown now: what it tells of cannot be read from the disk. Try again in a "
    b"minute; the operator finds the reason in the node's log.\n"
)
_NOT_HOSTED = "This service hosts no repository of that name."
_NO_SUCH_PATH = "No page and no repository has this address."


def _no_relays() -> Sequence[RelayStatus]:
    return ()


class PageRoutes:
    """The pages of a node.

    Args:
      info: who we are, at the moment of the call.
      look: the engine at this moment, with the held events of a choice; asked for each status page.
      repository: from npub and identifiers (judged) to the first that is hosted, or None.
      allow: the operator's exceptions of addresses that may be contacted.
      relays: those that are followed; asked for each status page.
      contribution: from npub and identifier to what is below `/prs/`; None where that is off.
      catalogue: what is served; asked for each landing page; None where nothing is listed.
    """

    def __init__(
        self,
        info: Callable[[], RelayInfo],
        look: Look,
        repository: FindRepository,
        allow: Sequence[Network],
        relays: Relays = _no_relays,
        contribution: FindContribution | None = None,
        catalogue: List | None = None,
    ) -> None:
        self._info = info
        self._service = info().service
        self._repository = repository
        self._allow = tuple(allow)
        self._contribution = contribution
        self._catalogue = catalogue
        self._renderer = Renderer(info().service)
        self._status = StatusPage(self._renderer, look, self._allow, relays)

    async def landing(self, exchange: Exchange) -> None:
        """Answer `/`."""
        await self._or_sentence(exchange, self._landing)

    async def answer(self, exchange: Exchange) -> bool:
        """Answer with a page, or 405 where one is; False for who wants none (nothing is sent)."""
        return await self._or_sentence(exchange, self._page)

    async def _or_sentence(
        self, exchange: Exchange, write: Callable[[Exchange], Awaitable[bool]]
    ) -> bool:
        try:
            return await write(exchange)
        except (StoreError, RepositoryError) as error:
            log.warning("a page cannot be shown", path=exchange.path, error=str(error))
            more = [(b"retry-after", b"60"), (b"cache-control", b"no-store")]
            await exchange.respond(503, _UNREADABLE, more=more)
            return True

    async def _landing(self, exchange: Exchange) -> bool:
        info = self._info()
        catalogue = None if self._catalogue is None else await self._catalogue()
        body = self._renderer.render("landing", info.name, info=info, catalogue=catalogue)
        await _send(exchange, 200, self._renderer.headers, body)
        return True

    async def _page(self, exchange: Exchange) -> bool:
        if exchange.method not in ("GET", "HEAD"):
            if await self._find(exchange) is None:
                return False
            await exchange.refuse_method("GET, HEAD, OPTIONS", "a page is read with GET")
        elif exchange.path in (STATUS, STATUS_JSON):
            await self._show_status(exchange)
        elif exchange.path == ICON_PATH:
            await _send(exchange, 200, _ICON_HEADERS, self._renderer.icon)
        elif wants_json(accept := exchange.headers.get("accept", "")):
            if (look := await self._find(exchange)) is None:
                return False
            await self._repository_json(exchange, look)
        elif wants_page(accept):
            await self._repository_page(exchange)
        elif wants_anything(accept) and (look := await self._find(exchange)) is not None:
            await self._show(exchange, look)
        else:
            return False
        return True

    async def _show_status(self, exchange: Exchange) -> None:
        written = await self._status.written(filter_of(exchange.query))
        if exchange.path == STATUS:
            await _send(exchange, written.status, self._renderer.status_headers, written.page)
        else:
            headers = [(b"content-type", JSON), (b"cache-control", b"no-store")]
            await _send(exchange, written.status, headers, written.json)

    async def _contributed_page(self, exchange: Exchange, path: GitPath) -> None:
        look = None
        if self._contribution is not None:
            look = await self._contribution(path.npub, path.identifiers[0])
        if look is None:
            await self._missing(exchange, _NOT_HOSTED)
            return
        name = quote(look.identifier, safe="")
        service = self._info().service
        clone = f"{scheme_of(service)}://{service}/{PRS}/{path.npub}/{name}.git"
        command = f"git clone {shlex.quote(clone)}"
        title = f"Pull requests: {look.identifier}"
        some = self._renderer.fitting("contribution_row", look.requests, REQUESTS_BYTES)
        values = {"look": look, "requests": some, "npub": path.npub, "clone": command}
        await self._answer(exchange, 200, "contribution", title, **values)

    async def _repository_page(self, exchange: Exchange) -> None:
        if (path := parse_prs_path(f"{exchange.path.rstrip('/')}/info/refs")) is not None:
            await self._contributed_page(exchange, path)
            return
        if (look := await self._find(exchange)) is not None:
            await self._show(exchange, look)
        else:
            await self._missing(exchange, _NOT_HOSTED if _path(exchange) else _NO_SUCH_PATH)

    async def _repository_json(self, exchange: Exchange, look: RepositoryStatus) -> None:
        headers = [(b"content-type", JSON), (b"cache-control", b"no-store"), (b"vary", b"accept")]
        public = PublicRepository(
            npub=encode_npub(look.owner),
            identifier=look.identifier,
            name=look.name,
            description=look.description,
            is_served=look.is_served,
            rulers=look.rulers,
        )
        await _send(exchange, 200, headers, msgspec.json.encode(public))

    async def _find(self, exchange: Exchange) -> RepositoryStatus | None:
        """The repository whose page this is."""
        path = _path(exchange)
        return None if path is None else await self._repository(path.npub, *path.identifiers)

    async def _missing(self, exchange: Exchange, reason: str) -> None:
        await self._answer(exchange, 404, "missing", "Nothing is served here", reason=reason)

    async def _show(self, exchange: Exchange, look: RepositoryStatus) -> None:
        npub, name = encode_npub(look.owner), quote(look.identifier, safe="")
        clone = f"{look.scheme}://{self._service}/{npub}/{name}.git"
        relay = quote(look.relay, safe="")
        await self._answer(
            exchange,
            200,
            "repository",
            look.name or look.identifier,
            look=look,
            source=self._source(look),
            npub=npub,
            clone=f"git clone {shlex.quote(clone)}",
            nostr_clone=f"git clone {shlex.quote(f'nostr://{npub}/{relay}/{name}')}",
            gitworkshop=f"https://gitworkshop.dev/{npub}/{relay}/{name}",
        )

    def _source(self, look: RepositoryStatus) -> str | None:
        """Where the data of its state came from, if that may be told."""
        state = look.contents and look.contents.state
        url = state and state.source
        return url if url and is_told(url, self._allow) else None

    async def _answer(
        self, exchange: Exchange, status: int, page: str, title: str, **values: object
    ) -> None:
        body = self._renderer.render(page, title, **values)
        await _send(exchange, status, self._renderer.headers, body)


def _path(exchange: Exchange) -> GitPath | None:
    # The same reading as git's paths have, so that a page is where its repository is.
    return parse_git_path(f"{exchange.path.rstrip('/')}/info/refs")


async def _send(exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
    await exchange.start(status, [*headers, (b"content-length", b"%d" % len(body))])
    await exchange.write(body)


def wants_json(accept: str) -> bool:
    """Whether an Accept header names JSON first."""
    return accept.partition(",")[0].partition(";")[0].strip().lower() == JSON.decode()


def wants_page(accept: str) -> bool:
    """Whether an Accept header names HTML, as browsers' do and git's never does."""
    return any(choice.partition(";")[0].strip().lower() in _PAGES for choice in accept.split(","))


def wants_anything(accept: str) -> bool:
    """Whether an Accept header names nothing, or `*/*` alone: curl, monitors; git never does."""
    return accept.partition(";")[0].strip() in ("", "*/*")
