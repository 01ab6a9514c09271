"""Sources that are left alone for 12 hours (B 8.7); pure in `now`, Unix seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import attrs

from ...errors import InvalidUrl, NaughtyScope
from ...records import NaughtyRecord
from ...runtime.bounded import Bounded
from ...urls import parse_web_url

MAX_ENTRIES = 65_536

Key = tuple[NaughtyScope, str]


@lru_cache(maxsize=16_384)
def _keys(url: str) -> tuple[Key, ...]:
    try:
        parsed = parse_web_url(url)
    except InvalidUrl:
        return ()
    return (
        (NaughtyScope.URL, parsed.text),
        (NaughtyScope.ENDPOINT, f"{parsed.host}:{parsed.port}"),
        (NaughtyScope.HOST, parsed.host),
    )


@attrs.define(eq=False)
class NaughtyList:
    """What is on the list, oldest first; at most 65,536 entries, the oldest make room.

    Attributes:
      duration_secs: how long an entry lasts.
      on_add: called with each new entry, so that a restart knows it.
      on_forget: called with scope and key of each entry that leaves before or at its time.
    """

    duration_secs: float
    on_add: Callable[[NaughtyRecord], None] = attrs.field(default=lambda entry: None)
    on_forget: Callable[[NaughtyScope, str], None] = attrs.field(default=lambda scope, key: None)
    _entries: Bounded[Key, NaughtyRecord] = attrs.field(factory=lambda: Bounded(MAX_ENTRIES))

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> tuple[NaughtyRecord, ...]:
        """All entries, for the operator."""
        return tuple(self._entries.values())

    def why(self, url: str, now: float) -> NaughtyRecord | None:
        """The entry because of which the URL is left alone; None when it may be asked."""
        if not len(self._entries):
            return None
        for key in _keys(url):
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now < entry.until:
                return entry
            self._forget(key)
        return None

    def is_naughty(self, url: str, now: float) -> bool:
        """Whether the URL, its endpoint or its host is on the list."""
        return self.why(url, now) is not None

    def add(self, url: str, scope: NaughtyScope, reason: str, now: float) -> None:
        """Leave the URL, or its endpoint or host, alone from now on; NONE adds nothing."""
        for key in _keys(url):
            if key[0] is scope:
                entry = NaughtyRecord(scope, key[1], now + self.duration_secs, reason)
                for gone, _ in self._entries.put(key, entry):
                    self.on_forget(*gone)
                self.on_add(entry)

    def forgive(self, url: str) -> None:
        """A success there, or a fetch by hand: URL, endpoint and host are clean again."""
        if len(self._entries):
            for key in _keys(url):
                self._forget(key)

    def forgive_url(self, url: str) -> None:
        """A new announcement names the URL: it may be asked again, unless its host may not."""
        if len(self._entries):
            for key in _keys(url):
                if key[0] is NaughtyScope.URL:
                    self._forget(key)

    def prune(self, now: float) -> None:
        """Drop what is over; nothing lasts longer than a new one: the clock may be set back."""
        for key, entry in tuple(self._entries.items()):
            if now >= entry.until:
                self._forget(key)
            elif entry.until > now + self.duration_secs:
                self._entries.replace(key, attrs.evolve(entry, until=now + self.duration_secs))

    def restore(self, entries: Iterable[NaughtyRecord], now: float) -> None:
        """Take over the entries of an earlier run, without writing them again."""
        for entry in entries:
            if now < entry.until:
                self._entries.put((entry.scope, entry.key), entry)
        self.prune(now)

    def _forget(self, key: Key) -> None:
        if self._entries.pop(key) is not None:
            self.on_forget(*key)
