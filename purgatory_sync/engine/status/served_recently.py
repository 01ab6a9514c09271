"""When events became served and what brought their data, as far back as memory reaches."""

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
        self._sources: Bounded[str, str] = Bounded(most)

    def note(self, event_id: str, at: float) -> None:
        """The event is served from now on."""
        self._at.put(event_id, at)

    def since(self, event_id: str) -> float | None:
        """Since when it is served; None when that was before the start, or long ago."""
        return self._at.get(event_id)

    def brought(self, event_id: str, url: str) -> None:
        """A source had data of a held event."""
        self._sources.put(event_id, url)

    def source(self, event_id: str) -> str | None:
        """The URL that brought its data last; None where none did since the start."""
        return self._sources.get(event_id)
