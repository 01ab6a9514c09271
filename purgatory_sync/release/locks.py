"""One lock per identifier: whatever joins objects, moves refs or releases holds it (B 6.7, 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import trio


@attrs.define
class _Held:
    lock: trio.Lock = attrs.field(factory=trio.Lock)
    users: int = 0


class IdentifierLocks:
    """Locks that exist only while somebody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: dict[str, _Held] = {}

    @asynccontextmanager
    async def hold(self, *identifiers: str) -> AsyncIterator[None]:
        """Hold the locks of all these identifiers, taken in sorted order.

        Cancellation while waiting leaves none of them held.
        """
        async with AsyncExitStack() as stack:
            for identifier in sorted(set(identifiers)):
                await stack.enter_async_context(self._one(identifier))
            yield

    @asynccontextmanager
    async def _one(self, identifier: str) -> AsyncIterator[None]:
        held = self._locks.setdefault(identifier, _Held())
        held.users += 1
        try:
            async with held.lock:
                yield
        finally:
            held.users -= 1
            if not held.users:
                del self._locks[identifier]

    def in_use(self) -> Iterable[str]:
        """Identifiers whose lock is held or awaited."""
        return tuple(self._locks)
