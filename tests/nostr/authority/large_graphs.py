"""Graphs of thousands of keys, and a way to count what they cost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

import purgatory_sync
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.roles import Roles

Numbered: TypeAlias = dict[int, list[tuple[str, ...]]]
Builder: TypeAlias = Callable[[int], Numbered]
PACKAGE = str(Path(purgatory_sync.__file__).parent)


class Counter(dict[str, Roles]):
    """What is known, with how often it was looked at, names included."""

    looks = 0

    def __getitem__(self, key: str) -> Roles:
        self.looks += 1
        return super().__getitem__(key)

    def get(self, key: str, default: object = None) -> Roles | None:  # type: ignore[override]
        self.looks += 1
        return super().get(key)


class Names(tuple[str, ...]):
    """Names that count how often they are gone through."""

    counter: Counter

    def __iter__(self) -> Iterator[str]:
        self.counter.looks += len(self)
        return super().__iter__()


def number(at: int) -> str:
    return f"{at:064x}"


def counting(tags: Mapping[int, list[tuple[str, ...]]]) -> Counter:
    """A graph of numbered keys."""
    counter = Counter()
    for at, each in tags.items():
        roles = Roles.of(Event(number(at), number(at), 1, 30617, tuple(each), "", "0"))
        names = Names(roles.named)
        names.counter = counter
        counter[number(at)] = Roles(roles.may, roles.left, names, roles.leads)
    counter.looks = 0
    return counter


def clique(size: int) -> Numbered:
    return {
        at: [("maintainers", *(number((at // 50) * 50 + other) for other in range(50)))]
        for at in range(size)
    }


def sybils(size: int) -> Numbered:
    """All of them name the first, who names one of them, and 60 others each."""
    found: Numbered = {
        at: [("maintainers", number(0), *(number((at + 7 * other) % size) for other in range(60)))]
        for at in range(1, size)
    }
    return {0: [("maintainers", number(1))], **found}


def pairs(size: int) -> Numbered:
    return {at: [("maintainers", number(at - 1), number(at + 1))] for at in range(size)}


def one_way(size: int) -> Numbered:
    return {at: [("maintainers", number(at + 1))] for at in range(size)}


def leads(size: int) -> Numbered:
    return {at: [("M", number(min(at + 1, size - 1))), ("m", number(at))] for at in range(size)}


def fan(size: int) -> Numbered:
    """64 names of one, 64 of each of these; all accept."""
    found: Numbered = {0: [("maintainers", *map(number, range(1, 65)))]}
    for at in range(1, size):
        above = 0 if at < 65 else (at - 1) // 64
        below = range(at * 64 + 1, at * 64 + 64)
        found[at] = [("maintainers", number(above), *map(number, below))]
    return found


def many_on_one(size: int) -> Numbered:
    return {0: [("M", number(0))], **{at: [("M", number(0))] for at in range(1, size)}}


def hubs(size: int) -> Numbered:
    """Every third takes in all of a chain, and no other of its kind."""
    found: Numbered = {}
    for at in range(0, size, 3):
        a, b, c = at, at + 1, at + 2
        found[a] = [("maintainers", *(number(x) for x in (a - 3, a + 3, c) if x >= 0))]
        found[b] = [("maintainers", number(a), number(c))]
        found[c] = [("maintainers", number(b))]
    return found


def absorbing(size: int) -> Numbered:
    """Pairs, each of which takes in all of a chain through an end of its own, and no other pair."""
    ends = size // 3
    found: Numbered = {}
    for at in range(ends):
        one, other = ends + 2 * at, ends + 2 * at + 1
        # The one names who names the other.
        chain = [number(beside) for beside in (at - 1, at + 1) if beside >= 0]
        found[at] = [("maintainers", *chain, number(other))]
        found[one] = [("maintainers", number(other), number(at))]
        found[other] = [("maintainers", number(one))]
    return found


def absorbing_chain(size: int) -> Numbered:
    """Pairs, each of which takes in the next one, and with it all that follow."""
    found: Numbered = {}
    for at in range(0, size, 2):
        found[at] = [("maintainers", number(at + 1), number(at + 2))]
        found[at + 1] = [("maintainers", number(at))]
        if at:
            found[at] = [("maintainers", *found[at][0][1:], number(at - 1))]
    return found


GRAPH_BUILDERS: list[Builder] = [
    clique,
    sybils,
    pairs,
    one_way,
    leads,
    fan,
    many_on_one,
    hubs,
    absorbing,
    absorbing_chain,
]


@contextmanager
def steps() -> Iterator[list[int]]:
    """Count the lines of the package that run: no clock, and the same on any machine."""
    counted, before = [0], sys.gettrace()

    def count(frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        counted[0] += event == "line"
        return count

    sys.settrace(count)
    try:
        yield counted
    finally:
        sys.settrace(before)
