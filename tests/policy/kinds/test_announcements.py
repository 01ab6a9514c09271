from __future__ import annotations

import attrs
import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import Action, Verdict, covers
from purgatory_sync.records import Tombstone
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    NOW,
    SERVICE,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
)

HELD, SERVED, SOFT = Standing.HELD, Standing.SERVED, Standing.SOFT_EXPIRED
WEEK = 7 * 24 * 3600
HELD_TEXT = "purgatory: won't be served until git data arrives"


def verdict_on(event: Event, snapshot: Known) -> Verdict:
    return judge_offer(event, "user", snapshot, PurgatorySettings())


@pytest.mark.parametrize("identifier", ["", ".", "..", "a/b", "a\\b", "a\x00b", "x" * 252])
def test_b_1_1_bad_identifiers_are_refused(identifier: str) -> None:
    verdict = verdict_on(announcement(identifier=identifier), known())
    assert verdict.action is Action.REFUSE
    assert verdict.message.startswith("invalid: the ")


def test_b_1_8_an_announcement_that_is_here_is_a_duplicate_and_restarts_nothing() -> None:
    for snapshot in (known(served=True), known(held=True)):
        verdict = verdict_on(announcement(), snapshot)
        assert verdict.accepted
        assert verdict.message.startswith("duplicate: ")
        assert attrs.evolve(verdict, message="") == Verdict(Action.DUPLICATE)


def test_b_1_8_older_than_the_served_one_is_a_duplicate() -> None:
    newest = announcement()
    snapshot = known(data((newest, SERVED)), newest_served=newest)
    verdict = verdict_on(announcement(created_at=NOW - 1), snapshot)
    assert (verdict.action, verdict.message[:11]) == (Action.DUPLICATE, "duplicate: ")


def test_b_1_6_on_a_tie_the_lowest_id_is_the_newer() -> None:
    low, high = sorted((announcement(content=str(n)) for n in range(2)), key=lambda e: e.id)
    assert verdict_on(high, known(newest_served=low)).action is Action.DUPLICATE
    snapshot = known(data((high, SERVED)), newest_served=high)
    assert verdict_on(low, snapshot).action is Action.SERVE


NPUB = encode_npub(ALICE)


@pytest.mark.parametrize(
    ("clone", "relay", "service", "listed"),
    [
        (f"https://grasp.example/{NPUB}/r", "wss://grasp.example", SERVICE, False),
        (f"https://grasp.example/prs/{NPUB}/r.git", "wss://grasp.example", SERVICE, False),
        ("https://grasp.example/n/r.git", "wss://grasp.example", SERVICE, False),
        (f"https://grasp.example/{NPUB}/.git", "wss://grasp.example", SERVICE, False),
        (f"https://grasp.example/{NPUB}/r.git", "wss://grasp.example", SERVICE, True),
        (f"https://GRASP.example:443/{NPUB}/r.git", "wss://Grasp.Example:443/", SERVICE, True),
        (f"http://grasp.example/{NPUB}/r.git", "ws://grasp.example", SERVICE, True),
        (f"https://grasp.example:8443/{NPUB}/r.git", "wss://grasp.example", SERVICE, False),
        (f"https://grasp.example.evil/{NPUB}/r.git", "wss://grasp.example", SERVICE, False),
        ("https://evil.example/grasp.example", "wss://grasp.example", SERVICE, False),
        ("https://user:pw@grasp.example/r.git", "wss://grasp.example", SERVICE, False),
        (f"https://grasp.example/{NPUB}/r.git", "wss://other.example", SERVICE, False),
        (f"ssh://grasp.example/{NPUB}/r.git", "wss://grasp.example", SERVICE, False),
        (f"http://127.0.0.1:7334/{NPUB}/r.git", "ws://127.0.0.1:7334", "127.0.0.1:7334", True),
        (f"http://127.0.0.1:7335/{NPUB}/r.git", "ws://127.0.0.1:7334", "127.0.0.1:7334", False),
    ],
)
def test_b_2_1_listed(clone: str, relay: str, service: str, listed: bool) -> None:
    event = make(ALICE, kinds.ANNOUNCEMENT, [["d", "r"], ["clone", clone], ["relays", relay]])
    verdict = verdict_on(event, attrs.evolve(known(), service=service))
    assert verdict.action is (Action.HOLD if listed else Action.REFUSE)


def test_b_2_2_not_listed_is_refused_and_says_what_to_add() -> None:
    verdict = verdict_on(announcement(listed=False), known(data()))
    assert verdict == Verdict(
        Action.REFUSE,
        "invalid: clone and relays must both list this service: add grasp.example to them",
        lacks=("d:repo",),
    )


@pytest.mark.parametrize("standing", [HELD, SERVED])
def test_b_2_2_b_a_co_maintainer_is_served_without_repository(standing: Standing) -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), standing))
    assert verdict_on(announcement(BOB, listed=False), known(of)) == Verdict(Action.SERVE)


