"""When events became served, as far back as memory reaches: the store does not keep it."""

from __future__ import annotations

import attrs

MOST = 100_000


@attrs.define(eq=False)
class ServedRecently:
    """Ids with the Unix seconds at which each became served; the oldest are forgotten.

    Attributes:
      most: how many are remembered.
    """

    most: int = MOST
    _at: dict[str, float] = attrs.field(factory=dict)

    def note(self, event_id: str, at: float) -> None:
        """The event is served from now on."""
        self._at[event_id] = at
        if len(self._at) > self.most:
            del self._at[next(iter(self._at))]

    def since(self, event_id: str) -> float | None:
        """Since when it is served; None when that was before the start, or long ago."""
        return self._at.get(event_id)
