"""What a measurement takes and gives: effort, readings of the processor, lines of the table."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Literal

import attrs


@attrs.frozen
class Effort:
    """How much work a measurement does.

    Attributes:
      times: how often each thing is done; the table shows medians.
      part: the part of the full size, 1.0 for figures that count.
    """

    times: int = 15
    part: float = 1.0

    def of(self, size: int, least: int = 4) -> int:
        """A size of the full measurement, cut down to this effort."""
        return max(least, round(size * self.part))


@attrs.frozen
class Goal:
    """What a value shall be.

    Attributes:
      bound: the last value that reaches it.
      better: on which side of the bound the better values are.
    """

    bound: float
    better: Literal["less", "more"] = "less"

    def reached(self, value: float) -> bool:
        """Whether a value is on the better side; nan never is."""
        return value <= self.bound if self.better == "less" else value >= self.bound


@attrs.frozen
class Line:
    """One line of the table.

    Attributes:
      unit: of value and goal; `x` for ratios.
      detail: the figures behind the value.
    """

    what: str
    value: float
    unit: str
    goal: Goal | None = None
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None when there is none."""
        return None if self.goal is None else self.goal.reached(self.value)


@attrs.define
class Spent:
    """What a block of code took, in seconds.

    Attributes:
      own: processor time of this process, all of its threads.
      children: processor time of children that ended in the block.
      wall: time on the clock.
    """

    own: float = 0.0
    children: float = 0.0
    wall: float = 0.0

    @property
    def cpu(self) -> float:
        """Processor time of this process and its children."""
        return self.own + self.children


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure a block; the figures are there when it ends."""
    spent = Spent(-time.process_time(), -_children_secs(), -time.perf_counter())
    try:
        yield spent
    finally:
        spent.wall += time.perf_counter()
        spent.own += time.process_time()
        spent.children += _children_secs()


def _children_secs() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def middle_ms(values: Sequence[float]) -> float:
    """The median of seconds, in milliseconds."""
    return 1000 * median(values)
