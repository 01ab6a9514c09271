"""Deletion requests, kind 5 (NIP-09; B 5)."""

from __future__ import annotations

from collections.abc import Iterable

from ...nostr import kinds
from ...nostr.address import Address, is_hex_key
from ...nostr.event import Event
from ...records import Tombstone
from ..rules.known_facts import Known
from ..rules.verdict import Action, Verdict, address_text, covers


def targets_of(request: Event) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids and the author's own addresses that a deletion request names, each once.

    Returns (ids, addresses); that an id is the author's own shows when the event is there.
    """
    ids = (value for value in request.values("e") if is_hex_key(value))
    addresses = (
        value
        for value in request.values("a")
        if (parts := Address.parse(value)) is not None and parts[1] == request.pubkey
    )
    return tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(addresses))


def judge_deletion(request: Event, known: Known) -> Verdict:
    """Serve the request, and name what it ends: the author's own events only (B 5).

    A request that names a request has no effect on it (NIP-09).
    """
    ids, addresses = targets_of(request)
    targets, until = (*ids, *addresses), request.created_at
    bars = tuple(Tombstone(target, request.pubkey, until) for target in targets)
    served = [e for e in known.targets_served if _ends(request, bars, e)]
    held = [e for e in known.targets_held if _ends(request, bars, e)]
    evicts = [e.id for e in held if e.kind == kinds.ANNOUNCEMENT]
    others = [e.id for e in held if e.kind != kinds.ANNOUNCEMENT]
    return Verdict(
        Action.SERVE,
        evicts=tuple(evicts),
        deletes=tuple(dict.fromkeys([*(e.id for e in served), *others])),
        bars=bars,
    )


def _ends(request: Event, bars: tuple[Tombstone, ...], event: Event) -> bool:
    return event.kind != kinds.DELETION and any(covers(bar, event) for bar in bars)


def bar_targets(event: Event) -> tuple[str, ...]:
    """What tombstones that cover this event can be filed under: its id and its address."""
    address = address_text(event)
    return (event.id,) if address is None else (event.id, address)


def is_barred(event: Event, tombstones: Iterable[Tombstone]) -> bool:
    """Whether a stored deletion or delisting covers the event (`Known.deleted`)."""
    return event.kind != kinds.DELETION and any(covers(each, event) for each in tombstones)
