"""Deletion requests, kind 5 (NIP-09; B 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.keys import is_hex_key
from ..rules.known_facts import Known
from ..rules.references import split_coordinate
from ..rules.verdict import Action, Bar, Verdict, address_text


class Tombstone(Protocol):
    """What the store remembers of a bar."""

    @property
    def target(self) -> str:
        """An event id or an address."""

    @property
    def author(self) -> str:
        """Whose events are covered."""

    @property
    def until(self) -> int:
        """Unix seconds, for addresses."""


def targets_of(request: Event) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids and the author's own addresses that a deletion request names, each once.

    Returns (ids, addresses); that an id is the author's own shows when the event is there.
    """
    ids = (value for value in request.values("e") if is_hex_key(value))
    addresses = (
        value
        for value in request.values("a")
        if (parts := split_coordinate(value)) is not None and parts[1] == request.pubkey
    )
    return tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(addresses))


def judge_deletion(request: Event, known: Known) -> Verdict:
    """Serve the request, and name what it ends: the author's own events only (B 5).

    A request that names a request has no effect on it (NIP-09).
    """
    ids, addresses = targets_of(request)
    bars = tuple(Bar(target, request.pubkey, request.created_at) for target in (*ids, *addresses))
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


def _ends(request: Event, bars: tuple[Bar, ...], event: Event) -> bool:
    return event.kind != kinds.DELETION and any(bar.covers(event) for bar in bars)


def bar_targets(event: Event) -> tuple[str, ...]:
    """What tombstones that cover this event can be filed under: its id and its address."""
    address = address_text(event)
    return (event.id,) if address is None else (event.id, address)


def is_barred(event: Event, tombstones: Iterable[Tombstone]) -> bool:
    """Whether a stored deletion or delisting covers the event (`Known.deleted`)."""
    return event.kind != kinds.DELETION and any(
        Bar(each.target, each.author, each.until).covers(event) for each in tombstones
    )
