"""Who waits at a domain, in round-robin order (S9)."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from .tried_urls import TriedUrls


@attrs.define(eq=False)
class DomainQueue:
    """Identifiers that wait, next one first, and those whose turn is going on."""

    _waiting: OrderedDict[str, TriedUrls] = attrs.field(factory=OrderedDict)
    _in_progress: dict[str, TriedUrls] = attrs.field(factory=dict)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._waiting or identifier in self._in_progress

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_progress)

    @property
    def waiting(self) -> int:
        """How many wait, those in progress not counted."""
        return len(self._waiting)

    def tried(self, identifier: str) -> TriedUrls | None:
        """What was tried here for the identifier; None when it is not queued."""
        known = self._waiting.get(identifier)
        return known if known is not None else self._in_progress.get(identifier)

    def enqueue(self, identifier: str, tried: TriedUrls) -> None:
        """Wait at the end; one that is here already keeps its place and learns what was tried."""
        known = self.tried(identifier)
        if known is None:
            known = self._waiting[identifier] = TriedUrls()
        known.merge(tried)

    def next_ready(self) -> str | None:
        """Begin the turn of the one that waits longest; None when none waits."""
        if not self._waiting:
            return None
        identifier, tried = self._waiting.popitem(last=False)
        self._in_progress[identifier] = tried
        return identifier

    def end_turn(self, identifier: str) -> None:
        """The turn is over: wait again, behind all others. Nothing happens once it was removed."""
        if (tried := self._in_progress.pop(identifier, None)) is not None:
            self._waiting[identifier] = tried

    def remove(self, identifier: str) -> None:
        """Leave; the others keep their order."""
        self._waiting.pop(identifier, None)
        self._in_progress.pop(identifier, None)
