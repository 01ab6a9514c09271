"""Commits that were pushed below `/prs/` before their pull request's event (B 12.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

import attrs

from ..nostr.address import RepositoryId
from ..records import Upload

_Key = tuple[str, str, str]
_Group = TypeVar("_Group", bound=Hashable)


@attrs.define(eq=False)
class Uploads:
    """All of them, and what they take of the disk: in all, by address, by repository.

    Attributes:
      size: bytes of all.
      changes: another number after each change.
    """

    size: int = 0
    changes: int = 0
    _by_key: dict[_Key, Upload] = attrs.field(factory=dict)
    _of_event: dict[str, dict[_Key, None]] = attrs.field(factory=dict)
    _of_repository: dict[tuple[str, str], dict[_Key, None]] = attrs.field(factory=dict)
    _of_address: Counter[str] = attrs.field(factory=Counter)

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Upload]:
        yield from tuple(self._by_key.values())

    def __contains__(self, upload: Upload) -> bool:
        return self._by_key.get(upload.key) == upload

    def add(self, upload: Upload) -> None:
        """Keep it; an older one of that key is over."""
        if (older := self._by_key.get(upload.key)) is not None:
            self.remove(older)
        self.changes += 1
        self._by_key[upload.key] = upload
        self._of_event.setdefault(upload.event_id, {})[upload.key] = None
        self._of_repository.setdefault(upload.key[:2], {})[upload.key] = None
        self._of_address[upload.address] += upload.size
        self.size += upload.size

    def remove(self, upload: Upload) -> None:
        """Forget it; nothing happens when it is gone."""
        if upload not in self:
            return
        self.changes += 1
        del self._by_key[upload.key]
        _drop(self._of_event, upload.event_id, upload.key)
        _drop(self._of_repository, upload.key[:2], upload.key)
        self.size -= upload.size
        self._of_address[upload.address] -= upload.size
        if not self._of_address[upload.address]:
            del self._of_address[upload.address]

    def of_event(self, event_id: str) -> list[Upload]:
        """Those that wait for an event, below every path."""
        return [self._by_key[key] for key in self._of_event.get(event_id, ())]

    def of_repository(self, repository: RepositoryId) -> list[Upload]:
        """Those that wait below one path."""
        found = self._of_repository.get((repository.owner, repository.identifier), ())
        return [self._by_key[key] for key in found]

    def size_of_address(self, address: str) -> int:
        """Bytes that one client address pushed and no event names yet."""
        return self._of_address[address]

    def clamp_timestamps(self, now: float) -> None:
        """Let none have been pushed later than `now`, Unix seconds (B 9)."""
        for key, each in self._by_key.items():
            self._by_key[key] = attrs.evolve(each, at=min(each.at, now))


def _drop(groups: dict[_Group, dict[_Key, None]], group: _Group, key: _Key) -> None:
    having = groups[group]
    del having[key]
    if not having:
        del groups[group]