@pytest.mark.parametrize("values", [["true"], [" TRUE "], ["1"], [""], []])
def test_b_2_10_a_private_one_is_refused_also_when_members_name_it(values: list[str]) -> None:
    plain = announcement(BOB)
    private = make(BOB, 30617, [*plain.tags, ["private", *values]])
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    for lists in (CurationSettings(), CurationSettings(archive_all=True)):
        for snapshot in (known(of), known(data())):
            verdict = judge_offer(private, "sync", snapshot, PurgatorySettings(), lists)
            assert verdict == Verdict(
                Action.REFUSE,
                "restricted: private repositories need a service that lists GRASP-08",
                bars=(Tombstone(coordinate(BOB), BOB, NOW - 1, NOW + WEEK),),
                private=True,
            )
    public = make(BOB, 30617, [*plain.tags, ["private", "false"]])
    assert verdict_on(public, known(data())).action is Action.HOLD


def test_b_2_10_a_newer_private_one_takes_off_what_is_here() -> None:
    old = announcement(created_at=NOW - 10)
    private = make(ALICE, 30617, [*announcement().tags, ["private", "true"]])
    of = data((old, SERVED), (announcement(BOB, maintainers=[ALICE]), SERVED))
    snapshot = known(of, newest_served=old, left_alone=("1" * 64,))
    verdict = verdict_on(private, snapshot)
    assert verdict.action is Action.REFUSE
    assert verdict.message.endswith("; this repository is no longer served here")
    assert verdict.deletes == (old.id, "1" * 64)
    assert verdict.bars == (Tombstone(coordinate(ALICE), ALICE, NOW - 1),)
    held = verdict_on(private, known(data((old, HELD)), held_announcement=old))
    assert (held.evicts, held.deletes) == ((old.id,), ())
    older = make(ALICE, 30617, private.tags, created_at=NOW - 20)
    late = verdict_on(older, known(data((old, HELD)), held_announcement=old))
    assert late.action is Action.DUPLICATE


def test_b_2_2_what_a_refused_one_replaced_does_not_come_in_where_others_announce() -> None:
    """Bob accepted once, and withdrew it elsewhere: only that is seen here."""
    withdrawn = announcement(BOB, listed=False)
    accepted = announcement(BOB, listed=False, maintainers=[ALICE], created_at=NOW - 10)
    verdict = verdict_on(withdrawn, known(data((announcement(ALICE), SERVED))))
    assert verdict.bars == (Tombstone(coordinate(BOB), BOB, NOW - 1, NOW + WEEK),)
    (bar,) = verdict.bars
    assert [covers(bar, each) for each in (accepted, withdrawn)] == [True, False]
    named = known(data((announcement(ALICE, maintainers=[BOB]), SERVED)))
    assert verdict_on(withdrawn, named) == Verdict(Action.SERVE)
    assert verdict_on(withdrawn, known(data())).bars == ()


def test_b_2_2_b_members_name_others_and_invited_ones_do_not() -> None:
    alice = (announcement(ALICE, maintainers=[BOB]), SERVED)
    for named, action in (([ALICE, CAROL], Action.SERVE), ([CAROL], Action.REFUSE)):
        bob = announcement(BOB, listed=False, maintainers=named)
        snapshot = known(data(alice, (bob, SERVED, False)))
        assert verdict_on(announcement(CAROL, listed=False), snapshot).action is action


def test_b_2_2_b_ones_own_announcement_admits_no_key() -> None:
    mine = announcement(BOB, created_at=NOW - 9, maintainers=[BOB])
    snapshot = known(data((mine, SERVED)), newest_served=mine)
    assert verdict_on(announcement(BOB, listed=False), snapshot).action is Action.REFUSE


def test_b_2_2_b_a_key_without_a_repository_here_that_waits_for_none_admits_no_key() -> None:
    alice = announcement(ALICE, maintainers=[BOB])
    for standing, here, action in (
        (SOFT, False, Action.SERVE),
        (SERVED, True, Action.SERVE),
        (SERVED, False, Action.REFUSE),
    ):
        snapshot = known(data((alice, standing, here)))
        assert verdict_on(announcement(BOB, listed=False), snapshot).action is action


def test_b_2_2_b_whom_a_pointer_leads_to_is_named() -> None:
    tags = [["d", "repo"], ["M", BOB], ["m", ALICE]]
    alice = make(ALICE, 30617, tags)
    assert verdict_on(announcement(BOB, listed=False), known(data((alice, SERVED)))) == Verdict(
        Action.SERVE
    )


def test_b_2_2_a_newer_one_that_no_longer_lists_us_ends_the_served_one() -> None:
    old = announcement(created_at=NOW - 10)
    new = announcement(listed=False)
    verdict = verdict_on(new, known(data((old, SERVED)), newest_served=old))
    assert (verdict.action, verdict.accepted) == (Action.REFUSE, False)
    assert verdict.deletes == (old.id,)
    assert verdict.evicts == ()
    assert verdict.bars == (Tombstone(coordinate(ALICE), ALICE, NOW - 1),)


def test_b_2_2_delisted_but_co_maintainer_replaces_the_served_one() -> None:
    old = announcement(BOB, created_at=NOW - 10)
    of = data((old, SERVED), (announcement(ALICE, maintainers=[BOB]), SERVED))
    verdict = verdict_on(announcement(BOB, listed=False), known(of, newest_served=old))
    assert verdict == Verdict(Action.SERVE, bars=(Tombstone(coordinate(BOB), BOB, NOW - 1),))


