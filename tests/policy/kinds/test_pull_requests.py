from __future__ import annotations

from typing import Literal

import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import Action, Verdict
from purgatory_sync.settings import PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    A,
    accepts,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
    pull_request,
)

HOLD = Verdict(Action.HOLD, "purgatory: won't be served until git data arrives")
UNREFERENCED = "invalid: must reference an accepted repository or event"
SERVED = data((announcement(ALICE, maintainers=[BOB]), Standing.SERVED), accepts(BOB))


def verdict_on(event: Event, snapshot: Known, origin: Literal["user", "sync"] = "user") -> Verdict:
    return judge_offer(event, origin, snapshot, PurgatorySettings())


@pytest.mark.parametrize("commit", ["", "abc", "z" * 40, A + "a"])
def test_b_1_5_the_commit_is_required(commit: str) -> None:
    verdict = verdict_on(pull_request(commit=commit), known(SERVED))
    assert verdict.action is Action.REFUSE
    assert verdict.message.startswith("invalid: the c tag")


@pytest.mark.parametrize("standing", [Standing.SERVED, Standing.HELD])
def test_b_4_1_admitted_for_served_and_held_repositories(standing: Standing) -> None:
    assert verdict_on(pull_request(), known(data((announcement(), standing)))) == HOLD


def test_b_4_1_a_tagged_maintainer_is_enough() -> None:
    assert verdict_on(pull_request(owners=[BOB]), known(SERVED)) == HOLD


def test_b_4_1_who_is_only_invited_brings_nothing_to_the_owner() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), Standing.SERVED))
    assert verdict_on(pull_request(owners=[BOB]), known(of)).message == UNREFERENCED


def test_b_4_1_an_owner_who_is_forwarded_is_named_itself() -> None:
    tags = [["d", "repo"], ["M", ALICE], ["m", BOB]]
    alice, bob = make(ALICE, 30617, [["d", "repo"], ["M", ALICE]]), make(BOB, 30617, tags)
    of = data((alice, Standing.SERVED), (bob, Standing.SERVED))
    assert of.maintainer_set(BOB) == {ALICE}
    assert verdict_on(pull_request(owners=[BOB]), known(of)) == HOLD
    held = data((alice, Standing.SERVED), (bob, Standing.HELD))
    assert verdict_on(pull_request(owners=[BOB]), known(held)).message == UNREFERENCED


def test_b_4_1_the_author_does_not_matter_but_the_tags_do() -> None:
    assert verdict_on(pull_request(ALICE, owners=[MALLORY]), known(SERVED)).message == UNREFERENCED
    assert verdict_on(pull_request(owners=[]), known()).message == UNREFERENCED


def test_b_4_1_the_identifier_counts() -> None:
    event = make(CAROL, 1618, [["c", A], ["a", coordinate(ALICE, "other")]])
    empty = data(identifier="other")
    assert verdict_on(event, known(SERVED, empty)).message == UNREFERENCED


def test_b_4_3_any_of_several_identifiers_admits() -> None:
    tags = [["c", A], ["a", coordinate(ALICE, "other")], ["a", coordinate(ALICE)]]
    assert verdict_on(make(CAROL, kinds.PULL_REQUEST_UPDATE, tags), known(SERVED)) == HOLD


def test_b_4_1_admitted_by_reference_is_held_still() -> None:
    snapshot = known(referenced=True, objects_here=True)
    assert verdict_on(pull_request(owners=[]), snapshot) == HOLD


def test_b_4_2_commit_here_is_released_now() -> None:
    assert verdict_on(pull_request(), known(SERVED, objects_here=True)) == Verdict(Action.SERVE)


@pytest.mark.parametrize("commit", ["a" * 64, "0" * 40])
def test_b_4_2_a_commit_that_can_never_be_here_waits(commit: str) -> None:
    event = pull_request(commit=commit)
    assert verdict_on(event, known(SERVED, objects_here=True)) == HOLD


def test_b_8_9_expired_before_comes_back_from_users_only() -> None:
    snapshot = known(SERVED, expired=True)
    assert verdict_on(pull_request(), snapshot, "user") == HOLD
    assert verdict_on(pull_request(), snapshot, "sync") == Verdict(
        Action.REFUSE, "invalid: previously expired from purgatory without git data"
    )


def test_b_1_8_duplicates() -> None:
    for snapshot in (known(SERVED, served=True), known(SERVED, held=True)):
        assert verdict_on(pull_request(), snapshot).action is Action.DUPLICATE
