from __future__ import annotations

import pytest

from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.policy.authority import (
    Ruled,
    StateRuling,
    newest_for,
    rule_pr,
    rule_state,
)

from .support import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    NOW,
    announcement,
    data,
    parsed_state,
    pull_request,
)

HELD, SERVED, SOFT = Standing.HELD, Standing.SERVED, Standing.SOFT_EXPIRED


def test_b_7_2_released_to_every_owner_whose_set_holds_the_author() -> None:
    of = data(
        (announcement(ALICE), SERVED),
        (announcement(BOB, maintainers=[ALICE]), SERVED),
        (announcement(CAROL), SERVED),
    )
    ruling = rule_state(parsed_state(ALICE), of, [])
    assert ruling == StateRuling(Ruled.RELEASE, (ALICE, BOB))


def test_b_7_2_repositories_that_are_not_here_get_nothing() -> None:
    of = data(
        (announcement(ALICE), SERVED), (announcement(BOB, maintainers=[ALICE]), SERVED, False)
    )
    assert rule_state(parsed_state(ALICE), of, []).owners == (ALICE,)
    nowhere = data((announcement(ALICE), SOFT))
    assert rule_state(parsed_state(ALICE), nowhere, []).outcome is Ruled.WAITS


def test_b_3_4_an_owner_with_a_newer_served_state_keeps_it() -> None:
    of = data((announcement(ALICE), SERVED), (announcement(BOB, maintainers=[ALICE]), SERVED))
    newer = parsed_state(BOB, created_at=NOW + 1)
    assert newest_for(BOB, of, [newer]) == newer
    assert newest_for(ALICE, of, [newer]) is None
    assert rule_state(parsed_state(ALICE), of, [newer]) == StateRuling(Ruled.RELEASE, (ALICE,))


def test_b_3_4_outdated_for_every_owner_moves_no_ref() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    newer = parsed_state(BOB, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [newer]) == StateRuling(Ruled.OUTDATED)


def test_b_1_6_on_a_tie_the_lowest_id_rules() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    low, high = sorted((parsed_state(ALICE), parsed_state(BOB)), key=lambda s: s.event.id)
    assert rule_state(low, of, [high]).outcome is Ruled.RELEASE
    assert rule_state(high, of, [low]).outcome is Ruled.OUTDATED


def test_b_1_6_the_authors_own_newer_served_state_supersedes() -> None:
    of = data((announcement(ALICE), SERVED))
    newer = parsed_state(ALICE, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [newer]) == StateRuling(Ruled.SUPERSEDED)


def test_b_7_2_a_strangers_newer_state_does_not_count() -> None:
    of = data((announcement(ALICE), SERVED))
    stranger = parsed_state(MALLORY, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [stranger]).owners == (ALICE,)


def test_b_7_1_judged_again_after_it_was_served_is_released_again() -> None:
    of = data((announcement(ALICE), SERVED))
    state = parsed_state(ALICE)
    assert rule_state(state, of, [state]).owners == (ALICE,)


def test_b_7_2_author_in_no_set_any_more_stays_held() -> None:
    of = data((announcement(ALICE), SERVED))
    assert rule_state(parsed_state(BOB), of, []) == StateRuling(Ruled.UNAUTHORISED)


def test_b_2_6_held_announcements_of_the_set_are_promoted() -> None:
    mine, bobs = announcement(ALICE), announcement(BOB, maintainers=[ALICE])
    of = data((mine, HELD), (bobs, SERVED), (announcement(CAROL), HELD))
    assert rule_state(parsed_state(ALICE), of, []).promotes == (mine.id,)
    newer = parsed_state(ALICE, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [newer]).promotes == ()


def test_b_3_5_an_empty_state_promotes_nothing() -> None:
    held = data((announcement(ALICE), HELD))
    assert rule_state(parsed_state(ALICE, {}), held, []).outcome is Ruled.WAITS
    mixed = data((announcement(ALICE), HELD), (announcement(BOB, maintainers=[ALICE]), SERVED))
    ruling = rule_state(parsed_state(ALICE, {}), mixed, [])
    assert ruling == StateRuling(Ruled.RELEASE, (ALICE, BOB))


@pytest.mark.parametrize("refs", [{"refs/heads/main": "x"}, {"refs/heads/..": "a" * 40}])
def test_b_1_3_what_can_never_be_satisfied_waits(refs: dict[str, str]) -> None:
    of = data((announcement(ALICE), SERVED))
    assert rule_state(parsed_state(ALICE, refs), of, []).outcome is Ruled.WAITS


def test_b_7_3_a_pull_request_goes_to_every_repository_concerned() -> None:
    bobs = announcement(BOB, maintainers=[ALICE])
    of = data(
        (announcement(ALICE), SERVED),
        (bobs, HELD),
        (announcement(CAROL), SERVED),
        (announcement(MALLORY, maintainers=[ALICE]), SERVED, False),
    )
    ruling = rule_pr(PullRequest.parse(pull_request(owners=[ALICE])), of)
    assert ruling.owners == (ALICE, BOB)
    assert ruling.promotes == (bobs.id,)
    assert rule_pr(PullRequest.parse(pull_request(owners=["e" * 64])), of).owners == ()
