"""What earlier attempts learnt about servers, so that nothing is asked twice; bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from ...urls import WebUrl
from .advertisement import Server

MAX_KNOWN: Final = 4096

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Recent(Generic[K, V]):
    """A mapping that forgets what was not used for longest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def set(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def forget(self, key: K) -> None:
        self._items.pop(key, None)

    def __len__(self) -> int:
        return len(self._items)


class KnownServers:
    """Per scheme, host and port the protocol; per URL the place that it was redirected to.

    A mistake costs one request: an answer that does not fit makes the attempt learn anew.
    """

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._servers: _Recent[tuple[str, str, int], Server] = _Recent(limit)
        self._places: _Recent[str, WebUrl] = _Recent(limit)

    def __len__(self) -> int:
        return len(self._servers) + len(self._places)

    def server(self, base: WebUrl) -> Server | None:
        """How the server of a repository is spoken to; None when it is not known."""
        return self._servers.get((base.scheme, *base.endpoint))

    def note_server(self, base: WebUrl, server: Server) -> None:
        """Remember how a server is spoken to."""
        self._servers.set((base.scheme, *base.endpoint), server)

    def place(self, url: WebUrl) -> WebUrl:
        """Where a repository is asked for: the URL itself, or where it was redirected to."""
        return self._places.get(url.text) or url

    def note_place(self, url: WebUrl, base: WebUrl) -> None:
        """Remember a redirect that stays on its host.

        Others are learnt anew each time, for each attempt takes its place at the other domain.
        """
        if base.host == url.host and base != url:
            self._places.set(url.text, base)
        else:
            self._places.forget(url.text)
