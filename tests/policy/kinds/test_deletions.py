from __future__ import annotations

from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.parsed import Deletion, Parsed, parse
from purgatory_sync.policy.kinds.deletions import bar_targets, is_barred
from purgatory_sync.policy.rules.verdict import Action, Verdict
from purgatory_sync.records import Tombstone
from purgatory_sync.settings import PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    NOW,
    announcement,
    coordinate,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

SETTINGS = PurgatorySettings()


def read(*events: Event) -> tuple[Parsed, ...]:
    return tuple(map(parse, events))


def test_b_5_targets_are_ids_and_own_addresses_each_once() -> None:
    pr = pull_request()
    tags = [
        ["e", pr.id],
        ["e", pr.id],
        ["e", "short"],
        ["a", coordinate(ALICE)],
        ["a", coordinate(BOB)],
        ["a", f"1:{ALICE}:x"],
        ["a", f"10317:{ALICE}:"],
    ]
    deletion = Deletion.parse(make(ALICE, 5, tags))
    assert deletion.ids == (pr.id,)
    assert deletion.addresses == (coordinate(ALICE), f"10317:{ALICE}:")


def test_b_5_e_ends_own_served_and_held_events_only() -> None:
    served, held = state(ALICE), pull_request(ALICE)
    foreign, unnamed = pull_request(BOB), state(ALICE, created_at=NOW - 1)
    request = make(ALICE, 5, [["e", e.id] for e in (served, held, foreign)])
    snapshot = known(targets_served=read(served, foreign, unnamed), targets_held=read(held))
    verdict = judge_offer(request, "user", snapshot, SETTINGS)
    assert (verdict.action, verdict.message) == (Action.SERVE, "")
    assert verdict.deletes == (served.id, held.id)
    assert verdict.evicts == ()
    assert verdict.bars == tuple(
        Tombstone(e.id, ALICE, NOW, used=NOW) for e in (served, held, foreign)
    )


def test_b_5_a_held_announcement_goes_with_its_repository_a_served_one_does_not() -> None:
    event = announcement(ALICE)
    request = make(ALICE, 5, [["e", event.id]])
    held = judge_offer(request, "user", known(targets_held=read(event)), SETTINGS)
    assert (held.evicts, held.deletes) == ((event.id,), ())
    served = judge_offer(request, "user", known(targets_served=read(event)), SETTINGS)
    assert (served.evicts, served.deletes) == ((), (event.id,))


def test_b_5_a_ends_versions_up_to_the_request() -> None:
    old, same, later = (announcement(created_at=NOW + n) for n in (-5, 0, 1))
    request = make(ALICE, 5, [["a", coordinate(ALICE)]])
    verdict = judge_offer(request, "user", known(targets_held=read(old, same, later)), SETTINGS)
    assert verdict.evicts == (old.id, same.id)
    assert verdict.bars == (Tombstone(coordinate(ALICE), ALICE, NOW, used=NOW),)


def test_b_5_what_an_announcement_replaced_does_not_come_back_in_its_place() -> None:
    older, named, later = (announcement(created_at=NOW + n) for n in (-9, -5, 1))
    request = make(ALICE, 5, [["e", named.id]])
    for snapshot in (known(targets_held=read(named)), known(targets_served=read(named))):
        bars = judge_offer(request, "user", snapshot, SETTINGS).bars
        assert [is_barred(each, bars) for each in (older, named, later)] == [True, True, False]


def test_b_5_a_request_about_a_request_has_no_effect() -> None:
    first = make(ALICE, 5, [["e", pull_request(ALICE).id]])
    second = make(ALICE, 5, [["e", first.id]], content="undo")
    verdict = judge_offer(second, "user", known(targets_served=read(first)), SETTINGS)
    assert verdict.deletes == ()
    assert not is_barred(first, verdict.bars)


def test_b_5_a_request_of_another_key_covers_nothing() -> None:
    event = announcement(ALICE)
    request = make(BOB, 5, [["e", event.id], ["a", coordinate(ALICE)]])
    verdict = judge_offer(request, "user", known(targets_served=read(event)), SETTINGS)
    assert (verdict.action, verdict.deletes, verdict.evicts) == (Action.SERVE, (), ())
    assert not is_barred(event, verdict.bars)


def test_b_5_what_a_stored_deletion_covers_is_refused_later_and_again() -> None:
    early, late = announcement(created_at=NOW), announcement(created_at=NOW + 1)
    stored = judge_offer(make(ALICE, 5, [["a", coordinate(ALICE)]]), "user", known(), SETTINGS).bars
    assert bar_targets(early) == (early.id, coordinate(ALICE), f"62:{ALICE}:")
    assert is_barred(early, stored)
    assert not is_barred(late, stored)
    verdict = judge_offer(early, "sync", known(deleted=True), SETTINGS)
    assert verdict == Verdict(Action.REFUSE, "invalid: deleted by its author")
    note = make(ALICE, 1)
    assert bar_targets(note) == (note.id, f"62:{ALICE}:")
    assert is_barred(note, [Tombstone(note.id, ALICE, 0)])
    assert judge_offer(note, "user", known(deleted=True, referenced=True), SETTINGS) == verdict
