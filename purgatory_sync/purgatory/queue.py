"""The queue of identifiers to hunt for: one entry each, due ones found without scanning all."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import trio

from .queue_entry import SyncQueueEntry


@attrs.define(eq=False)
class SyncQueue:
    """Entries by identifier, and a heap of the times at which they become due.

    A heap item whose time is no longer its entry's is dead; it is dropped when it is reached.
    """

    clock: Callable[[], float] = trio.current_time
    _entries: dict[str, SyncQueueEntry] = attrs.field(factory=dict)
    _heap: list[tuple[float, int, str]] = attrs.field(factory=list)
    _pushes: int = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def get(self, identifier: str) -> SyncQueueEntry | None:
        """The identifier's entry; None when it is not queued."""
        return self._entries.get(identifier)

    def enqueue(self, identifier: str, delay: float) -> SyncQueueEntry:
        """A new event wants the identifier hunted after `delay` seconds (S3).

        A burst is one entry that waits from its first event; backoff is cut short by it.
        """
        now = self.clock()
        entry = self._entries.get(identifier)
        if entry is None:
            entry = self._entries[identifier] = SyncQueueEntry(now + delay)
            self._push(identifier, entry)
            return entry
        before = entry.next_attempt
        entry.on_new_event(delay, now)
        if entry.next_attempt != before:
            self._push(identifier, entry)
        return entry

    def due(self, now: float) -> tuple[str, ...]:
        """The identifiers that are ready, longest due first; they stay so until leased."""
        ready: dict[str, SyncQueueEntry] = {}
        while self._heap and self._heap[0][0] <= now:
            at, _, identifier = heapq.heappop(self._heap)
            entry = self._entries.get(identifier)
            if entry is not None and entry.next_attempt == at and entry.is_ready(now):
                ready[identifier] = entry
        for identifier, entry in ready.items():
            self._push(identifier, entry)
        return tuple(ready)

    @contextmanager
    def lease(self, identifier: str, is_pending: Callable[[], bool]) -> Iterator[SyncQueueEntry]:
        """Hold an entry while its identifier is hunted.

        However the block ends, the entry is free again: removed when nothing is pending, else due
        after its backoff or for its newcomers, decided in one step (B 8.11). A lease is granted
        once; asking for a second one is a mistake.
        """
        entry = self._entries[identifier]
        if entry.in_progress:
            raise RuntimeError(f"{identifier!r} is already being hunted")
        entry.in_progress = True
        try:
            yield entry
        finally:
            entry.in_progress = False
            if is_pending():
                entry.on_sync_complete(self.clock())
                self._push(identifier, entry)
            else:
                del self._entries[identifier]

    def remove(self, identifier: str) -> None:
        """Forget an identifier; one that is being hunted leaves by itself when its lease ends."""
        entry = self._entries.get(identifier)
        if entry is not None and not entry.in_progress:
            del self._entries[identifier]

    def _push(self, identifier: str, entry: SyncQueueEntry) -> None:
        self._pushes += 1
        heapq.heappush(self._heap, (entry.next_attempt, self._pushes, identifier))
