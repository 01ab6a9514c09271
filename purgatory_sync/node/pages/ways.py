"""The way of a held event as a line: accepted, each attempt, the next try, the end."""

from __future__ import annotations

from typing import Final

import attrs

from ..operator.wording import tone
from .public import PublicEvent

ACCEPTED: Final = "start"
NEXT: Final = "next"
END: Final = "end"


@attrs.frozen
class Point:
    """A point of the line.

    Attributes:
      shape: `start`, `good`, `wait`, `bad`, `next` or `end`.
      x: hundredths of the line, in digits.
    """

    shape: str
    x: str


@attrs.frozen
class Way:
    """The line from the acceptance of a held event to its end, or to now where that is later.

    Attributes:
      now: hundredths of the line that lie behind us.
      marks: in the order of their times, where several lie upon each other the latest on top.
    """

    now: str
    marks: tuple[Point, ...]


def way_of(event: PublicEvent, now: float) -> Way:
    """The line of an event; `now` in Unix seconds."""
    moments = [
        (ACCEPTED, event.held_since),
        *((tone(each.result), each.at) for each in event.attempts),
        *([(NEXT, event.next_try)] if event.next_try is not None and not event.hunting else []),
        (END, event.until),
    ]
    start = event.held_since
    end = max(now, *(at for _, at in moments))
    whole = (end - start) or 1

    def place(at: float) -> str:
        # The clock may have been set back since.
        return f"{min(max(100 * (at - start) / whole, 0), 100):.3g}"

    return Way(place(now), tuple(Point(shape, place(at)) for shape, at in moments))
