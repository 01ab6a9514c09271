"""Attempts that brought much and nothing that was wanted: not made again while nothing changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
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
      kind, said, server_message: what became of the attempt; not the error itself, whose
        traceback would keep buffers alive.
      at: seconds of Trio's clock.
    """

    wanted: frozenset[str]
    refs: bytes
    tips: tuple[str, ...]
    kind: type[AttemptFailed]
    said: str
    server_message: str
    at: float

    @classmethod
    def of(
        cls, failure: AttemptFailed, wanted: Collection[str], refs: bytes, tips: tuple[str, ...]
    ) -> Fruitless:
        """What is remembered of a failure now."""
        kind = next((each for each in _CLASSES if isinstance(failure, each)), ObjectsRefused)
        said, words = str(failure), getattr(failure, "server_message", "")
        return cls(frozenset(wanted), refs, tips, kind, said, words, trio.current_time())

    def to_text(self) -> str:
        """What a restart needs of it, but for its time."""
        return json.dumps(
            {
                "wanted": sorted(self.wanted),
                "refs": self.refs.hex(),
                "tips": self.tips,
                "kind": self.kind.__name__,
                "said": self.said,
                "server": self.server_message,
            }
        )

    @classmethod
    def from_text(cls, text: str, at: float) -> Fruitless:
        """The inverse; `at` in seconds of Trio's clock. Raises ValueError for another text."""
        try:
            kept = json.loads(text)
            kind = {each.__name__: each for each in (*_CLASSES, ObjectsRefused)}[kept["kind"]]
            wanted, refs = frozenset(kept["wanted"]), bytes.fromhex(kept["refs"])
            tips, said = tuple(kept["tips"]), str(kept["said"])
            return cls(wanted, refs, tips, kind, said, str(kept["server"]), at)
        except (KeyError, TypeError) as error:
            raise ValueError("not what was noted of an attempt") from error

    @property
    def weight(self) -> int:
        """How many object names it keeps."""
        return len(self.wanted) + len(self.tips)

    def covers(self, wanted: Collection[str]) -> bool:
        """Whether asking for these would end alike.

        What is not there is missed by any part of the wish; a pack that was refused was refused
        for all that was in it, so that a part of the wish may be fine.
        """
        if self.kind is ObjectsRefused:
            return self.wanted.issuperset(wanted)
        return self.wanted.issubset(wanted)

    def again(self) -> AttemptFailed:
        """The failure of an attempt that need not be made: of the class that it had."""
        said = f"{self.said}; its refs are those of that attempt, so that it was not repeated"
        if self.kind is ObjectsRefused:
            return ObjectsRefused(said, self.server_message)
        return self.kind(said)


class FruitlessAttempts:
    """By URL, bounded; the oldest make room.

    Attributes:
      on_change: called with each URL and what is remembered of it from now on, or None.
    """

    def __init__(self, max_urls: int = MAX_URLS, max_oids: int = MAX_OIDS) -> None:
        self.on_change: Callable[[str, Fruitless | None], None] = lambda url, attempt: None
        self._by_url: Bounded[str, Fruitless] = Bounded(
            max_urls, weigh=lambda attempt: attempt.weight, most_weight=max_oids
        )

    def __len__(self) -> int:
        return len(self._by_url)

    def find(self, url: str, wanted: Collection[str]) -> Fruitless | None:
        """What was asked for in vain, if that was all that is wanted now."""
        found = self._by_url.get(url)
        if found is not None and trio.current_time() >= found.at + MEMORY_SECS:
            self.forget(url)
            return None
        return found if found is not None and found.covers(wanted) else None

    def note(self, url: str, attempt: Fruitless) -> None:
        """Remember an attempt; what the URL was asked for before is forgotten."""
        self.on_change(url, attempt)
        for gone, _ in self._by_url.put(url, attempt):
            self.on_change(gone, None)

    def forget(self, url: str) -> None:
        """The URL has something else now."""
        if self._by_url.pop(url) is not None:
            self.on_change(url, None)

    def restore(self, url: str, attempt: Fruitless) -> None:
        """Take back what was remembered before a restart."""
        self._by_url.put(url, attempt)
