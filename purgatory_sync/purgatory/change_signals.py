"""Who wants to know when something changes under an identifier (B 8.5, 8.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import trio


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
    def newcomer_due(self) -> float | None:
        """Trio's time at which newcomers of this hunt shall be asked for, or None (B 8.11)."""
        return self._newcomer_due()

    def newcomers_taken(self) -> None:
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
    """Versions by identifier, and those who wait for the next one."""

    watchers: dict[str, dict[Watch, None]] = attrs.field(factory=dict)
    _versions: dict[str, int] = attrs.field(factory=dict)
    _waiting: dict[str, trio.Event] = attrs.field(factory=dict)
    _count: int = 0

    def version(self, identifier: str) -> int:
        """A number that differs after every change; 0 while nothing is known of the identifier."""
        return self._versions.get(identifier, 0)

    def announce(self, identifiers: Iterable[str], *, known: bool = True) -> None:
        """Tell everybody that these identifiers changed.

        Args:
          known: False when nothing is held there any more, so that nothing need be remembered.
        """
        for identifier in identifiers:
            self._count += 1
            if known:
                self._versions[identifier] = self._count
            else:
                self._versions.pop(identifier, None)
            if (waiting := self._waiting.pop(identifier, None)) is not None:
                waiting.set()
            for watch in tuple(self.watchers.get(identifier, ())):
                watch.on_change()

    async def wait(self, identifier: str, seen: int) -> int:
        """Wait for the first change after the version `seen`; returns the version then."""
        if self.version(identifier) == seen:
            await self._waiting.setdefault(identifier, trio.Event()).wait()
        return self.version(identifier)
