"""A request to vanish waits for what its author offers at that moment, and keeps the rest waiting.

Else an event that was judged before the request, and stored after it, would stay for ever (B 5.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import attrs
import trio


@attrs.define(eq=False)
class AuthorGate:
    """Offers of one author go side by side; a request to vanish goes alone.

    It is passed before any lock is taken: no task waits here with a lock in hand.
    """

    _inside: Counter[str] = attrs.field(factory=Counter)
    _alone: Counter[str] = attrs.field(factory=Counter)
    _changed: trio.Event = attrs.field(factory=trio.Event)

    @asynccontextmanager
    async def beside_others(self, authors: Collection[str]) -> AsyncIterator[None]:
        """Go in while none of these keys vanishes."""
        while any(self._alone[author] for author in authors):
            await self._changed.wait()
        self._inside.update(authors)
        try:
            yield
        finally:
            self._leave(self._inside, authors)

    @asynccontextmanager
    async def alone(self, author: str) -> AsyncIterator[None]:
        """Go in when no other offer is inside with this key, and keep others out meanwhile."""
        while self._alone[author]:
            await self._changed.wait()
        self._alone[author] += 1
        try:
            while self._inside[author]:
                await self._changed.wait()
            yield
        finally:
            self._leave(self._alone, (author,))

    def _leave(self, counter: Counter[str], authors: Collection[str]) -> None:
        counter.subtract(authors)
        for author in authors:
            if not counter[author]:
                del counter[author]
        self._changed.set()
        self._changed = trio.Event()
