"""Which part of the node answers which path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..urls import base_of
from .git_http.upload_pack_http import GitEndpoint
from .http.exchange import Exchange
from .http.server_stream import VARY_ACCEPT
from .management.endpoint import Management
from .operator import metrics
from .operator.metrics import Metrics
from .pages.page_routes import STATUS, STATUS_JSON, PageRoutes
from .private.http_door import HttpDoor
from .relay import nip05, nip11
from .relay.nip11 import RelayInfo

METRICS: Final = "/metrics"
# A browser gets a page here, and the next push may bring one for all.
NOT_KEPT: Final = (b"cache-control", b"no-store")
NOTHING: Final = b"nothing is served at this path\n"


class App:
    """Answers every HTTP request of the node; WebSockets go from the listener to the relay.

    Args:
      info: what NIP-11 says, at the moment of the call.
      git: answers git's paths.
      pages: answers who wants a page.
      metrics: answers `/metrics`; None where the operator turned them off.
      management: answers signed calls at the relay's URL; None where no key may make any.
      contributions: answers git's paths below `/prs/`; None where that is off (GRASP-06).
      metrics_elsewhere: whether `/metrics` is answered at an address of its own only.
      door: keeps strangers out of a private service; None where it is none.
    """

    def __init__(
        self,
        info: Callable[[], RelayInfo],
        git: GitEndpoint,
        pages: PageRoutes,
        metrics: Metrics | None,
        management: Management | None = None,
        *,
        metrics_elsewhere: bool = False,
        contributions: GitEndpoint | None = None,
        door: HttpDoor | None = None,
    ) -> None:
        self._info = info
        self._git = git
        self._contributions = contributions
        self._pages = pages
        self._metrics = metrics
        self._management = management
        self._door = door
        self._base = base_of(info().service)
        self._only_read = {"/", STATUS, STATUS_JSON, nip11.ICON_PATH, *self._names}
        self._metrics_here = metrics is not None and not metrics_elsewhere
        if self._metrics_here:
            self._only_read.add(METRICS)

    @property
    def _names(self) -> tuple[str, ...]:
        """NIP-05's path, which belongs to the root of a domain."""
        return () if self._base else (nip05.PATH,)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request; what no route knows, and what lies outside of the base, is 404."""
        at_root = exchange.path == METRICS
        if exchange.method == "OPTIONS":
            await exchange.respond(204)
        elif at_root or exchange.enter(self._base):
            await self._answer(exchange)
        else:
            await exchange.respond(404, NOTHING)

    async def _answer(self, exchange: Exchange) -> None:
        if self._door is not None and not await self._door.lets_in(exchange):
            return
        if exchange.path == "/" and Management.is_called(exchange):
            if self._management is None:
                await exchange.respond(404, NOTHING, more=[VARY_ACCEPT])
            else:
                await self._management.answer(exchange)
            return
        if exchange.path in self._only_read and not await exchange.is_read():
            return
        if exchange.path == "/":
            await self._introduce(exchange)
        elif exchange.path in self._names:
            await nip05.answer(exchange, self._info())
        elif exchange.path == METRICS and self._metrics_here and self._metrics:
            await exchange.respond(200, self._metrics.render(), metrics.CONTENT_TYPE)
        elif not (await self._answer_git(exchange) or await self._pages.answer(exchange)):
            await exchange.respond(404, NOTHING, more=[VARY_ACCEPT, NOT_KEPT])

    async def _answer_git(self, exchange: Exchange) -> bool:
        if await self._git.answer(exchange):
            return True
        return self._contributions is not None and await self._contributions.answer(exchange)

    async def answer_operator(self, exchange: Exchange) -> None:
        """Answer what only operators ask, at an address of its own: metrics."""
        if exchange.path != METRICS or self._metrics is None:
            await exchange.respond(404, NOTHING)
        elif await exchange.is_read():
            await exchange.respond(200, self._metrics.render(), metrics.CONTENT_TYPE)

    async def _introduce(self, exchange: Exchange) -> None:
        if nip11.wants_document(exchange.headers.get("accept", "")):
            await exchange.respond(
                200, nip11.document(self._info()), nip11.MEDIA_TYPE, [VARY_ACCEPT]
            )
        else:
            await self._pages.landing(exchange)
