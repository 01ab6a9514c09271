"""Reading events once, and large ones beside the loop: a state of 10,000 refs takes so long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import attrs
import trio

from ...nostr.event import Event
from ...nostr.parsed import Parsed, parse_stored
from ...runtime.blocking import blocking
from ...settings import KIB

BESIDE_LOOP_BYTES = 64 * KIB
JSON_BYTES = 3  # of each value: two quotes and a comma

T = TypeVar("T")


@attrs.frozen
class Parser:
    """Reads verified events; from 64 KiB of JSON on in a thread.

    What strangers send has a place of its own there, so that stored events, which are read while
    an identifier is locked, never wait for it. What anything here still uses is not read again: a
    held event that becomes served, a served one that a deletion names.
    """

    _offered: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    _stored: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    _in_use: WeakValueDictionary[str, Parsed] = attrs.field(factory=WeakValueDictionary)

    async def offered(self, event: Event, read: Callable[[Event], T]) -> T:
        """Do with an event that comes in what takes as long as it is large: verify, parse.

        Args:
          read: thread-safe.

        Returns and raises what `read` does.
        """
        if _is_large((event,)):
            return await blocking(self._offered, read, event)
        await trio.lowlevel.checkpoint()  # a flood of cheap refusals lets others go on, too
        return read(event)

    def share(self, parsed: Parsed) -> Parsed:
        """The event as it is in use already, or this; it is not read again while in use."""
        return self._in_use.setdefault(parsed.event.id, parsed)

    async def stored(self, events: Sequence[Event]) -> tuple[Parsed, ...]:
        """Read events that were accepted once, in their order; a malformed one is `Other`."""
        known = {e.id: parsed for e in events if (parsed := self._in_use.get(e.id)) is not None}
        unread = [event for event in events if event.id not in known]
        if _is_large(unread):
            read = await blocking(self._stored, _parse_all, unread)
        else:
            read = _parse_all(unread)
        for parsed in read:
            known[parsed.event.id] = self.share(parsed)
        return tuple(known[event.id] for event in events)


def _is_large(events: Iterable[Event]) -> bool:
    """Whether reading these would hold up the loop."""
    size = 0
    for event in events:
        size += len(event.content)
        for tag in event.tags:
            size += sum(map(len, tag)) + JSON_BYTES * len(tag)
            if size >= BESIDE_LOOP_BYTES:
                return True
    return size >= BESIDE_LOOP_BYTES


def _parse_all(events: Sequence[Event]) -> list[Parsed]:
    return [parse_stored(event) for event in events]
