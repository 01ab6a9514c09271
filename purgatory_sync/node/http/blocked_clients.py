"""Clients whose addresses the operator blocked: no new connection, and an end to open ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from ...settings import Network
from .client_address import is_inside, read_address


class BlockedClients:
    """Knows which addresses are blocked, and what is open for whom (B 5.5)."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._open: dict[trio.CancelScope, str] = {}

    def block(self, networks: Sequence[Network]) -> None:
        """Block these networks and no others; what is open for clients inside them ends."""
        self._networks = tuple(networks)
        for scope, client in self._open.items():
            if self.has(client):
                scope.cancel()

    def has(self, client: str) -> bool:
        """Whether an address is blocked; what is no address is not."""
        if not self._networks:
            return False  # as most nodes have it: no address is read for nothing
        address = read_address(client)
        return address is not None and is_inside(address, self._networks)

    @contextmanager
    def watching(self, client: str) -> Iterator[trio.CancelScope]:
        """A scope that is cancelled when the client's address is blocked while the block runs."""
        with trio.CancelScope() as scope:
            self._open[scope] = client
            try:
                yield scope
            finally:
                del self._open[scope]
