"""Requests to vanish (NIP-62; B 5.2), judged without any I/O."""

from __future__ import annotations

import attrs
import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.nostr.parsed import parse
from purgatory_sync.policy.judge import judge, judge_unread
from purgatory_sync.policy.kinds.deletions import bar_targets, is_barred, is_of_vanished
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import Action, Verdict, covers
from purgatory_sync.records import Tombstone
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from ..support import ALICE, BOB, NOW, SERVICE, announcement, make

GONE = Tombstone(f"62:{ALICE}:", ALICE, NOW)


def request(*relays: str, created_at: int = NOW) -> Event:
    return make(ALICE, 62, [["relay", each] for each in relays], created_at=created_at)


def judged(
    event: Event, *, service: str = SERVICE, origin: str = "user", known: Known | None = None
) -> Verdict:
    known = known or Known(now=NOW, service=service)
    return judge(parse(event), origin, known, PurgatorySettings())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "relay"),
    [
        (SERVICE, "ALL_RELAYS"),
        (SERVICE, f"wss://{SERVICE}"),
        (SERVICE, f"wss://{SERVICE}/"),
        (SERVICE, f"WSS://{SERVICE.upper()}:443/"),
        (SERVICE, f"ws://{SERVICE}"),
        (SERVICE, f" wss://{SERVICE} "),
        ("127.0.0.1:7334", "ws://127.0.0.1:7334/"),
    ],
)
def test_b_5_2_a_request_that_asks_us_is_taken(service: str, relay: str) -> None:
    event = request("wss://elsewhere.example", relay)
    verdict = judged(event, service=service)
    assert verdict.action is Action.SERVE
    assert verdict.bars == (GONE,)


@pytest.mark.parametrize(
    "relays",
    [
        [],
        [""],
        ["all_relays"],
        ["wss://elsewhere.example"],
        [f"https://{SERVICE}"],
        [SERVICE],
        [f"wss://{SERVICE}:444"],
        [f"wss://{SERVICE}.example"],
        [f"wss://user:password@{SERVICE}"],
        ["wss://[", "\x00"],
        [*(f"wss://{n}.example" for n in range(1_000)), "ALL_RELAYS"],
    ],
)
def test_b_5_2_a_request_that_asks_others_has_no_effect(relays: list[str]) -> None:
    known = Known(now=NOW, service=SERVICE, targets_served=(parse(announcement(ALICE)),))
    verdict = judged(request(*relays), known=known)
    assert verdict.action is Action.REFUSE
    assert verdict.message.startswith("invalid: this request to vanish asks other relays: add ")
    assert (verdict.deletes, verdict.bars, verdict.lacks) == ((), (), ())


def test_b_5_2_no_list_of_the_operator_keeps_a_request_out() -> None:
    lists = CurationSettings(
        event_blacklist=(encode_npub(ALICE),), archive_all=True, archive_read_only=True
    )
    event = request("ALL_RELAYS")
    assert judge_unread(event, NOW, lists) is None
    assert judge_unread(make(ALICE, 1), NOW, lists) is not None
    known = Known(now=NOW, service=SERVICE)
    verdict = judge(parse(event), "user", known, PurgatorySettings(), lists)
    assert verdict.action is Action.SERVE


@pytest.mark.parametrize(
    ("event", "leaves"),
    [
        (make(ALICE, 1, created_at=NOW), True),
        (make(ALICE, 1, created_at=NOW + 1), False),
        (announcement(ALICE, created_at=NOW - 5), True),
        (make(ALICE, 5, [["e", "e" * 64]], created_at=NOW), True),
        (make(ALICE, 62, [["relay", "ALL_RELAYS"]], created_at=NOW), True),
        (make(ALICE, 62, [["relay", "ALL_RELAYS"]], created_at=NOW + 1), False),
        (make(BOB, 1, [["p", ALICE]], created_at=NOW), False),
        (make(BOB, 1059, [["p", ALICE]], created_at=NOW), True),
        (make(BOB, 1059, [["p", BOB], ["p", ALICE]], created_at=NOW - 9), True),
        (make(BOB, 1059, [["p", ALICE]], created_at=NOW + 1), False),
        (make(BOB, 1059, [["P", ALICE]], created_at=NOW), False),
        (make(BOB, 1059, [*(["p", f"{n:064x}"] for n in range(100, 300)), ["p", ALICE]]), False),
    ],
)
def test_b_5_2_what_leaves_and_cannot_come_back(event: Event, leaves: bool) -> None:
    assert covers(GONE, event) == leaves
    assert is_of_vanished(event, [GONE]) == leaves
    assert (GONE.target in bar_targets(event)) or not leaves
    if event.kind != kinds.VANISH:
        verdict = judged(event, known=Known(now=NOW, service=SERVICE, vanished=leaves))
        assert verdict.message.startswith("blocked: its author asked to vanish") == leaves


def test_b_5_2_an_older_request_changes_nothing() -> None:
    known = Known(now=NOW, service=SERVICE, vanished=True)
    verdict = judged(request("ALL_RELAYS", created_at=NOW - 1), known=known)
    assert verdict.action is Action.DUPLICATE
    assert not verdict.bars


def test_b_5_2_a_deletion_request_does_nothing_to_a_request_to_vanish() -> None:
    mine = request("ALL_RELAYS")
    deletion = make(ALICE, 5, [["e", mine.id]], created_at=NOW + 5)
    known = Known(now=NOW, service=SERVICE, targets_served=(parse(mine),))
    assert judged(deletion, known=known).deletes == ()
    assert not is_barred(mine, [Tombstone(mine.id, ALICE, NOW + 5)])


def test_b_5_2_a_protected_request_is_taken_from_its_author_only() -> None:
    protected = make(ALICE, 62, [["relay", "ALL_RELAYS"], ["-"]])
    assert judged(protected).action is Action.SERVE
    refused = judged(protected, origin="sync")
    assert refused.message.startswith("restricted: a protected event")


def test_b_5_2_it_takes_everything_it_is_told_of() -> None:
    waits, served = parse(announcement(ALICE)), parse(make(ALICE, 1))
    state = parse(make(ALICE, 30618, [["d", "repo"], ["refs/heads/main", "a" * 40]]))
    known = Known(
        now=NOW,
        service=SERVICE,
        targets_served=(served,),
        targets_held=(waits, state),
        unannounced=("repo",),
    )
    verdict = judged(request("ALL_RELAYS"), known=known)
    assert verdict.evicts == (waits.event.id,)
    assert verdict.deletes == (served.event.id, state.event.id)
    assert verdict.removes == ("repo",)
    assert attrs.evolve(known, vanished=True) != known
