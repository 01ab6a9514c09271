"""The keys that each key lets in, directly or through others; whole groups at once (B 3.7).

A set of keys is an integer, one bit a key. To take a group over costs one step, however large it
is, and each group is worked out once: those who let in one another have the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import or_

import attrs


@attrs.define(eq=False)
class Group:
    """A set of keys that is complete: no further key is let in.

    Attributes:
      members, named, naming: who is inside, whom they name, and who names them, one bit a key.
    """

    members: int
    named: int
    naming: int

    @property
    def coming(self) -> int:
        """Who is let in: named by one inside, and naming one inside."""
        return self.named & self.naming & ~self.members

    def take(self, other: Group) -> None:
        """Let in all of another group."""
        self.members |= other.members
        self.named |= other.named
        self.naming |= other.naming


@attrs.define
class _Open:
    """A group that is being worked out; `equal`: the keys that have this very group, as bits."""

    equal: int
    group: Group


class Component:
    """Keys that names connect, in any direction; no other key can be in their groups.

    Args:
      keys: all of them.
      names: by key, whom it names that is one of them.
    """

    def __init__(self, keys: Sequence[str], names: Mapping[str, Sequence[str]]) -> None:
        self.keys = tuple(keys)
        self.numbers = {key: at for at, key in enumerate(self.keys)}
        self._named = [0] * len(self.keys)
        self._naming = [0] * len(self.keys)
        for at, key in enumerate(self.keys):
            for name in names[key]:
                self._named[at] |= 1 << self.numbers[name]
                self._naming[self.numbers[name]] |= 1 << at
        self._groups: dict[int, Group] = {}
        self._members: dict[Group, frozenset[str]] = {}

    def group(self, key: str) -> Group:
        """The smallest group that holds the key."""
        number = self.numbers[key]
        if number not in self._groups:
            self._close(number)
        return self._groups[number]

    def members(self, group: Group) -> frozenset[str]:
        """The keys of a group."""
        if group not in self._members:
            self._members[group] = self.keys_of(group.members)
        return self._members[group]

    def keys_of(self, bits: int) -> frozenset[str]:
        """The keys of a set."""
        return frozenset(self.keys[at] for at in _bits(bits))

    def firsts(self, ranked: Sequence[str], groups: Iterable[Group]) -> dict[Group, str]:
        """By group, the first of these keys that it holds; each is found by halving.

        Args:
          ranked: keys of this component.
        """
        upto = list(accumulate((1 << self.numbers[key] for key in ranked), or_))
        found: dict[Group, str] = {}
        for group in groups:
            at = bisect_left(upto, True, key=lambda bits: bool(bits & group.members))
            if at < len(ranked):
                found[group] = ranked[at]
        return found

    def mask(self, keys: Iterable[str]) -> int:
        """Those of the keys that belong here, as bits."""
        found = 0
        for key in keys:
            if (number := self.numbers.get(key)) is not None:
                found |= 1 << number
        return found

    def _close(self, start: int) -> None:
        """Work out a key's group, and before it the groups that it takes in (as Tarjan does).

        Who is let in by the group of one that waits for it, and lets that one in, has the same.
        """
        opened = [self._alone(start)]
        begun = {start}
        while opened:
            top = opened[-1]
            if not (coming := top.group.coming):
                self._groups.update(dict.fromkeys(_bits(top.equal), top.group))
                opened.pop()
                continue
            number = _lowest(coming)
            if (group := self._groups.get(number)) is not None:
                top.group.take(group)
            elif number in begun:
                while not opened[-1].equal >> number & 1:
                    inner = opened.pop()
                    opened[-1].equal |= inner.equal
                    opened[-1].group.take(inner.group)
            else:
                opened.append(self._alone(number))
                begun.add(number)

    def _alone(self, number: int) -> _Open:
        bit = 1 << number
        return _Open(bit, Group(bit, self._named[number], self._naming[number]))


def components(names: Mapping[str, Sequence[str]]) -> dict[str, Component]:
    """By key, the component that it belongs to.

    Args:
      names: by key, the keys that it names; each named key is a key of it too, and may name none.
    """
    beside: dict[str, list[str]] = {key: [] for key in names}
    for key, named in names.items():
        for name in named:
            beside[key].append(name)
            beside[name].append(key)
    found: dict[str, Component] = {}
    for start in names:
        if start not in found:
            keys = _connected(start, beside)
            found.update(dict.fromkeys(keys, Component(keys, names)))
    return found


def _connected(start: str, beside: Mapping[str, Sequence[str]]) -> list[str]:
    met, todo = {start: None}, [start]
    while todo:
        for key in beside[todo.pop()]:
            if key not in met:
                met[key] = None
                todo.append(key)
    return list(met)


def _bits(number: int) -> Iterator[int]:
    """The places of the bits that are set, lowest first."""
    digits = bin(number)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)


def _lowest(number: int) -> int:
    return (number & -number).bit_length() - 1
