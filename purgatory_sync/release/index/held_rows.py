"""Held events as the journal keeps them."""

from __future__ import annotations

from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldState
from ...store.protocol import HeldRow


def row_of(held: HeldEvent) -> HeldRow:
    """The journal's row of a held event."""
    if isinstance(held, HeldAnnouncement):
        return HeldRow(
            held.event, "announcement", held.origin.value, held.accepted_at, held.soft_expired_at
        )
    return HeldRow(
        held.event,
        "state" if isinstance(held, HeldState) else "pr",
        held.origin.value,
        held.accepted_at,
    )
