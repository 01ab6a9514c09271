"""Bounded memories: what is settled, and what was refused for lack of something.

Events are known by a hash over all of them, signature included: an id alone could be claimed by a
forgery, and the true event would not be looked at any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ...nostr import kinds
from ...nostr.event import Event

MAX_SETTLED = 100_000
MAX_REFUSED = 20_000
MAX_REFUSED_CHARS = 64 * 1024 * 1024
MAX_LOST_KEYS = 10_000


class Settled:
    """Events that need not be offered again; the least recently seen are forgotten."""

    def __init__(self, limit: int = MAX_SETTLED) -> None:
        self._limit = limit
        self._seen: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, event: Event) -> bool:
        name = hash(event)
        if name not in self._seen:
            return False
        self._seen.move_to_end(name)
        return True

    def add(self, event: Event) -> None:
        """Remember an event."""
        self._seen[hash(event)] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def discard(self, event: Event) -> None:
        """Let an event be offered again."""
        self._seen.pop(hash(event), None)


@attrs.frozen
class _Kept:
    event: Event
    keys: tuple[str, ...]
    size: int


class Refused:
    """Refused events under the keys of what they lack (policy/lacking.py), oldest out first.

    Args:
      limit: how many events.
      max_chars: how many characters they may have in all.
    """

    def __init__(self, limit: int = MAX_REFUSED, max_chars: int = MAX_REFUSED_CHARS) -> None:
        self._limit = limit
        self._max_chars = max_chars
        self._chars = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._by_key: dict[str, dict[str, None]] = {}
        self._lost: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, event: Event, keys: tuple[str, ...]) -> list[Event]:
        """Keep an event; returns those that had to go for it."""
        self._remove(event.id)
        size = _size(event)
        self._kept[event.id] = _Kept(event, keys, size)
        self._chars += size
        for key in keys:
            self._by_key.setdefault(key, {})[event.id] = None
        gone = []
        while len(self._kept) > self._limit or self._chars > self._max_chars:
            kept = self._remove(next(iter(self._kept)))
            if kept is not None:
                gone.append(kept.event)
                self._lose(kept.keys)
        return gone

    def take(self, keys: Iterable[str]) -> list[Event]:
        """The events that lack one of these, announcements first, then oldest first; they leave."""
        ids = dict.fromkeys(name for key in keys for name in self._by_key.get(key, ()))
        found = [kept.event for name in ids if (kept := self._remove(name)) is not None]
        return sorted(found, key=lambda event: (event.kind != kinds.ANNOUNCEMENT, event.order))

    def take_lost(self, keys: Iterable[str]) -> list[str]:
        """Those of the keys under which something had to go; they are forgotten."""
        found = [key for key in keys if key in self._lost]
        for key in found:
            del self._lost[key]
        return found

    def _remove(self, event_id: str) -> _Kept | None:
        kept = self._kept.pop(event_id, None)
        if kept is None:
            return None
        self._chars -= kept.size
        for key in kept.keys:
            names = self._by_key[key]
            names.pop(event_id, None)
            if not names:
                del self._by_key[key]
        return kept

    def _lose(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._lost[key] = None
            if len(self._lost) > MAX_LOST_KEYS:
                self._lost.popitem(last=False)


def _size(event: Event) -> int:
    return 500 + len(event.content) + sum(60 + len(value) for tag in event.tags for value in tag)
