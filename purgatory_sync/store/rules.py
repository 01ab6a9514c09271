"""What every back end does alike: what is kept, what replaces what, what filters find it by."""

from __future__ import annotations

import attrs

from ..nostr import kinds
from ..nostr.address import RepositoryId
from ..nostr.event import Event
from ..records import Tombstone
from .protocol import HeldRow

EXPIRATION = "expiration"
START_MEMORY_SECS = 60.0
"""Starts older than this no longer count against a domain (B 8.2)."""


def is_kept(event: Event) -> bool:
    """Whether an event is stored at all: ephemeral ones are only passed on (NIP-01)."""
    return not kinds.is_ephemeral(event.kind)


def wins_over(event: Event, other: Event) -> bool:
    """Whether an event replaces another of its address: newest, on a tie the lowest id (B 1.6)."""
    return event.order > other.order


def indexed_tags(event: Event) -> frozenset[tuple[str, str]]:
    """The (letter, value) pairs that filters can ask for: first values of one-letter tags.

    And when it expires, which no filter can ask for, as a number of so many digits that texts are
    in the order of the times (NIP-40).
    """
    expires = [] if event.expires_at is None else [(EXPIRATION, expiration(event.expires_at))]
    return frozenset(expires).union(
        (tag[0], tag[1])
        for tag in event.tags
        if len(tag) > 1 and len(tag[0]) == 1 and tag[0].isascii() and tag[0].isalpha()
    )


def merged(one: Tombstone, other: Tombstone) -> Tombstone:
    """What is kept of two tombstones of one target and author: what covers more, for longer."""
    ends = None if one.ends is None or other.ends is None else max(one.ends, other.ends)
    known = [each.used for each in (one, other) if each.used is not None]
    used = max(known, default=None)
    return attrs.evolve(one, until=max(one.until, other.until), ends=ends, used=used)


def expiration(at: float) -> str:
    """The value under which what expires at a time (Unix seconds) is found."""
    return f"{int(at):020d}"


def held_identifiers(row: HeldRow) -> tuple[str, ...]:
    """The identifiers that a held event waits under, each once (B 4.3)."""
    if row.sort != "pr":
        return (row.event.first("d") or "",)
    found = (RepositoryId.parse(value) for value in row.event.values("a"))
    return tuple(dict.fromkeys(each.identifier for each in found if each is not None))
