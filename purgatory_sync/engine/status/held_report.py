"""Takes the engine's statistics: why each event is held, and when the next try comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...hunt.limits.domain_statistics import HuntStatistics
from ...purgatory.entries import HeldAnnouncement, HeldEvent, HeldState
from ...purgatory.purgatory import Purgatory
from ...runtime.clock import WallClock
from .engine_statistics import HeldReport, SourceReport, Statistics

KINDS = ("announcement", "soft-expired", "state", "pr")


def take_statistics(
    purgatory: Purgatory,
    clock: WallClock,
    released: Mapping[str, int],
    hunt: HuntStatistics,
    *,
    events: bool,
) -> Statistics:
    """The engine at this moment; with `events` it costs a look at every held event."""
    reports = tuple(_reports(purgatory, clock)) if events else ()
    return Statistics(_held(purgatory), len(purgatory.sync_queue), dict(released), hunt, reports)


def _held(purgatory: Purgatory) -> dict[str, int]:
    counts = purgatory.counts()
    soft = sum(held.soft_expired_at is not None for held in purgatory.announcements())
    numbers = (counts.announcements - soft, soft, counts.states, counts.prs)
    return dict(zip(KINDS, numbers, strict=True))


def kind_of(held: HeldEvent) -> str:
    """The word for what is held."""
    if isinstance(held, HeldAnnouncement):
        return "announcement" if held.soft_expired_at is None else "soft-expired"
    return "state" if isinstance(held, HeldState) else "pr"


def _reports(purgatory: Purgatory, clock: WallClock) -> Iterator[HeldReport]:
    for held in (*purgatory.announcements(), *purgatory.hunted_events()):
        hunted = not isinstance(held, HeldAnnouncement)
        yield HeldReport(
            event_id=held.event_id,
            kind=kind_of(held),
            identifiers=held.identifiers,
            accepted_at=held.accepted_at,
            next_attempt=next_attempt_of(purgatory, clock, held.identifiers) if hunted else None,
            error=held.error,
            sources=()
            if isinstance(held, HeldAnnouncement)
            else tuple(SourceReport(u, t.at, t.result, t.detail) for u, t in held.tried.items()),
        )


def next_attempt_of(
    purgatory: Purgatory, clock: WallClock, identifiers: tuple[str, ...]
) -> float | None:
    """Unix seconds of the next hunt; None when none is due or one is going on."""
    entries = [purgatory.sync_queue.get(identifier) for identifier in identifiers]
    due = [entry.next_attempt for entry in entries if entry and not entry.in_progress]
    return clock.epoch + min(due) if due else None
