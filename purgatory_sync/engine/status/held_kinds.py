"""Words and times that every report of held events shares."""

from __future__ import annotations

from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldState
from ...purgatory.purgatory import Purgatory
from ...runtime.clock import WallClock

KINDS = ("announcement", "soft-expired", "state", "pr")


def held_by_kind(purgatory: Purgatory) -> dict[str, int]:
    """How many events are held, by kind."""
    counts = purgatory.counts()
    soft = sum(held.soft_expired_at is not None for held in purgatory.announcements())
    numbers = (counts.announcements - soft, soft, counts.states, counts.prs)
    return dict(zip(KINDS, numbers, strict=True))


def kind_of(held: HeldEvent) -> str:
    """The word for what is held."""
    if isinstance(held, HeldAnnouncement):
        return "announcement" if held.soft_expired_at is None else "soft-expired"
    return "state" if isinstance(held, HeldState) else "pr"


def next_attempt_of(
    purgatory: Purgatory, clock: WallClock, identifiers: tuple[str, ...]
) -> float | None:
    """Unix seconds of the next hunt; None when none is due or one is going on."""
    entries = [purgatory.sync_queue.get(identifier) for identifier in identifiers]
    due = [entry.next_attempt for entry in entries if entry and not entry.in_progress]
    return clock.epoch + min(due) if due else None
