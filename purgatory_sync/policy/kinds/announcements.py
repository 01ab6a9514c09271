"""Whether a repository announcement is served, held or refused (B 2.1-2.5)."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ...nostr.announcement import Announcement
from ...nostr.authority.repository_data import RepositoryData, Standing
from ...nostr.event import Event
from ...records import Tombstone
from ...settings import CurationSettings, PurgatorySettings
from ..rules.hosting import hosts
from ..rules.known_facts import Known
from ..rules.lacking import lacks_announcement
from ..rules.limits import judge_room
from ..rules.verdict import (
    BAR_SECS,
    HELD_MESSAGE,
    Action,
    Verdict,
    address_text,
    duplicate,
    refuse,
)

PRIVATE = "restricted: private repositories need a service that lists GRASP-08"
NOT_LISTED = "invalid: clone and relays must both list this service: add {service} to them"


def judge_announcement(
    announcement: Announcement, known: Known, settings: PurgatorySettings, lists: CurationSettings
) -> Verdict:
    """Judge an announcement that is new and not deleted (B 2)."""
    event, held = announcement.event, known.held_announcement
    if held is not None and event.order < held.order:
        return duplicate("a newer announcement of this repository is held")
    if not hosts(announcement, known.service, lists):
        return _judge_unlisted(announcement, known, settings)
    if _has_proven_data(announcement, known):
        return Verdict(Action.SERVE, with_repository=True)
    verdict = Verdict(Action.HOLD, HELD_MESSAGE, with_repository=True)
    if held is not None:
        verdict = attrs.evolve(verdict, replaces=(held.id,))
    elif known.over_quota is not None:
        return refuse(f"rate-limited: {known.over_quota}", transient=True)
    return judge_room(event, known, settings, held) or verdict


def judge_private(announcement: Announcement, known: Known) -> Verdict:
    """Refuse a private repository, and take off what is here of it (B 2.10).

    It lacks nothing: what came by sync is never asked for again.
    """
    held, served = known.held_announcement, known.newest_served
    if held is not None and announcement.event.order < held.order:
        return duplicate("a newer announcement of this repository is held")
    was_here = held is not None or served is not None
    return attrs.evolve(
        refuse(f"{PRIVATE}; this repository is no longer served here" if was_here else PRIVATE),
        private=True,
        deletes=() if served is None else (served.id, *known.left_alone),
        evicts=() if held is None else (held.id,),
        bars=_bars(announcement.event, known.now, held, served),
    )


def _judge_unlisted(
    announcement: Announcement, known: Known, settings: PurgatorySettings
) -> Verdict:
    """B 2.2: any older version here leaves for good; the new one stays only by 2.2 (b).

    The bar leaves the new one out where it can, so that 2.2 (b) may admit it later (B 2.8).
    """
    event, held, served = announcement.event, known.held_announcement, known.newest_served
    lacks = lacks_announcement(announcement.identifier)
    verdict = refuse(NOT_LISTED.format(service=known.service), lacks)
    data = known.data.get(announcement.identifier)
    if data is not None and is_named(data, event.pubkey):
        if served is None and (full := _judge_many(data, known, event.pubkey, settings)):
            return full
        verdict = Verdict(Action.SERVE)
    elif served is not None:
        verdict = attrs.evolve(verdict, deletes=(served.id,))
    if held is not None:
        verdict = attrs.evolve(verdict, evicts=(held.id,))
    if held is None and served is None and not _may_be_replayed(verdict, data):
        return verdict
    return attrs.evolve(verdict, bars=_bars(event, known.now, held, served))


def _judge_many(
    data: RepositoryData, known: Known, author: str, settings: PurgatorySettings
) -> Verdict | None:
    """Refuse what only a held announcement names where its author has too many (B 1.9)."""
    limit = settings.max_events_per_author
    served = (o for o, each in data.known.items() if each.standing is Standing.SERVED)
    if known.held_by_author + known.announced_by_author < limit or is_named(data, author, served):
        return None
    return refuse(
        "rate-limited: too many announcements of this author are here: try again later",
        transient=True,
    )


def _may_be_replayed(verdict: Verdict, data: RepositoryData | None) -> bool:
    """Whether an older version could come in though this one is refused.

    Where others announce the identifier it might be an acceptance that its author withdrew.
    """
    return verdict.action is Action.REFUSE and data is not None and bool(data.known)


def bars_of_ending(event: Event, now: float, *, served: bool) -> tuple[Tombstone, ...]:
    """What keeps out versions older than a held announcement that ends: their author left them.

    Args:
      now: Unix seconds.
      served: whether an older version was served here; else the bar lasts for seven days.
    """
    ends = None if served else now + BAR_SECS
    return (Tombstone(address_text(event) or "", event.pubkey, event.created_at - 1, ends),)


def _bars(event: Event, now: float, *older: Event | None) -> tuple[Tombstone, ...]:
    """What keeps the older versions from coming in, or back, and not the new one.

    For ever where an older one was here; else for seven days, for any key can send such events.
    """
    here = [each.created_at for each in older if each is not None]
    ends = None if here else now + BAR_SECS
    until = max(event.created_at - 1, *here, 0)
    return (Tombstone(address_text(event) or "", event.pubkey, until, ends),)


def is_named(data: RepositoryData, author: str, owners: Iterable[str] | None = None) -> bool:
    """Whether the author's announcement matters for another owner that has a repository here.

    Or waits for one (B 2.2 b). Named is enough, or its acceptance could never come; it grants
    nothing.

    Args:
      owners: only these owners of `data` count; None: all do.
    """
    counting = data.known if owners is None else frozenset(owners)
    return any(
        owner in counting and data.known[owner].is_hosted for owner in data.owners_seeing(author)
    )


def _has_proven_data(announcement: Announcement, known: Known) -> bool:
    """B 2.3: the newest version here is served, and with a repository."""
    data = known.data.get(announcement.identifier)
    mine = data.known.get(announcement.owner) if data is not None else None
    return mine is not None and mine.standing is Standing.SERVED and mine.has_repository
