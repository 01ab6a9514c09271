"""Which relays are visited: few that reach many participants, strangers last; no I/O (B 15.4)."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import attrs

from ...urls import RELAY_SCHEMES, parse_web_url
from .relay_lists import Rank, neighbourhood

MAX_RELAYS: Final = 100
MAX_OF_HOST, MAX_OF_NEIGHBOURHOOD = 2, 4
COVERED_TWICE: Final = 2
WEIGHTS: Final = {Rank.LEADER: 9, Rank.ROOT: 3, Rank.REPLY: 1}
# Keys cost nothing: however many of a lower rank there are, places are left for the higher ones.
STAGES: Final = ((Rank.LEADER, 50), (Rank.ROOT, 75), (Rank.REPLY, MAX_RELAYS))


@attrs.frozen
class Named:
    """A participant, and the relays that this key has us visit.

    Attributes:
      settled: whether it was known for long enough to name a relay that no other participant names.
    """

    pubkey: str
    rank: Rank
    relays: tuple[str, ...]
    settled: bool = True


@attrs.define(eq=False)
class _Choice:
    """What is chosen so far."""

    before: Collection[str]
    chosen: dict[str, Rank] = attrs.field(factory=dict)
    covered: Counter[str] = attrs.field(factory=Counter)
    hosts: Counter[str] = attrs.field(factory=Counter)
    near: Counter[str] = attrs.field(factory=Counter)

    def has_room(self, url: str) -> bool:
        """Whether its host, and those near it, have few others."""
        host = parse_web_url(url, RELAY_SCHEMES).host
        return (
            self.hosts[host] < MAX_OF_HOST and self.near[neighbourhood(host)] < MAX_OF_NEIGHBOURHOOD
        )

    def take(self, url: str, rank: Rank) -> None:
        """Visit it."""
        host = parse_web_url(url, RELAY_SCHEMES).host
        self.chosen[url] = rank
        self.hosts[host] += 1
        self.near[neighbourhood(host)] += 1


def choose(
    people: Collection[Named], followed: Collection[str] = (), before: Collection[str] = ()
) -> dict[str, Rank]:
    """The relays to visit with the lowest rank that they were chosen for, the most useful first.

    Each step takes the relay that covers most participants who are not covered twice yet, counted
    by rank: first for owners and maintainers alone, then for authors of roots as well, then for
    all.

    Args:
      followed: relays that are followed for their announcements: they cover for free.
      before: those that were chosen before win a tie, so that the choice is steady.
    """
    choice = _Choice(frozenset(before))
    followed = frozenset(followed)
    for each in people:
        choice.covered[each.pubkey] += len(followed.intersection(each.relays))
    for lowest, most in STAGES:
        _fill([each for each in people if each.rank >= lowest], choice, most, followed, lowest)
    return choice.chosen


def naming(people: Iterable[Named]) -> dict[str, list[Named]]:
    """By relay the participants that have us visit it."""
    found: dict[str, list[Named]] = {}
    for each in people:
        for url in each.relays:
            found.setdefault(url, []).append(each)
    return found


def _fill(
    people: Collection[Named], choice: _Choice, most: int, followed: frozenset[str], lowest: Rank
) -> None:
    named = naming(people)
    open_ = {each.pubkey for each in people if choice.covered[each.pubkey] < COVERED_TWICE}
    gains = {
        url: sum(WEIGHTS[each.rank] for each in by if each.pubkey in open_)
        for url, by in named.items()
        if url not in followed and url not in choice.chosen and not _is_lone(by)
    }
    order = {url: number for number, url in enumerate(gains)}
    heap = [(-gain, url not in choice.before, order[url], url) for url, gain in gains.items()]
    heapq.heapify(heap)
    while heap and len(choice.chosen) < most:
        gain, new, number, url = heapq.heappop(heap)
        if gains[url] != -gain:
            heapq.heappush(heap, (-gains[url], new, number, url))
        elif gain == 0:
            return
        elif choice.has_room(url):
            choice.take(url, lowest)
            _cover(named[url], open_, gains, choice)


def _cover(by: Iterable[Named], open_: set[str], gains: dict[str, int], choice: _Choice) -> None:
    """Its participants are reached once more: who is twice has other relays gain nothing."""
    for each in by:
        choice.covered[each.pubkey] += 1
        if choice.covered[each.pubkey] >= COVERED_TWICE and each.pubkey in open_:
            open_.remove(each.pubkey)
            for url in each.relays:
                if url in gains:
                    gains[url] -= WEIGHTS[each.rank]


def _is_lone(by: Collection[Named]) -> bool:
    """Whether only one participant names it, who does not count enough for that (B 15.4)."""
    if len(by) != 1:
        return False
    (only,) = by
    return only.rank is Rank.REPLY and not only.settled
