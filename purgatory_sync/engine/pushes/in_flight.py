"""What pushes are being received for, so that nothing of it ends meanwhile (B 6.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import attrs

from ...nostr.address import RepositoryId


@attrs.frozen
class Waiting:
    """A push that waits for its turn: what it relies on is not read yet."""

    target: RepositoryId


@attrs.frozen
class BelowPrs:
    """A push to a repository below `/prs/`."""

    target: RepositoryId


Key: TypeAlias = RepositoryId | Waiting | BelowPrs | str


@attrs.frozen
class PushesInFlight:
    """The repositories that pushes are received for, and the ids of events that they rely on."""

    _counts: Counter[Key] = attrs.field(factory=Counter)

    def __contains__(self, key: Key) -> bool:
        return key in self._counts

    @contextmanager
    def holding(self, keys: Iterable[Key]) -> Iterator[None]:
        """Keep these in hand until the block ends, however it ends."""
        keys = tuple(keys)
        self._counts.update(keys)
        try:
            yield
        finally:
            for key in keys:
                self._counts[key] -= 1
                if not self._counts[key]:
                    del self._counts[key]

    def waiting(self, target: RepositoryId) -> AbstractContextManager[None]:
        """Within it a push waits for its turn: nothing ends that it may rely on."""
        return self.holding([target, Waiting(target)])
