from __future__ import annotations

import pytest

from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.policy.authority import (
    PrRuling,
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
    accepts,
    announcement,
    data,
    make,
    parsed_state,
    pull_request,
)


def tagged(author: str, *tags: list[str]) -> Event:
    """An announcement that lists us, with role tags."""
    plain = announcement(author)
    return make(author, 30617, [*(t for t in plain.tags if t[0] != "maintainers"), *tags])


HELD, SERVED, SOFT = Standing.HELD, Standing.SERVED, Standing.SOFT_EXPIRED


def test_b_7_2_released_to_every_owner_whose_set_holds_the_author() -> None:
    of = data(
        (announcement(ALICE, maintainers=[BOB]), SERVED),
        (announcement(BOB, maintainers=[ALICE]), SERVED),
        (announcement(CAROL, maintainers=[ALICE]), SERVED),
    )
    ruling = rule_state(parsed_state(ALICE), of, [])
    assert ruling == StateRuling(Ruled.RELEASE, (ALICE, BOB))


def test_b_7_2_repositories_that_are_not_here_get_nothing() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), accepts(BOB))
    assert rule_state(parsed_state(ALICE), of, []).owners == (ALICE,)
    nowhere = data((announcement(ALICE), SOFT))
    assert rule_state(parsed_state(ALICE), nowhere, []).outcome is Ruled.WAITS


def test_b_3_4_an_owner_with_a_newer_served_state_keeps_it() -> None:
    """Alice has the lead of a group, and a group of her own where she names only Bob."""
    of = data(
        (announcement(ALICE, maintainers=[BOB]), SERVED),
        (announcement(BOB, maintainers=[ALICE, CAROL]), SERVED),
        (tagged(CAROL, ["M", CAROL], ["m", BOB]), SERVED),
        (tagged(MALLORY, ["M", ALICE], ["m", MALLORY]), SERVED),
    )
    alone = data((announcement(ALICE), SERVED), (tagged(BOB, ["M", BOB], ["m", ALICE]), SERVED))
    newer = parsed_state(BOB, created_at=NOW + 1)
    assert newest_for(BOB, alone, [newer]) == newer
    assert newest_for(ALICE, alone, [newer]) is None
    assert rule_state(parsed_state(ALICE), alone, [newer]) == StateRuling(Ruled.RELEASE, (ALICE,))
    assert rule_state(parsed_state(ALICE), of, [newer]) == StateRuling(Ruled.OUTDATED)


def test_b_3_4_outdated_for_every_owner_moves_no_ref() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), accepts(BOB))
    newer = parsed_state(BOB, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [newer]) == StateRuling(Ruled.OUTDATED)


def test_b_1_6_on_a_tie_the_lowest_id_rules() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), accepts(BOB))
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
    invited = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    assert rule_state(parsed_state(BOB), invited, []) == StateRuling(Ruled.UNAUTHORISED)


def test_b_2_6_held_announcements_of_the_set_are_promoted() -> None:
    mine = announcement(ALICE, maintainers=[BOB])
    bobs = announcement(BOB, maintainers=[ALICE])
    of = data((mine, HELD), (bobs, SERVED), (announcement(CAROL), HELD))
    assert rule_state(parsed_state(ALICE), of, []).promotes == (mine.id,)
    newer = parsed_state(ALICE, created_at=NOW + 1)
    assert rule_state(parsed_state(ALICE), of, [newer]).promotes == ()


def test_b_2_6_who_points_at_a_group_and_is_not_in_it_is_not_promoted() -> None:
    mine, theirs = announcement(ALICE), tagged(MALLORY, ["M", ALICE], ["m", MALLORY])
    led = tagged(ALICE, ["M", ALICE])
    for alice in (mine, led):
        of = data((alice, SERVED), (theirs, HELD))
        assert of.maintainer_set(MALLORY) == frozenset()
        assert rule_state(parsed_state(ALICE), of, []) == StateRuling(Ruled.RELEASE, (ALICE,))
        ruling = rule_pr(PullRequest.parse(pull_request(owners=[ALICE, MALLORY])), of)
        assert ruling == PrRuling((ALICE,), ())


@pytest.mark.parametrize("standing", [HELD, SOFT])
def test_b_3_8_what_made_its_author_a_member_is_served_with_the_state(standing: Standing) -> None:
    """Bob rules nothing of his own: he points at a lead who does not say that it leads."""
    bobs = tagged(BOB, ["M", ALICE], ["m", BOB])
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), (bobs, standing))
    assert of.maintainer_set(BOB) == frozenset()
    ruling = rule_state(parsed_state(BOB), of, [])
    assert ruling == StateRuling(Ruled.RELEASE, (ALICE,), (bobs.id,))


def test_b_3_5_an_empty_state_promotes_nothing() -> None:
    held = data((announcement(ALICE), HELD))
    assert rule_state(parsed_state(ALICE, {}), held, []).outcome is Ruled.WAITS
    bob = announcement(BOB, maintainers=[ALICE])
    mixed = data((announcement(ALICE, maintainers=[BOB]), HELD), (bob, SERVED))
    ruling = rule_state(parsed_state(ALICE, {}), mixed, [])
    assert ruling == StateRuling(Ruled.RELEASE, (ALICE, BOB))


@pytest.mark.parametrize("refs", [{"refs/heads/main": "x"}, {"refs/heads/..": "a" * 40}])
def test_b_1_3_what_can_never_be_satisfied_waits(refs: dict[str, str]) -> None:
    of = data((announcement(ALICE), SERVED))
    assert rule_state(parsed_state(ALICE, refs), of, []).outcome is Ruled.WAITS


def test_b_7_3_a_pull_request_goes_to_every_repository_concerned() -> None:
    bobs = announcement(BOB, maintainers=[ALICE])
    of = data(
        (announcement(ALICE, maintainers=[BOB, MALLORY]), SERVED),
        (bobs, HELD),
        (announcement(CAROL, maintainers=[ALICE]), SERVED),
        (announcement(MALLORY, maintainers=[ALICE]), SERVED, False),
    )
    ruling = rule_pr(PullRequest.parse(pull_request(owners=[ALICE])), of)
    assert ruling.owners == (ALICE, BOB)
    assert ruling.promotes == (bobs.id,)
    assert rule_pr(PullRequest.parse(pull_request(owners=["e" * 64])), of).owners == ()
