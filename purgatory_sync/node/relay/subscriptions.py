"""Who hears of an event that is served from now on: each subscription once."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ...nostr.event import Event, encode_event
from ...nostr.filters import Filter, tags_of
from . import client_messages
from .memory_budget import MemoryBudget
from .outbox import MAX_BYTES, Outbox
from .subscription_index import Interests

MAX_PENDING, MAX_PENDING_BYTES = 1000, MAX_BYTES
# An event is saved a moment before it is told: for so long a query may have yielded it already.
REMEMBER_SECS = 10.0
# What an id takes that is remembered.
ID_BYTES = 200


class Subscription:
    """One subscription of one client: first what is stored, then what is new.

    Args:
      size: about how many bytes its filters take.
    """

    def __init__(self, name: str, filters: Sequence[Filter], outbox: Outbox, size: int = 0) -> None:
        self.name = name
        self.filters = filters
        self.size = size
        self._outbox = outbox
        self._message = client_messages.event_message(name)
        self._sent: set[str] = set()
        self._pending: list[tuple[str, bytes]] | None = []
        self._pending_bytes = 0
        self._kept = 0

    def keep(self, count: int) -> None:
        """Count so many bytes for its client until it is removed."""
        self._kept += count
        self._outbox.keep(count)

    def free(self, count: int) -> None:
        """Count so many of them no more."""
        count = min(count, self._kept)
        self._kept -= count
        self._outbox.free(count)

    def free_all(self) -> None:
        """It is removed: nothing of it is kept."""
        self.free(self._kept)

    async def send_stored(self, events: Sequence[Event]) -> int:
        """Send stored events at the client's pace; how many bytes they have."""
        page = [self._message(encode_event(each)) for each in events if each.id not in self._sent]
        self._sent.update(each.id for each in events)
        # As objects they take much more than as text, and the client may take its time.
        del events
        total = sum(len(message) for message in page)
        self.keep(total)
        for message in page:
            await self._outbox.put(message)
        self.free(total)
        return total

    async def end_stored(self) -> None:
        """Send EOSE, then what became new meanwhile."""
        await self._outbox.put(client_messages.end_of_stored(self.name))
        pending, self._pending = self._pending or [], None
        self.free(self._pending_bytes)
        for event_id, encoded in pending:
            self.send_new(event_id, encoded)

    def send_new(self, event_id: str, encoded: bytes) -> None:
        """Send an event that has become new, unless it was sent as a stored one."""
        if event_id in self._sent:
            return
        if self._pending is None:
            self._outbox.offer(self._message(encoded))
            return
        self._pending_bytes += len(encoded)
        self.keep(len(encoded))
        if len(self._pending) < MAX_PENDING and self._pending_bytes <= MAX_PENDING_BYTES:
            self._pending.append((event_id, encoded))
        else:
            self._outbox.end("too slow: take what is stored before more comes")

    def forget_sent(self) -> None:
        """Free the ids of what was sent as stored."""
        self.free(ID_BYTES * len(self._sent))
        self._sent.clear()


class Subscriptions:
    """All subscriptions of all clients.

    Args:
      budget: counts what they make us keep.
    """

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self.budget = budget or MemoryBudget()
        self._all = Interests[Subscription]()
        self._remembering: dict[Subscription, float] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, subscription: Subscription) -> None:
        """From now on it hears of new events; they wait until its stored ones are sent."""
        self._all.add(subscription, subscription.filters)
        subscription.keep(subscription.size)

    def remove(self, subscription: Subscription) -> None:
        """It hears nothing more, and nothing of it is kept."""
        self._all.remove(subscription)
        subscription.free_all()
        self._remembering.pop(subscription, None)

    def stored_sent(self, subscription: Subscription) -> None:
        """Its stored events are sent: their ids are remembered a little longer."""
        self._forget_old()
        if subscription in self._all:
            self._remembering[subscription] = trio.current_time() + REMEMBER_SECS

    def broadcast(self, event: Event) -> None:
        """Tell every subscription that matches; never waits for a slow client."""
        self._forget_old()
        encoded: bytes | None = None
        tags = tags_of(event)
        for subscription in self._all.candidates(event):
            if any(wanted.matches(event, tags) for wanted in subscription.filters):
                encoded = encoded or encode_event(event)
                subscription.send_new(event.id, encoded)

    def _forget_old(self) -> None:
        now = trio.current_time()
        while self._remembering:
            subscription, until = next(iter(self._remembering.items()))
            if until > now:
                break
            del self._remembering[subscription]
            subscription.forget_sent()
