"""Bounded memories: what is settled, and what was refused for lack of something (B 2.8, 10.2).

Whole events are known by a hash over all of them, signature included: an id alone could be claimed
by a forgery, and the true event would not be looked at any more. By id only those are known whose
proof was checked.

Nothing of it is on disk: with a start may come other settings, by which all is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ....nostr import kinds
from ....nostr.event import Event
from ....runtime.bounded import Bounded

MAX_SETTLED = 100_000
MAX_WHOLE = 20_000
MAX_WHOLE_CHARS = 64 * 1024 * 1024
MAX_IDS = 200_000
MAX_KEY_CHARS = 32 * 1024 * 1024
BY_ID_SECS = 7 * 86400.0


class Settled:
    """Events that need not be offered again; the least recently seen are forgotten."""

    def __init__(self, limit: int = MAX_SETTLED) -> None:
        self._seen: Bounded[int, bool] = Bounded(limit, by_use=True)

    def __contains__(self, event: Event) -> bool:
        return self._seen.get(hash(event)) is not None

    def add(self, event: Event) -> None:
        """Remember an event."""
        self._seen.put(hash(event), True)

    def discard(self, event: Event) -> None:
        """Let an event be offered again."""
        self._seen.pop(hash(event))


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
        room = room or RejectedLimits()
        self._secs = room.secs
        self._kept: Bounded[str, _Kept] = Bounded(
            room.ids, weigh=lambda kept: kept.size, most_weight=room.key_chars
        )
        self._whole: Bounded[str, Event] = Bounded(
            room.whole, weigh=_size, most_weight=room.whole_chars
        )
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
        for key in keys:
            self._by_key.setdefault(key, {})[event.id] = None
        gone = [each for _, each in self._whole.put(event.id, event)] if keys else []
        for name, kept in self._kept.put(event.id, _Kept(keys, now)):
            self._unfile(name, kept)
            if (whole := self._whole.pop(name)) is not None:
                gone.append(whole)
        return [*gone, *self._prune(now)]

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
        while (oldest := self._kept.oldest()) is not None and oldest[1].at + self._secs <= now:
            gone.append(self._remove(oldest[0]))
        return [each for each in gone if each is not None]

    def _remove(self, event_id: str) -> Event | None:
        if (kept := self._kept.pop(event_id)) is not None:
            self._unfile(event_id, kept)
        return self._whole.pop(event_id)

    def _unfile(self, event_id: str, kept: _Kept) -> None:
        for key in kept.keys:
            names = self._by_key[key]
            names.pop(event_id, None)
            if not names:
                del self._by_key[key]


def _size(event: Event) -> int:
    return 500 + len(event.content) + sum(60 + len(value) for tag in event.tags for value in tag)
