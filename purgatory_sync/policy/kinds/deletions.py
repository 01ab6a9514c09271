"""Deletion requests, kind 5 (NIP-09; B 5)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ...nostr import kinds
from ...nostr.announcement import Announcement
from ...nostr.event import Event
from ...nostr.parsed import Deletion, Parsed, Vanish
from ...records import Tombstone
from ...settings import PurgatorySettings
from ..rules.known_facts import Known
from ..rules.verdict import (
    BAR_SECS,
    Action,
    Verdict,
    address_text,
    covers,
    refuse,
    vanish_target,
    vanishing_with,
)

MAX_TARGETS = 2_048
USED_NOTED_SECS = 86_400
"""How seldom it is noted that a request still keeps something out."""
TOO_LONG = f"invalid: more than {MAX_TARGETS} events are named: put them into several requests"
TOO_MANY_IN_ALL = (
    "rate-limited: too many deletion requests are here already: "
    "name what is served here, or try again later"
)
SPENT = "invalid: this deletion request had no effect for a long time: it is served no more"
TOO_MANY = (
    "rate-limited: too many deletion requests of this author are here: "
    "name what is served here, or put more into one request"
)


def judge_deletion(deletion: Deletion, known: Known, settings: PurgatorySettings) -> Verdict:
    """Serve the request, and name what it ends: the author's own events only (B 5).

    A request that names a request has no effect on it (NIP-09). What had no effect so far is not
    kept for ever: any key can send as many as it likes.
    """
    if len(deletion.ids) + len(deletion.addresses) > MAX_TARGETS:
        return refuse(TOO_LONG)
    verdict = _judge_targets(deletion, known)
    if verdict.deletes or verdict.evicts:
        bars = tuple(attrs.evolve(each, used=known.now) for each in verdict.bars)
        return attrs.evolve(verdict, bars=bars)
    if known.request_bars and is_spent(deletion, known.request_bars, known.now, settings):
        return refuse(SPENT)
    if _was_used(known.request_bars):
        return verdict
    if known.requests_by_author >= settings.max_requests_per_author:
        return refuse(TOO_MANY, transient=True)
    if known.requests_total >= settings.max_requests:
        return refuse(TOO_MANY_IN_ALL, transient=True)
    ends = known.now + settings.requests_served_secs + settings.requests_gate_secs
    return attrs.evolve(verdict, bars=tuple(attrs.evolve(b, ends=ends) for b in verdict.bars))


def own_bars(deletion: Deletion, tombstones: Iterable[Tombstone]) -> tuple[Tombstone, ...]:
    """The tombstones that this request, or later ones of its author, left at what it names.

    What a refused announcement left there reaches up to that one only (B 2.2).
    """
    author, targets = deletion.event.pubkey, {*deletion.ids, *deletion.addresses}
    since = deletion.event.created_at
    found = (t for t in tombstones if t.author == author and t.target in targets)
    return tuple(t for t in found if t.until >= since)


def is_spent(
    deletion: Deletion, bars: Iterable[Tombstone], now: float, settings: PurgatorySettings
) -> bool:
    """Whether a request had no effect for a long time, or none since it was first seen (B 5.4).

    Args:
      bars: what `own_bars` says.
      now: Unix seconds.
    """
    bars = tuple(bars)
    if _was_used(bars):
        used = [bar.used for bar in bars if bar.used is not None]
        return bool(used) and max(used) + settings.requests_used_secs <= now
    return all(
        bar.ends is not None and bar.ends - settings.requests_gate_secs <= now for bar in bars
    )


def used_now(event: Event, tombstones: Iterable[Tombstone], now: float) -> tuple[Tombstone, ...]:
    """Of tombstones that would end, those that keep out this event: from now on they stay.

    So are those whose last effect was noted a day ago or longer. Those at the address of an
    announcement need not be of a request (B 2.2), and stay as they are.

    Args:
      now: Unix seconds.
    """
    named = (event.id, None if event.kind == kinds.ANNOUNCEMENT else address_text(event))
    found = (
        each
        for each in tombstones
        if each.target in named
        and (each.ends is not None or each.used is None or each.used + USED_NOTED_SECS <= now)
    )
    return tuple(attrs.evolve(each, ends=None, used=now) for each in found if covers(each, event))


def bars_of_expiring(event: Event, now: float) -> tuple[Tombstone, ...]:
    """What keeps older versions of an event that expired from taking its place (B 5.3).

    For seven days, for any key can send such events; one that it keeps out lets it stay.

    Args:
      now: Unix seconds.
    """
    if (address := address_text(event)) is None:
        return ()
    return (Tombstone(address, event.pubkey, event.created_at, now + BAR_SECS),)


def _was_used(bars: Iterable[Tombstone]) -> bool:
    return any(bar.ends is None for bar in bars)


def _judge_targets(deletion: Deletion, known: Known) -> Verdict:
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
