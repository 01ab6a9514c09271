"""Deletion requests, kind 5 (NIP-09; B 5)."""

from __future__ import annotations

from collections.abc import Iterable

from ...nostr import kinds
from ...nostr.announcement import Announcement
from ...nostr.event import Event
from ...nostr.parsed import Deletion, Parsed, Vanish
from ...records import Tombstone
from ..rules.known_facts import Known
from ..rules.verdict import (
    Action,
    Verdict,
    address_text,
    covers,
    vanish_target,
    vanishing_with,
)


def judge_deletion(deletion: Deletion, known: Known) -> Verdict:
    """Serve the request, and name what it ends: the author's own events only (B 5).

    A request that names a request has no effect on it (NIP-09).
    """
    request = deletion.event
    targets = (*deletion.ids, *deletion.addresses)
    bars = tuple(Tombstone(target, request.pubkey, request.created_at) for target in targets)
    served = [each for each in known.targets_served if _ends(bars, each)]
    held = [each for each in known.targets_held if _ends(bars, each)]
    # What an announcement replaced does not come back in its place: a key is no member by
    # an announcement that it replaced and withdrew.
    older = [
        Tombstone(address, request.pubkey, each.event.created_at)
        for each in (*served, *held)
        if isinstance(each, Announcement)
        and (address := address_text(each.event)) is not None
        and address not in targets
    ]
    evicts = [each.event.id for each in held if isinstance(each, Announcement)]
    others = [each.event.id for each in held if not isinstance(each, Announcement)]
    return Verdict(
        Action.SERVE,
        evicts=tuple(evicts),
        deletes=tuple(dict.fromkeys([*(each.event.id for each in served), *others])),
        bars=tuple(dict.fromkeys((*bars, *older))),
    )


def _ends(bars: tuple[Tombstone, ...], target: Parsed) -> bool:
    asks = isinstance(target, Deletion | Vanish)
    return not asks and any(covers(bar, target.event) for bar in bars)


def bar_targets(event: Event) -> tuple[str, ...]:
    """What tombstones that cover this event can be filed under: id, address, who vanished."""
    address = address_text(event)
    gone = (vanish_target(each) for each in vanishing_with(event))
    return (event.id, *gone) if address is None else (event.id, address, *gone)


def is_barred(event: Event, tombstones: Iterable[Tombstone]) -> bool:
    """Whether a stored deletion or delisting covers the event (`Known.deleted`).

    Neither a deletion request nor a request to vanish is deleted by a deletion request.
    """
    asks = event.kind in (kinds.DELETION, kinds.VANISH)
    return not asks and any(covers(each, event) for each in tombstones)


def is_of_vanished(event: Event, tombstones: Iterable[Tombstone]) -> bool:
    """Whether its author asked to vanish, then or later (`Known.vanished`)."""
    gone = frozenset(map(vanish_target, vanishing_with(event)))
    return any(each.target in gone and covers(each, event) for each in tombstones)
