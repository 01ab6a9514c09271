"""How much wrong a relay may do on one connection; no I/O.

Each wrong costs us a little work; some of it every sound relay does. What goes beyond is a fault
or a lie, and the relay is left.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs


class Wrong(enum.StrEnum):
    """What a relay may do wrong, in words for the operator."""

    FORGED = "sends events that are not what their ids and signatures say"
    UNASKED = "sends events that were not asked for"
    REPEATED = "sends the same events again and again"
    UNDELIVERED = "names ids that it does not deliver"
    NOISE = "sends messages that mean nothing"


# How often it may be, and how often more for each good event.
ALLOWED: Final = {
    Wrong.FORGED: (100, 0.01),
    Wrong.UNASKED: (5_000, 1.0),
    # An event that matches several subscriptions comes with each of them.
    Wrong.REPEATED: (10_000, 10.0),
    Wrong.UNDELIVERED: (1_000, 1.0),
    Wrong.NOISE: (10_000, 1.0),
}


@attrs.define(eq=False)
class Patience:
    """What one connection's relay did.

    Attributes:
      good: events that were asked for and came, but not shortly before.
    """

    good: int = 0
    _done: dict[Wrong, int] = attrs.field(factory=dict, init=False)

    def ends(self, wrong: Wrong, times: int = 1) -> bool:
        """Note a wrong; whether it was one too many."""
        self._done[wrong] = self._done.get(wrong, 0) + times
        once, for_each = ALLOWED[wrong]
        return self._done[wrong] > once + for_each * self.good
