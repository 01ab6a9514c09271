"""One lock per identifier: joining objects, moving refs and releasing need it (B 6.7, 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio


@attrs.define
class _Held:
    lock: trio.Lock = attrs.field(factory=trio.Lock)
    users: int = 0


class IdentifierLocks:
    """Locks that exist only while they are held or awaited."""

    def __init__(self) -> None:
        self._locks: dict[str, _Held] = {}

    @asynccontextmanager
    async def hold(self, *identifiers: str) -> AsyncIterator[None]:
        """Hold the locks of all these identifiers, taken in sorted order.

        Cancellation while waiting leaves none of them held.
        """
        names = sorted(set(identifiers))
        used: list[_Held] = []
        locked: list[trio.Lock] = []
        try:
            for name in names:
                used.append(self._locks.setdefault(name, _Held()))
                used[-1].users += 1
                if used[-1].users > 1:
                    await used[-1].lock.acquire()
                else:
                    used[-1].lock.acquire_nowait()  # two turns of the loop less for each
                locked.append(used[-1].lock)
            yield
        finally:
            for lock in locked:
                lock.release()
            for name, held in zip(names, used, strict=False):
                held.users -= 1
                if not held.users:
                    del self._locks[name]