def test_b_2_2_the_bar_covers_what_was_delisted_and_not_what_delists() -> None:
    old = announcement(created_at=NOW - 10)
    between = announcement(created_at=NOW - 5)
    new = announcement(listed=False)
    later = announcement(created_at=NOW + 1)
    (bar,) = verdict_on(new, known(data((old, SERVED)), newest_served=old)).bars
    assert [covers(bar, e) for e in (old, between, new, later)] == [True, True, False, False]
    assert not covers(bar, announcement(BOB, created_at=NOW - 10))
    assert not covers(bar, announcement(identifier="other", created_at=NOW - 10))


def test_b_2_2_the_bar_covers_a_version_of_the_same_second() -> None:
    low, high = sorted(
        (announcement(listed=False), announcement(listed=False, content="x")), key=lambda e: e.id
    )
    snapshot = known(data((high, SERVED)), newest_served=high)
    (bar,) = verdict_on(low, snapshot).bars
    assert covers(bar, high)


def test_b_2_3_served_with_repository_serves_the_newer_at_once() -> None:
    old = announcement(created_at=NOW - 10)
    verdict = verdict_on(announcement(), known(data((old, SERVED)), newest_served=old))
    assert verdict == Verdict(Action.SERVE, with_repository=True)


def test_b_2_3_served_without_repository_is_held_with_one() -> None:
    old = announcement(BOB, listed=False, created_at=NOW - 10)
    of = data((old, SERVED, False), (announcement(ALICE, maintainers=[BOB]), SERVED))
    verdict = verdict_on(announcement(BOB), known(of, newest_served=old))
    assert verdict == Verdict(Action.HOLD, HELD_TEXT, with_repository=True)


def test_b_2_3_a_held_version_beside_the_served_one_means_no_proven_data() -> None:
    served = announcement(BOB, listed=False, created_at=NOW - 20)
    held = announcement(BOB, created_at=NOW - 10)
    snapshot = known(data((held, HELD)), newest_served=served, held_announcement=held)
    verdict = verdict_on(announcement(BOB), snapshot)
    assert (verdict.action, verdict.replaces) == (Action.HOLD, (held.id,))


def test_b_2_4_listed_and_new_is_held_with_a_repository() -> None:
    verdict = verdict_on(announcement(), known(data()))
    assert verdict == Verdict(Action.HOLD, HELD_TEXT, with_repository=True)
    assert verdict.accepted


@pytest.mark.parametrize("standing", [HELD, SOFT])
def test_b_2_5_a_newer_one_replaces_the_held_one(standing: Standing) -> None:
    old = announcement(created_at=NOW - 1)
    snapshot = known(data((old, standing)), held_announcement=old)
    verdict = verdict_on(announcement(), snapshot)
    assert verdict == Verdict(Action.HOLD, HELD_TEXT, with_repository=True, replaces=(old.id,))


def test_b_2_5_an_older_one_is_a_duplicate() -> None:
    new = announcement()
    snapshot = known(data((new, HELD)), held_announcement=new)
    for event in (announcement(created_at=NOW - 1), announcement(listed=False, created_at=1)):
        verdict = verdict_on(event, snapshot)
        assert verdict.action is Action.DUPLICATE
        assert verdict.message.startswith("duplicate: ")
        assert verdict.evicts == ()


def test_b_2_5_a_newer_one_that_no_longer_lists_us_evicts() -> None:
    old = announcement(created_at=NOW - 10)
    snapshot = known(data((old, HELD)), held_announcement=old)
    verdict = verdict_on(announcement(listed=False), snapshot)
    assert verdict.action is Action.REFUSE
    assert verdict.evicts == (old.id,)
    assert verdict.bars == (Tombstone(coordinate(ALICE), ALICE, NOW - 1),)


def test_b_2_2_a_delisted_announcement_that_is_replayed_revives_nothing() -> None:
    verdict = verdict_on(announcement(created_at=NOW - 10), known(data(), deleted=True))
    assert verdict == Verdict(Action.REFUSE, "invalid: deleted by its author")


@pytest.mark.parametrize(("standing", "served_here"), [(SERVED, True), (HELD, False)])
def test_b_1_9_what_only_a_held_one_names_counts_among_what_its_author_holds(
    standing: Standing, served_here: bool
) -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), standing))
    settings = PurgatorySettings(max_events_per_author=3)
    for held, served in ((0, 3), (1, 2), (3, 0)):
        snapshot = known(of, held_by_author=held, announced_by_author=served)
        verdict = judge_offer(announcement(BOB, listed=False), "sync", snapshot, settings)
        assert (verdict.action is Action.SERVE) == served_here
        if not served_here:
            assert verdict.message.startswith("rate-limited: too many announcements")
            assert verdict.transient
    snapshot = known(of, held_by_author=1, announced_by_author=1)
    verdict = judge_offer(announcement(BOB, listed=False), "sync", snapshot, settings)
    assert verdict.action is Action.SERVE
