"""Who in the node hears what becomes of events."""

from __future__ import annotations

from typing import Protocol

import attrs

from ..nostr.event import Event


class EventListener(Protocol):
    """Hears what becomes of events from the moment on at which it is added."""

    def held(self, event: Event) -> None:
        """An event began to wait for its git data."""

    def served(self, event: Event) -> None:
        """An event became served."""

    def gone(self, event_ids: frozenset[str]) -> None:
        """Events are neither held nor served any more."""


@attrs.frozen
class EventListeners:
    """The engine's listeners, before the parts that listen exist."""

    _all: list[EventListener] = attrs.field(factory=list)

    def add(self, listener: EventListener) -> None:
        """Tell this one, too; what happened before is in the store and in purgatory."""
        self._all.append(listener)

    def held(self, event: Event) -> None:
        """Tell all."""
        for each in self._all:
            each.held(event)

    def served(self, event: Event) -> None:
        """Tell all."""
        for each in self._all:
            each.served(event)

    def gone(self, event_ids: frozenset[str]) -> None:
        """Tell all."""
        for each in self._all:
            each.gone(event_ids)
