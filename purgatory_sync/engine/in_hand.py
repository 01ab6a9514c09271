"""What pushes are being received for, so that nothing of it ends meanwhile (B 6.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs


@attrs.frozen
class Target:
    """The repository that a push is for.

    Attributes:
      owner: the author of its announcement, in hex.
    """

    owner: str
    identifier: str


@attrs.frozen
class PushesInHand:
    """The repositories that pushes are received for, and the ids of events that they rely on."""

    _counts: Counter[Target | str] = attrs.field(factory=Counter)

    def __contains__(self, key: Target | str) -> bool:
        return key in self._counts

    @contextmanager
    def holding(self, keys: Iterable[Target | str]) -> Iterator[None]:
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
