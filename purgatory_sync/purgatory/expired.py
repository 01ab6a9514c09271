"""Ids of events that ended without their data, so that relays that repeat them are refused."""

from __future__ import annotations

import attrs

# A flood of events whose data never arrives must not fill the memory.
MAX_REMEMBERED = 1_000_000


@attrs.define(eq=False)
class ExpiredIds:
    """Ids with the Unix seconds at which each expired, oldest first (B 8.9: seven days).

    Attributes:
      most: how many are remembered; beyond them the oldest are forgotten by `prune`.
    """

    memory_secs: float
    most: int = MAX_REMEMBERED
    _at: dict[str, float] = attrs.field(factory=dict)
    _reasons: dict[str, str] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self._at)

    def remember(self, event_id: str, at: float, reason: str = "") -> None:
        """Note that the event expired at `at` (Unix seconds), and why if not for lack of data."""
        self._at.pop(event_id, None)
        self._at[event_id] = at
        if reason:
            self._reasons[event_id] = reason

    def reason(self, event_id: str) -> str:
        """Why it ended; empty where its data did not come."""
        return self._reasons.get(event_id, "")

    def was_expired(self, event_id: str, now: float) -> bool:
        """Whether the event expired within the time that is remembered; `now` in Unix seconds."""
        return self.expired_at(event_id, now) is not None

    def expired_at(self, event_id: str, now: float) -> float | None:
        """When it expired, or None where that is not remembered any more; Unix seconds."""
        at = self._at.get(event_id)
        return at if at is not None and now < at + self.memory_secs else None

    def count_since(self, at: float) -> int:
        """How many expired at `at` (Unix seconds) or later."""
        count = 0
        for expired_at in reversed(self._at.values()):
            if expired_at < at:
                break
            count += 1
        return count

    def clamp_timestamps(self, now: float) -> None:
        """Let none have expired later than `now`, Unix seconds (B 9)."""
        self._at = {event_id: min(at, now) for event_id, at in self._at.items()}

    def prune(self, now: float) -> tuple[str, ...]:
        """Drop what is too old or too much; returns the ids: the journal forgets them too."""
        too_many = len(self._at) - self.most
        gone: list[str] = []
        for event_id, at in self._at.items():
            if now < at + self.memory_secs and len(gone) >= too_many:
                break
            gone.append(event_id)
        for event_id in gone:
            del self._at[event_id]
            self._reasons.pop(event_id, None)
        return tuple(gone)
