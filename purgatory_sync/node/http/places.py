"""Places for clients: so many connections in all, and so many for each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from ...settings import ListenerSettings
from .client_address import RawHeaders, client_address, counted_as, is_trusted, read_address

DEFAULT_PER_ADDRESS: Final = 100


class Places:
    """Counts connections, and the requests that come by way of trusted proxies (B 13.2)."""

    def __init__(self, settings: ListenerSettings) -> None:
        self._settings = settings
        self._connections = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def connection(self, peer: str) -> Iterator[bool]:
        """Keep a place while a connection from this TCP peer is open; False when there is none.

        A trusted proxy's connections count in all only: its clients have limits of their own.
        """
        with ExitStack() as places:
            free = self._connections < self._settings.max_connections
            if free and not is_trusted(peer, self._settings.trusted_proxy_cidrs):
                free = places.enter_context(self._of_address(peer))
            if free:
                self._connections += 1
                places.callback(self._leave)
            yield free

    def _leave(self) -> None:
        self._connections -= 1

    @contextmanager
    def request(self, peer: str, client: str) -> Iterator[bool]:
        """Keep a place while a request, or a WebSocket, of a client of a proxy is answered."""
        if is_trusted(peer, self._settings.trusted_proxy_cidrs):
            with self._of_address(client) as free:
                yield free
        else:
            yield True

    def is_proxy(self, peer: str) -> bool:
        """Whether a TCP peer is a trusted proxy, which has clients and is none."""
        return is_trusted(peer, self._settings.trusted_proxy_cidrs)

    def client(self, peer: str, headers: RawHeaders) -> str:
        """The address of the client that sent these headers from this TCP peer."""
        return client_address(peer, headers, self._settings.trusted_proxy_cidrs)

    @contextmanager
    def _of_address(self, text: str) -> Iterator[bool]:
        group, most = self._limit_of(text)
        if self._of[group] >= most:
            yield False
            return
        self._of[group] += 1
        try:
            yield True
        finally:
            self._of[group] -= 1
            if not self._of[group]:
                del self._of[group]

    def _limit_of(self, text: str) -> tuple[str, int]:
        """What an address is counted as, and how many places it may have.

        The machine's own have no limit, but where a proxy is trusted: then they come through it.
        """
        configured = self._settings.max_connections_per_address
        unlimited = self._settings.max_connections
        address = read_address(text)
        if address is None:
            return text, unlimited if configured is None else configured
        if configured is None:
            free = address.is_loopback and not self._settings.trusted_proxy_cidrs
            configured = unlimited if free else DEFAULT_PER_ADDRESS
        return counted_as(address), configured
