"""Which values one relay tells us of at once, and which it is asked for now and then (B 10.5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest

import attrs

from ....nostr.filters import Filter
from .filters_wanted import FilterBatch, Values
from .relay_limits import RelayLimits, shape_of


@attrs.frozen
class Piece:
    """What one live subscription asks for."""

    name: str
    filters: tuple[Filter, ...]
    values: int


@attrs.define(eq=False)
class LivePlan:
    """The values of one kind in batches of which only the last one grows.

    Attributes:
      wanted: up to which number values are to be in it.
      end: up to which number they are.
    """

    values: Values
    wanted: int = 0
    end: int = 0
    _done: list[FilterBatch] = attrs.field(factory=list)
    _cut_for: tuple[int, int] = (0, 0)

    def grow(self, limits: RelayLimits) -> None:
        """Take what is wanted, in batches that the relay takes."""
        end = self.wanted
        most = min(limits.form(letter).values for letter in self.values.letters)
        if self._cut_for != (most, limits.chars):
            self._done, self.end, self._cut_for = [], 0, (most, limits.chars)
        if end == self.end and self._done:
            return
        start = self._done.pop().start if self._done else 0
        self._done += self.values.batches(start, end, most, limits.chars)
        self.end = end

    def newest_first(self, limits: RelayLimits) -> Iterator[Piece]:
        """What may be subscribed to, the newest values first."""
        for number in range(len(self._done) - 1, -1, -1):
            batch = self._done[number]
            name = f"{self.values.letters}{number}"
            count = len(next(iter(batch.filters[0].tags.values())))
            filters = tuple(
                each
                for condition in batch.filters
                for each in limits.form(shape_of(condition)).fit(condition)
                if limits.form(shape_of(condition)).refused_until is None
            )
            if limits.filters >= len(filters):
                if filters:
                    yield Piece(name, filters, count)
                continue
            for each in filters:
                yield Piece(f"{name}{shape_of(each)}", (each,), count)


def newest_of_all(plans: tuple[LivePlan, ...], limits: RelayLimits) -> Iterator[Piece]:
    """The pieces of all plans in turn, each plan's newest first."""
    in_turn = zip_longest(*(plan.newest_first(limits) for plan in plans))
    return (piece for piece in chain.from_iterable(in_turn) if piece is not None)
