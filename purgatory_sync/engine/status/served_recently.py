"""When events became served, as far back as memory reaches: the store does not keep it."""

from __future__ import annotations

from ...runtime.bounded import Bounded

MOST = 100_000


class ServedRecently:
    """Ids with the Unix seconds at which each became served; the oldest are forgotten.

    Args:
      most: how many are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self._at: Bounded[str, float] = Bounded(most)

    def note(self, event_id: str, at: float) -> None:
        """The event is served from now on."""
        self._at.put(event_id, at)

    def since(self, event_id: str) -> float | None:
        """Since when it is served; None when that was before the start, or long ago."""
        return self._at.get(event_id)
