"""Changes and rows that the store's tests use."""

from __future__ import annotations

from typing import Literal

from purgatory_sync.errors import NaughtyScope
from purgatory_sync.nostr.event import Event
from purgatory_sync.records import NaughtyRecord, Placeholder, Tombstone
from purgatory_sync.store.protocol import Change, DomainRow, Expired, HeldRow, Made
from purgatory_sync.testing.events import Author, announcement, note, pull_request, state

ALICE = Author.from_seed(1)
BOB = Author.from_seed(2)
OID = "a" * 40


def held(
    event: Event,
    at: float = 1.5,
    sort: Literal["announcement", "state", "pr"] = "state",
    origin: Literal["user", "sync"] = "user",
) -> HeldRow:
    return HeldRow(event, sort, origin, at)


def everything(content: str = "") -> Change:
    """A change that touches every table."""
    return Change(
        hold=[
            held(state(ALICE, "crash", {"refs/heads/main": OID})),
            held(announcement(ALICE, "crash"), sort="announcement", origin="sync"),
            held(pull_request(BOB, [ALICE.coordinate("crash")], OID), sort="pr"),
        ],
        save=[
            note(BOB, content, tags=[("t", "one"), ("e", "f" * 64)]),
            announcement(BOB, "crash", created_at=2_000_000_000),
        ],
        expire=[Expired("e" * 64, 3.25)],
        tombstones=[Tombstone("d" * 64, ALICE.pubkey, 7)],
        placeholders=[Placeholder(ALICE.pubkey, "crash", "b" * 64, OID, 4.5)],
        naughty=[NaughtyRecord(NaughtyScope.HOST, "bad.example", 99.5, "name unknown")],
        made=[Made(ALICE.pubkey, "crash", "c" * 32)],
        git_folder="d" * 32,
    )


DOMAINS = [DomainRow("git.example", (10.0, 20.5)), DomainRow("slow.example", (), 80.0)]
