"""Who may want an event: subscriptions filed under what their filters ask for.

A hundred clients with a handful of subscriptions each are thousands of filters, and almost none of
them wants the event that has just come.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from ...nostr.event import Event
from ...nostr.filters import Filter

# Beyond, a client is asked about every event: what it names must not fill memory twice.
MAX_KEYS: Final = 500
_MANY: Final = 1_000_000
_MOST: Final = 2_000_000

_Key = tuple[str, str | int]
_ANY: Final[_Key] = ("any", "")
_Who = TypeVar("_Who", bound=Hashable)


class Interests(Generic[_Who]):
    """Finds candidates; whether they want the event is for their filters to say."""

    def __init__(self) -> None:
        self._keys: dict[_Who, tuple[_Key, ...]] = {}
        self._filed: dict[_Key, dict[_Who, None]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, who: _Who, filters: Sequence[Filter]) -> None:
        """File a subscriber under the rarest condition of each of its filters."""
        self.remove(who)
        keys = dict.fromkeys(key for each in filters for key in _rarest(each))
        self._keys[who] = tuple(keys) if len(keys) <= MAX_KEYS else (_ANY,)
        for key in self._keys[who]:
            self._filed.setdefault(key, {})[who] = None

    def remove(self, who: _Who) -> None:
        """Forget a subscriber; an unknown one is no error."""
        for key in self._keys.pop(who, ()):
            filed = self._filed[key]
            del filed[who]
            if not filed:
                del self._filed[key]

    def __contains__(self, who: _Who) -> bool:
        return who in self._keys

    def candidates(self, event: Event) -> list[_Who]:
        """All subscribers that may want an event, each once; none that wants it is missing."""
        found = (self._filed.get(key, ()) for key in _keys_of(event))
        return list(dict.fromkeys(who for filed in found for who in filed))


def _keys_of(event: Event) -> Iterator[_Key]:
    yield _ANY
    yield "ids", event.id
    yield "authors", event.pubkey
    yield "kinds", event.kind
    yield from {(tag[0], tag[1]) for tag in event.tags if len(tag) > 1 and len(tag[0]) == 1}


def _rarest(wanted: Filter) -> list[_Key]:
    """Keys of which every event that the filter matches has one."""
    # Of an author there are more events than with any value of a tag; of a kind most of all.
    conditions: list[tuple[int, str, Iterable[str | int]]] = [
        (len(values), letter, values) for letter, values in wanted.tags.items()
    ]
    if wanted.ids is not None:
        conditions.append((0, "ids", wanted.ids))
    if wanted.authors is not None:
        conditions.append((_MANY, "authors", wanted.authors))
    if wanted.kinds is not None:
        conditions.append((_MOST, "kinds", wanted.kinds))
    if not conditions:
        return [_ANY]
    _, name, values = min(conditions, key=lambda each: each[0])
    return [(name, value) for value in values]
