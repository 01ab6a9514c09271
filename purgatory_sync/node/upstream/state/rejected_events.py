"""Bounded memories: what is settled, and what was refused for lack of something (B 2.8, 10.2).

Whole events are known by a hash over all of them, signature included: an id alone could be claimed
by a forgery, and the true event would not be looked at any more. By id only those are known whose
proof was checked.

Nothing of it is on disk: with a start may come other settings, by which all is judged anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from ....nostr import kinds
from ....nostr.event import Event

MAX_SETTLED = 100_000
MAX_WHOLE = 20_000
MAX_WHOLE_CHARS = 64 * 1024 * 1024
MAX_IDS = 200_000
MAX_KEY_CHARS = 32 * 1024 * 1024
BY_ID_SECS = 7 * 86400.0


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
class RejectedLimits:
    """How much is remembered of what was refused.

    Attributes:
      whole: events, which have `whole_chars` characters in all.
      ids: events known by id, whole ones included; their keys have `key_chars` characters in all.
      secs: how long an id is remembered.
    """

    whole: int = MAX_WHOLE
    whole_chars: int = MAX_WHOLE_CHARS
    ids: int = MAX_IDS
    key_chars: int = MAX_KEY_CHARS
    secs: float = BY_ID_SECS


@attrs.frozen
class _Kept:
    keys: tuple[str, ...]
    at: float

    @property
    def size(self) -> int:
        return 200 + sum(60 + len(key) for key in self.keys)


class Refused:
    """Refused events under the keys of what they lack (policy/rules/lacking.py), oldest out first.

    They are kept whole while there is room (at 160 a second for two minutes, else for longer), and
    by id for seven days; all times are Trio's.
    """

    def __init__(self, room: RejectedLimits | None = None) -> None:
        self._room = room or RejectedLimits()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._key_chars = 0
        self._whole: OrderedDict[str, Event] = OrderedDict()
        self._whole_chars = 0
        self._by_key: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def knows(self, event_id: str, now: float) -> bool:
        """Whether an event was refused, and nothing came that it lacked."""
        self._prune(now)
        return event_id in self._kept

    def add(self, event: Event, keys: tuple[str, ...], now: float) -> list[Event]:
        """Keep an event; returns those that are known by id only from now on.

        One that lacks nothing is never judged again, and so is known by id at once.
        """
        self._remove(event.id)
        kept = self._kept[event.id] = _Kept(keys, now)
        self._key_chars += kept.size
        for key in keys:
            self._by_key.setdefault(key, {})[event.id] = None
        if keys:
            self._whole[event.id] = event
            self._whole_chars += _size(event)
        gone = []
        while len(self._whole) > self._room.whole or self._whole_chars > self._room.whole_chars:
            gone.append(self._strip(next(iter(self._whole))))
        while len(self._kept) > self._room.ids or self._key_chars > self._room.key_chars:
            gone.append(self._remove(next(iter(self._kept))))
        return [each for each in (*gone, *self._prune(now)) if each is not None]

    def take(self, keys: Iterable[str], now: float) -> tuple[list[Event], list[str]]:
        """What lacks one of these; it leaves.

        Returns the whole events, announcements first, then oldest first; and the ids of the rest.
        """
        self._prune(now)
        ids = dict.fromkeys(name for key in keys for name in self._by_key.get(key, ()))
        taken = {name: self._remove(name) for name in ids}
        whole = [event for event in taken.values() if event is not None]
        whole.sort(key=lambda event: (event.kind != kinds.ANNOUNCEMENT, event.order))
        return whole, [name for name, event in taken.items() if event is None]

    def _prune(self, now: float) -> list[Event]:
        gone = []
        while self._kept and next(iter(self._kept.values())).at + self._room.secs <= now:
            gone.append(self._remove(next(iter(self._kept))))
        return [each for each in gone if each is not None]

    def _strip(self, event_id: str) -> Event | None:
        event = self._whole.pop(event_id, None)
        if event is not None:
            self._whole_chars -= _size(event)
        return event

    def _remove(self, event_id: str) -> Event | None:
        kept = self._kept.pop(event_id, None)
        if kept is not None:
            self._key_chars -= kept.size
            for key in kept.keys:
                names = self._by_key[key]
                names.pop(event_id, None)
                if not names:
                    del self._by_key[key]
        return self._strip(event_id)


def _size(event: Event) -> int:
    return 500 + len(event.content) + sum(60 + len(value) for tag in event.tags for value in tag)
