"""What is kept for one client, first of all what waits to be sent to it.

It is bounded, so that a slow reader costs only itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from ..http.server_stream import PIECE_BYTES
from .memory_budget import MemoryBudget

# Stored events wait from here on; live events may fill what is above.
LOW_MESSAGES, LOW_BYTES = 64, 1 << 20
MAX_MESSAGES, MAX_BYTES = 1000, 8 << 20


class Outbox:
    """Messages in the order in which they are sent.

    Args:
      budget: all clients of the relay.

    Attributes:
      ended: why nothing more is taken; None while the client keeps up.
    """

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self.ended: str | None = None
        self._crowd = budget or MemoryBudget()
        self._end = trio.Event()
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._sending = 0
        self._room = trio.lowlevel.ParkingLot()
        self._filled = trio.lowlevel.ParkingLot()

    async def put(self, message: bytes) -> None:
        """Add a message when there is room; cancelled while it waits, nothing was added."""
        while self.ended is None and (len(self._queue) >= LOW_MESSAGES or self._bytes >= LOW_BYTES):
            await self._room.park()
        self._add(message)

    def offer(self, message: bytes) -> None:
        """Add a message at once; where there is no room, the client is too slow for this relay."""
        if len(self._queue) >= MAX_MESSAGES or self._bytes + len(message) > MAX_BYTES:
            self.end("too slow: reconnect and ask again for what is new")
        self._add(message)

    def end(self, reason: str) -> None:
        """Forget what waits and take nothing more."""
        if self.ended is None:
            self.ended = reason
            self._end.set()
            self._queue.clear()
            self._bytes = 0
            self._crowd.leave(self)
            self._room.unpark_all()
            self._filled.unpark_all()

    def finish(self, reason: str) -> None:
        """Take nothing more; what waits is sent first."""
        if self.ended is None:
            self.ended = reason
            self._end.set()
            self._crowd.leave(self)
            self._room.unpark_all()
            self._filled.unpark_all()

    def leave(self) -> None:
        """Count nothing more: the client is gone."""
        self._crowd.leave(self)

    def keep(self, count: int) -> None:
        """Count so many bytes that are kept for this client beside what waits to be sent."""
        if self.ended is None:
            self._crowd.keep(self, count)

    @contextmanager
    def keeping(self, count: int) -> Iterator[None]:
        """Count so many bytes within a block."""
        self.keep(count)
        try:
            yield
        finally:
            self.free(count)

    def free(self, count: int) -> None:
        """Count so many of them no more."""
        self._crowd.free(self, count)

    async def wait_ended(self) -> None:
        """Return when the outbox has ended."""
        await self._end.wait()

    async def take(self) -> list[bytes]:
        """What is to be sent next, together; nothing when the outbox has ended.

        It is counted until the next call: until then it is being sent, at the client's pace.
        """
        self.free(self._sending)
        self._sending = 0
        while not self._queue:
            if self.ended is not None:
                return []
            await self._filled.park()
        taken = [self._queue.popleft()]
        size = len(taken[0])
        while self._queue and size + len(self._queue[0]) <= PIECE_BYTES:
            taken.append(self._queue.popleft())
            size += len(taken[-1])
        self._bytes -= size
        self._sending = size
        if len(self._queue) < LOW_MESSAGES and self._bytes < LOW_BYTES:
            self._room.unpark_all()
        return taken

    def _add(self, message: bytes) -> None:
        if self.ended is None:
            self._queue.append(message)
            self._bytes += len(message)
            self._filled.unpark()
            self.keep(len(message))
