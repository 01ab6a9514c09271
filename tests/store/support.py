"""Changes and rows that the store's tests use."""

from __future__ import annotations

from purgatory_sync.errors import NaughtyScope
from purgatory_sync.records import NaughtyRecord, Placeholder, Tombstone, Upload
from purgatory_sync.store.protocol import Change, DomainRow, Expired, Made
from purgatory_sync.testing.events import announcement, note, pull_request, state
from purgatory_sync.testing.store_contract.rows import ALICE as ALICE
from purgatory_sync.testing.store_contract.rows import BOB as BOB
from purgatory_sync.testing.store_contract.rows import OID, held


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
        uploads=[Upload(ALICE.pubkey, "crash", "b" * 64, OID, 4.5, 100, "192.0.2.1")],
        naughty=[NaughtyRecord(NaughtyScope.HOST, "bad.example", 99.5, "name unknown")],
        made=[Made(ALICE.pubkey, "crash", "c" * 32)],
        git_folder="d" * 32,
    )


DOMAINS = [DomainRow("git.example", (10.0, 20.5)), DomainRow("slow.example", (), 80.0)]
