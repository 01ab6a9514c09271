"""Figures of each hour of the last days, kept over a restart; pure in `now` (B 10.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
import msgspec

from ...records import ServerNote
from ...runtime.bounded import Bounded

HOUR: Final = 3600
HOURS_KEPT: Final = 14 * 24
HOURS_SHOWN: Final = 24
DOMAINS_KEPT: Final = 10
EXPIRED: Final = "expired"
_KEY: Final = "hour "


@attrs.frozen
class Hour:
    """What was counted in one hour.

    Attributes:
      at: Unix seconds of its beginning, a multiple of 3,600.
      held: events held when it was looked at last, by kind.
      counts: by the names of `HourCounters.counts`.
      domains: the slowest: how many attempts contacted them, and the seconds of all together.
    """

    at: int
    held: Mapping[str, int] = attrs.field(factory=dict)
    counts: Mapping[str, int] = attrs.field(factory=dict)
    domains: Mapping[str, tuple[int, float]] = attrs.field(factory=dict)


class Hourly:
    """Adds to the present hour what grew since the last look.

    Args:
      on_note: called with a key and what is worth remembering beyond a restart, or None where that
        is over.
    """

    def __init__(self, on_note: Callable[[str, str | None], None]) -> None:
        self._on_note = on_note
        self._hours: Bounded[int, Hour] = Bounded(HOURS_KEPT)
        self._before: Mapping[str, int] = {}

    def restore(self, notes: Iterable[ServerNote], now: float) -> list[ServerNote]:
        """Take back the hours of earlier runs; returns the other notes.

        What cannot be read, or is not of the 14 days before `now` (Unix seconds), is forgotten.
        """
        others, found = [], {}
        for note in notes:
            if not note.key.startswith(_KEY):
                others.append(note)
            elif (hour := _read(note)) is not None and _is_kept(hour.at, now):
                found[hour.at] = hour
            else:
                self._on_note(note.key, None)
        for at in sorted(found):
            self._put(found[at])
        return others

    def note(
        self,
        now: float,
        totals: Mapping[str, int],
        held: Mapping[str, int],
        expired_since: Callable[[float], int],
        spent: Mapping[str, tuple[int, float]],
    ) -> None:
        """Count what happened since the last call; to be called every minute.

        Args:
          totals: what was counted since the start.
          expired_since: how many expired at that moment or later.
          spent: by domain, attempts since the last call and their seconds.
        """
        at = int(now // HOUR) * HOUR
        before = self._hours.get(at) or Hour(at)
        grown = Counter(before.counts)
        grown.update({name: more - self._before.get(name, 0) for name, more in totals.items()})
        self._before = dict(totals)
        counts = {name: count for name, count in sorted(grown.items()) if count}
        hour = Hour(at, dict(held), counts, _slowest([before.domains, spent]))
        self._keep(_with_expired(hour, expired_since))
        if (last := self._hours.get(at - HOUR)) is not None:
            self._keep(_with_expired(last, expired_since))

    def look(self, now: float) -> tuple[Hour, ...]:
        """The hours of the last day that anything is known of, oldest first."""
        first = int(now // HOUR) * HOUR - (HOURS_SHOWN - 1) * HOUR
        return tuple(
            sorted(
                (hour for hour in self._hours.values() if first <= hour.at <= now),
                key=lambda hour: hour.at,
            )
        )

    def _keep(self, hour: Hour) -> None:
        if self._hours.get(hour.at) != hour:
            self._put(hour)
            self._on_note(f"{_KEY}{hour.at}", msgspec.json.encode(hour).decode())

    def _put(self, hour: Hour) -> None:
        for gone, _ in self._hours.put(hour.at, hour):
            self._on_note(f"{_KEY}{gone}", None)


def slowest_of(hours: Iterable[Hour]) -> dict[str, tuple[int, float]]:
    """The slowest domains of several hours: attempts and seconds of all together."""
    return _slowest([hour.domains for hour in hours])


def _slowest(several: Iterable[Mapping[str, tuple[int, float]]]) -> dict[str, tuple[int, float]]:
    sums: dict[str, tuple[int, float]] = {}
    for each in several:
        for domain, (count, secs) in each.items():
            counted, spent = sums.get(domain, (0, 0.0))
            sums[domain] = (counted + count, round(spent + secs, 3))
    ranked = sorted(sums.items(), key=lambda item: (-item[1][1] / max(item[1][0], 1), item[0]))
    return dict(ranked[:DOMAINS_KEPT])


def _with_expired(hour: Hour, expired_since: Callable[[float], int]) -> Hour:
    # What expired may be forgotten again before its hour is over.
    seen = expired_since(hour.at) - expired_since(hour.at + HOUR)
    if seen <= hour.counts.get(EXPIRED, 0):
        return hour
    return attrs.evolve(hour, counts={**hour.counts, EXPIRED: seen})


def _is_kept(at: int, now: float) -> bool:
    return at % HOUR == 0 and now - HOURS_KEPT * HOUR < at <= now


def _read(note: ServerNote) -> Hour | None:
    try:
        hour = msgspec.json.decode(note.text, type=Hour)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return hour if note.key == f"{_KEY}{hour.at}" else None
