"""Unsigned events and snapshots: `policy` never looks at signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import (
    KnownAnnouncement,
    RepositoryData,
    Standing,
)
from purgatory_sync.nostr.event import Event, event_id
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.nostr.parsed import parse
from purgatory_sync.nostr.state import State
from purgatory_sync.policy.judge import judge, judge_unread
from purgatory_sync.policy.rules.hosting import NO_LISTS
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import Verdict, refuse
from purgatory_sync.settings import CurationSettings, PurgatorySettings

NOW = 1_800_000_000
SERVICE = "grasp.example"
ALICE, BOB, CAROL, MALLORY = (f"{n:064x}" for n in (0xA, 0xB, 0xC, 0xD))
A, B, C = "a" * 40, "b" * 40, "c" * 40


def make(
    author: str,
    kind: int,
    tags: Iterable[Iterable[str]] = (),
    *,
    created_at: int = NOW,
    content: str = "",
) -> Event:
    frozen = tuple(tuple(tag) for tag in tags)
    name = event_id(author, created_at, kind, frozen, content)
    return Event(name, author, created_at, kind, frozen, content, "0" * 128)


def announcement(
    author: str = ALICE,
    identifier: str = "repo",
    *,
    listed: bool = True,
    maintainers: Iterable[str] = (),
    created_at: int = NOW,
    content: str = "",
) -> Event:
    host = SERVICE if listed else "elsewhere.example"
    tags = [
        ["d", identifier],
        ["clone", f"https://{host}/{encode_npub(author)}/{identifier}.git"],
        ["relays", f"wss://{host}"],
        ["maintainers", *maintainers],
    ]
    return make(author, kinds.ANNOUNCEMENT, tags, created_at=created_at, content=content)


def accepts(author: str, owner: str = ALICE) -> tuple[Event, Standing, bool]:
    """What makes an author whom the owner names a member: served, without a repository."""
    return announcement(author, listed=False, maintainers=[owner]), Standing.SERVED, False


def state(
    author: str = ALICE,
    refs: Mapping[str, str] | None = None,
    *,
    identifier: str = "repo",
    created_at: int = NOW,
) -> Event:
    named = {"refs/heads/main": A} if refs is None else refs
    tags = [["d", identifier], *([name, value] for name, value in named.items())]
    return make(author, kinds.STATE, tags, created_at=created_at)


def parsed_state(*args: Any, **kwargs: Any) -> State:
    return State.parse(state(*args, **kwargs))


def pull_request(
    author: str = CAROL, owners: Iterable[str] = (ALICE,), *, commit: str = A, **kwargs: Any
) -> Event:
    tags = [["c", commit], *(["a", coordinate(owner)] for owner in owners)]
    return make(author, kinds.PULL_REQUEST, tags, **kwargs)


def coordinate(owner: str, identifier: str = "repo") -> str:
    return f"{kinds.ANNOUNCEMENT}:{owner}:{identifier}"


def data(
    *announcements: tuple[Event, Standing] | tuple[Event, Standing, bool], identifier: str = "repo"
) -> RepositoryData:
    """Announcements with their standing; a third value says whether the repository is here."""
    return RepositoryData.of(
        identifier,
        (
            KnownAnnouncement(
                Announcement.parse(each[0]),
                each[1],
                each[2] if len(each) > 2 else each[1] is not Standing.SOFT_EXPIRED,
            )
            for each in announcements
        ),
    )


def known(*of: RepositoryData, **fields: Any) -> Known:
    return Known(now=NOW, service=SERVICE, data={each.identifier: each for each in of}, **fields)


def judge_offer(
    event: Event,
    origin: Literal["user", "sync"],
    snapshot: Known,
    settings: PurgatorySettings,
    lists: CurationSettings = NO_LISTS,
) -> Verdict:
    """What is said of an offer, in the order of the way in (`policy/judge.py`)."""
    if (unread := judge_unread(event, snapshot.now, lists)) is not None:
        return unread
    try:
        parsed = parse(event)
    except InvalidEvent as error:
        return refuse(f"invalid: {error}")
    return judge(parsed, origin, snapshot, settings, lists)
