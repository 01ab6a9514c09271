"""Commits that were pushed before their pull request's event (B 4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs

from ..records import Placeholder


@attrs.define(eq=False)
class Placeholders:
    """All placeholders, one for each key."""

    _by_key: dict[tuple[str, str, str], Placeholder] = attrs.field(factory=dict)
    _counts: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def __contains__(self, placeholder: Placeholder) -> bool:
        return self._by_key.get(placeholder.key) == placeholder

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Placeholder]:
        yield from self._by_key.values()

    def add(self, placeholder: Placeholder) -> None:
        """Keep it; an older one of that key is over: its ref was gone (policy/push.py)."""
        if placeholder.key not in self._by_key:
            self._counts[placeholder.owner, placeholder.identifier] += 1
        self._by_key[placeholder.key] = placeholder

    def clamp_timestamps(self, now: float) -> None:
        """Let none have been pushed later than `now`, Unix seconds (B 9)."""
        self._by_key = {
            key: attrs.evolve(each, at=min(each.at, now)) for key, each in self._by_key.items()
        }

    def count(self, owner: str, identifier: str) -> int:
        """How many wait in one repository."""
        return self._counts[owner, identifier]

    def remove(self, placeholder: Placeholder) -> None:
        """Forget it; nothing happens when it is gone."""
        if placeholder not in self:
            return
        del self._by_key[placeholder.key]
        repository = placeholder.owner, placeholder.identifier
        self._counts[repository] -= 1
        if not self._counts[repository]:
            del self._counts[repository]
