"""Held events in one line each; nothing here is signed, because nothing here verifies."""

from __future__ import annotations

from hashlib import sha256

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event, Tag
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.nostr.state import State

ALICE, BOB = "a" * 64, "b" * 64


def oid(number: int) -> str:
    return f"{number:040x}"


def event(kind: int, tags: tuple[Tag, ...], author: str = ALICE, created_at: int = 1) -> Event:
    digest = sha256(repr((kind, tags, author, created_at)).encode()).hexdigest()
    return Event(digest, author, created_at, kind, tags, "", "0" * 128)


def state(
    identifier: str = "repo", number: int = 1, author: str = ALICE, created_at: int = 1
) -> State:
    tags = (("d", identifier), ("refs/heads/main", oid(number)))
    return State.parse(event(kinds.STATE, tags, author, created_at))


def pull_request(
    *identifiers: str, number: int = 1, clone: tuple[str, ...] = (), author: str = BOB
) -> PullRequest:
    tags: tuple[Tag, ...] = (
        ("c", oid(number)),
        *(("a", f"30617:{ALICE}:{identifier}") for identifier in identifiers),
        ("clone", *clone),
    )
    return PullRequest.parse(event(kinds.PULL_REQUEST, tags, author))


def announcement(
    identifier: str = "repo", created_at: int = 1, author: str = ALICE
) -> Announcement:
    return Announcement.parse(event(kinds.ANNOUNCEMENT, (("d", identifier),), author, created_at))
