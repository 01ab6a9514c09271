"""What stands at the port from the first moment on: before the engine is open, and after."""

from __future__ import annotations

from .http.exchange import Exchange
from .operator.health import NodeHealth
from .routes import App


class Front:
    """Answers health at any time, the rest once there is an app to answer it.

    Attributes:
      app: None until the node serves.
    """

    def __init__(self, health: NodeHealth) -> None:
        self._health = health
        self.app: App | None = None

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request of the service's port."""
        if await self._health.answer(exchange):
            return
        if self.app is None:
            await self._health.answer_early(exchange)
        else:
            await self.app.answer(exchange)

    async def answer_operator(self, exchange: Exchange) -> None:
        """Answer one request of NGIT_METRICS_BIND_ADDRESS: health and metrics only."""
        if await self._health.answer(exchange):
            return
        if self.app is None:
            await self._health.answer_early(exchange)
        else:
            await self.app.answer_operator(exchange)
