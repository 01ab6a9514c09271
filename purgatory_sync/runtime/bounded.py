"""A mapping that stays within limits: the one place where memory makes room for what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from math import inf
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most so many entries, of at most so much weight; the oldest make room.

    Args:
      most: entries.
      weigh: the weight of a value, in any unit; without it values weigh nothing.
      most_weight: of all values together, in that unit.
      by_use: a value that is read becomes the newest; else its age counts from when it was put.
    """

    def __init__(
        self,
        most: float,
        *,
        weigh: Callable[[V], int] | None = None,
        most_weight: float = inf,
        by_use: bool = False,
    ) -> None:
        self._most = most
        self._weigh = weigh
        self._most_weight = most_weight
        self._by_use = by_use
        self._items: OrderedDict[K, V] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[K]:
        """The keys, oldest first."""
        return iter(self._items)

    @property
    def weight(self) -> int:
        """What all values weigh together."""
        return self._weight

    def items(self) -> Iterator[tuple[K, V]]:
        """Keys and values, oldest first."""
        return iter(self._items.items())

    def values(self) -> Iterator[V]:
        """The values, oldest first."""
        return iter(self._items.values())

    def get(self, key: K) -> V | None:
        """The value, or None."""
        if self._by_use and key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def oldest(self) -> tuple[K, V] | None:
        """The entry that goes next, or None."""
        return next(iter(self._items.items()), None)

    def put(self, key: K, value: V) -> list[tuple[K, V]]:
        """Keep a value as the newest; returns the entries that went to make room, oldest first.

        A value that alone weighs too much goes at once.
        """
        self.pop(key)
        self._items[key] = value
        if self._weigh is not None:
            self._weight += self._weigh(value)
        gone = []
        while len(self._items) > self._most or self._weight > self._most_weight:
            oldest = next(iter(self._items))
            gone.append((oldest, self._items[oldest]))
            self.pop(oldest)
        return gone

    def replace(self, key: K, value: V) -> None:
        """Give an entry another value of the same weight; its age stays."""
        self._items[key] = value

    def pop(self, key: K) -> V | None:
        """Forget an entry; returns its value, or None."""
        value = self._items.pop(key, None)
        if value is not None and self._weigh is not None:
            self._weight -= self._weigh(value)
        return value
