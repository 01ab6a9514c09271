"""Who wants to know when something changes under an identifier (B 8.5, 8.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs


@attrs.define(eq=False)
class Watch:
    """A running hunt's eye on its identifier, from `open` to `close`.

    `on_change` is called in the step of the change itself and must not wait: what was added,
    removed or enqueued can be seen already.
    """

    identifier: str
    on_change: Callable[[], None]
    _changes: Changes
    _newcomer_due: Callable[[], float | None]
    _newcomers_taken: Callable[[], None]

    @property
    def newly_queued_due(self) -> float | None:
        """Trio's time at which newcomers of this hunt shall be asked for, or None (B 8.11)."""
        return self._newcomer_due()

    def newly_queued_taken(self) -> None:
        """Say that the hunt looks at everything that is missing now, due newcomers included."""
        self._newcomers_taken()

    def open(self) -> None:
        """Be told of changes from now on."""
        self._changes.watchers.setdefault(self.identifier, {})[self] = None

    def close(self) -> None:
        """Be told no more."""
        watchers = self._changes.watchers.get(self.identifier, {})
        watchers.pop(self, None)
        if not watchers:
            self._changes.watchers.pop(self.identifier, None)


@attrs.define(eq=False)
class Changes:
    """Who watches which identifier."""

    watchers: dict[str, dict[Watch, None]] = attrs.field(factory=dict)

    def announce(self, identifiers: Iterable[str]) -> None:
        """Tell all watchers of one of these identifiers that something changed."""
        for identifier in identifiers:
            for watch in tuple(self.watchers.get(identifier, ())):
                watch.on_change()
