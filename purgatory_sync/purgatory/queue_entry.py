"""When one identifier is hunted next (S2); pure in `now`, seconds of Trio's clock."""

from __future__ import annotations

import attrs

FIRST_BACKOFF_SECS = 20.0
MAX_BACKOFF_SECS = 120.0


def backoff_secs(attempts: int) -> float:
    """Seconds to wait after so many fruitless attempts (S2)."""
    doublings = min(max(attempts, 1) - 1, 8)
    return min(FIRST_BACKOFF_SECS * (1 << doublings), MAX_BACKOFF_SECS)


@attrs.define(eq=False)
class SyncQueueEntry:
    """One identifier in the queue.

    Attributes:
      next_attempt: Trio's time of the next hunt.
      attempt_count: hunts since the last new event.
      in_progress: a live hunt holds the entry (`SyncQueue.lease` sets and clears it).
      newly_queued_due: while in progress, when events that came meanwhile are asked for (B 8.11).
    """

    next_attempt: float
    attempt_count: int = 0
    in_progress: bool = False
    newly_queued_due: float | None = None

    def backoff(self) -> float:
        """Seconds until the next attempt: 20, 40, 80, 120, 120 … after attempts 1, 2, 3, 4, 5 …"""
        return backoff_secs(self.attempt_count)

    def is_ready(self, now: float) -> bool:
        """Whether the next hunt may start."""
        return not self.in_progress and self.next_attempt <= now

    def on_new_event(self, delay: float, now: float) -> None:
        """A new event came: attempts count anew, and the next hunt may only come sooner."""
        due = now + delay
        self.attempt_count = 0
        if not self.in_progress:
            self.next_attempt = min(self.next_attempt, due)
        elif self.newly_queued_due is None or due < self.newly_queued_due:
            self.newly_queued_due = due

    def on_newcomers_taken(self, now: float) -> None:
        """The running hunt looks at all that is missing now, so due newcomers are asked for."""
        if self.newly_queued_due is not None and self.newly_queued_due <= now:
            self.newly_queued_due = None

    def on_sync_complete(self, now: float) -> None:
        """A hunt ended with events still pending: the earlier of backoff and newcomers (B 8.11)."""
        self.attempt_count += 1
        self.next_attempt = now + self.backoff()
        if self.newly_queued_due is not None:
            self.next_attempt = min(self.next_attempt, self.newly_queued_due)
            self.newly_queued_due = None
