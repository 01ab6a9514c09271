"""What stands at the port from the first moment on: before the engine is open, and after."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from .http.exchange import Exchange
from .http.websocket import Socket
from .operator.health import NodeHealth
from .routes import App

START_PATIENCE_SECS: Final = 10.0
"""How long a request waits for a node that starts; most starts are over by then."""


class Front:
    """Answers health at any time, the rest once there is an app to answer it."""

    def __init__(self, health: NodeHealth) -> None:
        self._health = health
        self._open = trio.Event()
        self._app: App | None = None
        self._relay: Callable[[Socket], Awaitable[None]] | None = None

    def open(self, app: App, relay: Callable[[Socket], Awaitable[None]]) -> None:
        """The node serves: requests by `app`, WebSockets by `relay`."""
        self._app, self._relay = app, relay
        self._open.set()

    async def is_open(self) -> bool:
        """Whether the node serves, or does so within START_PATIENCE_SECS."""
        if not self._open.is_set():
            with trio.move_on_after(START_PATIENCE_SECS):
                await self._open.wait()
        return self._open.is_set()

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request of the service's port."""
        if app := await self._ready_app(exchange):
            await app.answer(exchange)

    async def answer_operator(self, exchange: Exchange) -> None:
        """Answer one request of NGIT_METRICS_BIND_ADDRESS: health and metrics only."""
        if app := await self._ready_app(exchange):
            await app.answer_operator(exchange)

    async def serve(self, socket: Socket) -> None:
        """Talk to a client of the relay; only while `is_open`."""
        if self._relay is not None:
            await self._relay(socket)

    async def _ready_app(self, exchange: Exchange) -> App | None:
        """Who answers the request; None when it was answered here."""
        if await self._health.answer(exchange):
            return None
        if not await self.is_open():
            await self._health.answer_early(exchange)
        return self._app
