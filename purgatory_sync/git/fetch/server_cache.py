"""What earlier attempts learnt about servers, so that nothing is asked twice; bounded."""

from __future__ import annotations

import enum
from typing import Final

from ...runtime.bounded import Bounded
from ...urls import WebUrl
from .advertisement import Server
from .fruitless import FruitlessAttempts

MAX_KNOWN: Final = 4096


class Habit(enum.StrEnum):
    """What a server did when a first request was not answered within seconds.

    Members:
      IN_ORDER: it answered after it was asked for info/refs: it wants git's order.
      SLOW: nor was it quick then: its first byte takes time, always.
    """

    IN_ORDER = "in order"
    SLOW = "slow"


class KnownServers:
    """Per scheme, host and port the protocol; per URL the place that it was redirected to.

    A mistake costs one request: an answer that does not fit makes the attempt learn anew.

    Attributes:
      fruitless: what brought nothing, and is not tried again while the refs are the same.
    """

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._servers: Bounded[tuple[str, str, int], Server] = Bounded(limit, by_use=True)
        self._places: Bounded[str, WebUrl] = Bounded(limit, by_use=True)
        self._habits: Bounded[tuple[str, str, int], Habit] = Bounded(limit, by_use=True)
        self.fruitless = FruitlessAttempts(limit)

    def __len__(self) -> int:
        return len(self._servers) + len(self._places) + len(self._habits)

    def server(self, base: WebUrl) -> Server | None:
        """How the server of a repository is spoken to; None when it is not known."""
        return self._servers.get((base.scheme, *base.endpoint))

    def note_server(self, base: WebUrl, server: Server) -> None:
        """Remember how a server is spoken to."""
        self._servers.put((base.scheme, *base.endpoint), server)

    def habit(self, base: WebUrl) -> Habit | None:
        """What is known of how a repository's server takes a first request."""
        return self._habits.get((base.scheme, *base.endpoint))

    def note_habit(self, base: WebUrl, habit: Habit) -> None:
        """Remember how a server takes a first request."""
        self._habits.put((base.scheme, *base.endpoint), habit)

    def place(self, url: WebUrl) -> WebUrl:
        """Where a repository is asked for: the URL itself, or where it was redirected to."""
        return self._places.get(url.text) or url

    def note_place(self, url: WebUrl, base: WebUrl) -> None:
        """Remember a redirect that stays on its host.

        Others are learnt anew each time, for each attempt takes its place at the other domain.
        """
        if base.host == url.host and base != url:
            self._places.put(url.text, base)
        else:
            self._places.pop(url.text)
