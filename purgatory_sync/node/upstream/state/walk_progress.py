"""What one relay was asked for, so that a new connection need not begin anew."""

from __future__ import annotations

import attrs

# Events may be published later than they were created.
OVERLAP_SECS = 3600
FULL_EVERY_SECS = 86400.0


@attrs.define(eq=False)
class WalkProgress:
    """What one relay was asked for; outlives its sessions.

    Attributes:
      walked: by letters of `Values`, up to which number they were asked for through all of history.
      full_at: Unix seconds of the last walk through all of history.
      synced_until: Unix seconds until which nothing was missed.
      plain_until: Unix seconds until which it is not asked by negentropy.
    """

    walked: dict[str, int] = attrs.field(factory=dict)
    full_at: float | None = None
    synced_until: float | None = None
    plain_until: float = 0.0

    def begin_anew(self) -> None:
        """Have all of history looked at by the next session."""
        self.full_at = None

    def is_asked_plainly(self, now: float) -> bool:
        """Whether it is not asked by negentropy at this moment (Unix seconds)."""
        return 0 < self.plain_until - now <= FULL_EVERY_SECS

    def since(self, now: float) -> int | None:
        """How far back a new session looks (Unix seconds); None: through all of history."""
        if self.full_at is None or self.synced_until is None:
            return None
        # What is ahead was noted by a clock that was set back since (or is followed to the second).
        if abs(now - self.full_at) > FULL_EVERY_SECS or self.synced_until > now + 1:
            return None
        return max(0, int(self.synced_until) - OVERLAP_SECS)
