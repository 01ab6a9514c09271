"""Pushes below `/prs/` over HTTP: anonymous ones, so few at once, fewer of one address (B 12.8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, cast

import attrs
import trio

from ..http.client_address import counted_as, read_address
from ..http.exchange import Exchange
from .receive_pack_http import GitPush, Pushes
from .repository_paths import GitPath

AT_ONCE_OF_ADDRESS: Final = 2


class Contributions(Pushes, Protocol):
    """Where pushes below `/prs/` go: the engine, for the node."""

    async def haves(self, npub: str, identifier: str) -> Sequence[str]:
        """Commits that clients need not send."""

    def of(self, address: str) -> Contributions:
        """The same for one client address."""


@attrs.define
class _Place:
    limiter: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(AT_ONCE_OF_ADDRESS)
    )
    users: int = 0


@attrs.frozen
class AddressPlaces:
    """Places of each client address; an address without a push is forgotten."""

    _of: dict[str, _Place] = attrs.field(factory=dict)

    @asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[None]:
        """Wait for a place and keep it for the block."""
        place = self._of.setdefault(address, _Place())
        place.users += 1
        try:
            async with place.limiter:
                yield
        finally:
            place.users -= 1
            if not place.users:
                del self._of[address]


@attrs.frozen
class PrsPush(GitPush):
    """The routes of pushes below `/prs/`.

    Attributes:
      address: the client's, as limits count it; empty before one is known.
    """

    by_address: AddressPlaces = attrs.field(factory=AddressPlaces)
    address: str = ""

    @property
    def _contributions(self) -> Contributions:
        return cast(Contributions, self.pushes)

    async def haves(self, path: GitPath) -> Sequence[str]:
        """Heads of served repositories of the identifier."""
        return await self._contributions.haves(path.npub, path.identifiers[0])

    async def receive(self, exchange: Exchange, path: GitPath) -> None:
        """Answer a POST of git-receive-pack, for the budget of its client's address."""
        parsed = read_address(exchange.peer)
        address = exchange.peer if parsed is None else counted_as(parsed)
        one = attrs.evolve(self, pushes=self._contributions.of(address), address=address)
        await GitPush.receive(one, exchange, path)

    @asynccontextmanager
    async def _turn(self, npub: str, identifier: str) -> AsyncIterator[None]:
        # The address's place first: who waits for his own holds none of all.
        async with self.by_address.place(self.address), GitPush._turn(self, npub, identifier):
            yield
