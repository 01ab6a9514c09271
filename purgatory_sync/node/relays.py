"""All relays that the node talks to: those that are followed, and those that are only visited."""

from __future__ import annotations

import attrs

from .operator.metrics import OutboxMetrics
from .outboxes.outbox_keeper import Outboxes
from .upstream.bridge import Following
from .upstream.state.relay_health import RelayStatus


@attrs.frozen
class Relays:
    """How it stands with other relays.

    Attributes:
      outboxes: None where the operator turned them off (GRASP-03).
    """

    following: Following
    outboxes: Outboxes | None

    def looks(self) -> tuple[RelayStatus, ...]:
        """Each of them: those that are followed first."""
        visited = self.outboxes.relays() if self.outboxes is not None else ()
        return (*self.following.relays(), *visited)

    def outbox_metrics(self) -> OutboxMetrics | None:
        """What is counted of visits; None where there are none."""
        if self.outboxes is None:
            return None
        counts = self.outboxes.counts()
        return OutboxMetrics(
            counts.relays, counts.visits, counts.events, counts.refused, counts.people
        )
