from __future__ import annotations

from typing import Literal

import pytest

from purgatory_sync.nostr.authority.repository_data import RepositoryData, Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import Action, Verdict
from purgatory_sync.settings import PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    NOW,
    A,
    accepts,
    announcement,
    data,
    judge_offer,
    known,
    state,
)

HELD, SERVED, SOFT = Standing.HELD, Standing.SERVED, Standing.SOFT_EXPIRED
HOLD = Verdict(Action.HOLD, "purgatory: won't be served until git data arrives")


def verdict_on(event: Event, snapshot: Known, origin: Literal["user", "sync"] = "user") -> Verdict:
    return judge_offer(event, origin, snapshot, PurgatorySettings())


def of_alice(standing: Standing = SERVED, *maintainers: str) -> RepositoryData:
    """Alice's, and those who accept that she names them."""
    mine = announcement(ALICE, maintainers=maintainers)
    return data((mine, standing), *map(accepts, maintainers))


def test_b_1_3_conflicting_refs_are_refused() -> None:
    event = state(refs={"refs/heads/x": A, "refs/heads/x/y": A})
    verdict = verdict_on(event, known(of_alice()))
    assert verdict.action is Action.REFUSE
    assert (
        verdict.message == "invalid: the refs refs/heads/x and refs/heads/x/y cannot exist together"
    )


def test_b_1_3_a_value_that_is_no_oid_is_held_and_never_released() -> None:
    event = state(refs={"refs/heads/main": A, "refs/heads/bad": "--upload-pack=evil"})
    assert verdict_on(event, known(of_alice(), objects_here=True)) == HOLD


def test_b_1_3_a_state_whose_refs_were_all_skipped_is_never_released() -> None:
    event = state(refs={"refs/heads/a..b": A})
    assert verdict_on(event, known(of_alice(), objects_here=True)) == HOLD


def test_b_1_8_older_than_the_authors_served_state_is_a_duplicate() -> None:
    newest = state()
    snapshot = known(of_alice(), newest_served=newest)
    assert verdict_on(state(created_at=NOW - 1), snapshot).action is Action.DUPLICATE


@pytest.mark.parametrize("of", [(), (data(),)])
def test_b_3_1_no_announcement(of: tuple[RepositoryData, ...]) -> None:
    assert verdict_on(state(), known(*of)) == Verdict(
        Action.REFUSE, "invalid: no announcement exists for this repository", lacks=("d:repo",)
    )


def test_b_3_1_author_in_no_set() -> None:
    verdict = verdict_on(state(MALLORY), known(of_alice(SERVED, BOB)))
    assert (verdict.action, verdict.lacks) == (Action.REFUSE, ("d:repo",))
    assert verdict.message == (
        "restricted: author not authorized for this repository: no maintainer names you: ask one "
        "to do it, or announce this repository yourself"
    )


def test_b_3_1_who_is_invited_is_told_what_to_publish() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    verdict = verdict_on(state(BOB), known(of, objects_here=True))
    assert (verdict.action, verdict.lacks) == (Action.REFUSE, ("d:repo",))
    assert verdict.message == (
        "restricted: author not authorized for this repository: you are invited by "
        f"{encode_npub(ALICE)}: publish your own announcement (kind 30617) of this identifier "
        "that names them"
    )


@pytest.mark.parametrize("standing", [HELD, SERVED, SOFT])
def test_b_3_1_who_accepted_counts_wherever_his_announcement_stands(standing: Standing) -> None:
    bob = announcement(BOB, maintainers=[ALICE])
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), (bob, standing))
    assert verdict_on(state(BOB), known(of)).action is Action.HOLD


def test_b_3_1_members_name_members() -> None:
    of = data(
        (announcement(ALICE, maintainers=[BOB]), HELD),
        (announcement(BOB, maintainers=[CAROL, ALICE]), HELD),
        accepts(CAROL, BOB),
    )
    assert verdict_on(state(CAROL), known(of)) == HOLD


def test_b_2_7_soft_expired_counts_as_held_and_is_revived() -> None:
    of = of_alice(SOFT)
    verdict = verdict_on(state(), known(of))
    assert verdict.action is Action.HOLD
    assert verdict.revives == (of.known[ALICE].announcement.event.id,)
    assert verdict_on(state(MALLORY), known(of)).revives == ()


def test_b_3_2_all_objects_here_is_released_now_without_a_text() -> None:
    for standing in (SERVED, HELD):
        snapshot = known(of_alice(standing), objects_here=True)
        assert verdict_on(state(), snapshot) == Verdict(Action.SERVE)


def test_b_2_7_what_is_released_revives_the_other_owners_too() -> None:
    bob = announcement(BOB, maintainers=[ALICE])
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), (bob, SOFT))
    verdict = verdict_on(state(), known(of, objects_here=True))
    assert verdict == Verdict(Action.SERVE, revives=(bob.id,))


def test_b_3_2_without_a_repository_nothing_is_released() -> None:
    of = data((announcement(ALICE, listed=False), SERVED, False))
    assert verdict_on(state(), known(of, objects_here=True)) == HOLD


def test_b_3_3_held_for_users_and_relays() -> None:
    assert verdict_on(state(), known(of_alice()), "user") == HOLD
    assert verdict_on(state(), known(of_alice()), "sync") == HOLD


def test_b_3_3_expired_before_is_held_anew_for_users_only() -> None:
    snapshot = known(of_alice(), expired=True)
    assert verdict_on(state(), snapshot, "user") == HOLD
    assert verdict_on(state(), snapshot, "sync") == Verdict(
        Action.REFUSE, "invalid: previously expired from purgatory without git data"
    )
    here = known(of_alice(), expired=True, objects_here=True)
    assert verdict_on(state(), here, "sync") == Verdict(Action.SERVE)


@pytest.mark.parametrize("refs", [{}, {"refs/heads/main": "ref: refs/heads/x"}])
def test_b_3_5_an_empty_state_waits_while_all_its_announcements_are_held(
    refs: dict[str, str],
) -> None:
    event = state(refs=refs)
    assert verdict_on(event, known(of_alice(HELD), objects_here=True)) == HOLD
    assert verdict_on(event, known(of_alice(SERVED), objects_here=True)).action is Action.SERVE
    bob = announcement(BOB, maintainers=[ALICE])
    mixed = data((announcement(ALICE, maintainers=[BOB]), HELD), (bob, SERVED))
    assert verdict_on(event, known(mixed, objects_here=True)).action is Action.SERVE


def test_b_5_deleted_before() -> None:
    assert verdict_on(state(), known(of_alice(), deleted=True)) == Verdict(
        Action.REFUSE, "invalid: deleted by its author"
    )
