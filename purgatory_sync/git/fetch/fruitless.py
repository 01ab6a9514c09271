"""Attempts that brought much and nothing that was wanted: not made again while nothing changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs
import trio

from ...errors import AttemptFailed, BadPack, ObjectsRefused, TooLarge
from ...runtime.bounded import Bounded

MEMORY_SECS: Final = 12 * 3600.0
MAX_URLS: Final = 4096
MAX_OIDS: Final = 200_000

_CLASSES: Final = (BadPack, TooLarge)


@attrs.frozen
class Fruitless:
    """What one URL was asked for in vain.

    Attributes:
      wanted: what did not come.
      refs: the digest of the refs that it showed then (`ShownRefs.digest`).
      tips: what was fetched of it all the same and kept.
      failure: what became of the attempt.
      at: seconds of Trio's clock.
    """

    wanted: frozenset[str]
    refs: bytes
    tips: tuple[str, ...]
    failure: AttemptFailed
    at: float

    def again(self) -> AttemptFailed:
        """The failure of an attempt that need not be made: of the class that it had."""
        said = f"{self.failure}; its refs are those of that attempt, so that it was not repeated"
        for kind in _CLASSES:
            if isinstance(self.failure, kind):
                return kind(said)
        return ObjectsRefused(said, getattr(self.failure, "server_message", ""))


class FruitlessAttempts:
    """By URL, bounded; the oldest make room."""

    def __init__(self, max_urls: int = MAX_URLS, max_oids: int = MAX_OIDS) -> None:
        self._by_url: Bounded[str, Fruitless] = Bounded(
            max_urls, weigh=lambda attempt: len(attempt.wanted), most_weight=max_oids
        )

    def __len__(self) -> int:
        return len(self._by_url)

    def find(self, url: str, wanted: Collection[str]) -> Fruitless | None:
        """What was asked for in vain, if that was all that is wanted now."""
        found = self._by_url.get(url)
        if found is None or trio.current_time() >= found.at + MEMORY_SECS:
            return None
        return found if found.wanted.issuperset(wanted) else None

    def note(self, url: str, attempt: Fruitless) -> None:
        """Remember an attempt; what the URL was asked for before is forgotten."""
        self._by_url.put(url, attempt)

    def forget(self, url: str) -> None:
        """The URL has something else now."""
        self._by_url.pop(url)
