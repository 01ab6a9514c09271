"""B 5.1: whose events and which repositories the operator takes."""

from __future__ import annotations

import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.policy.rules.known_facts import Known
from purgatory_sync.policy.rules.verdict import HELD_MESSAGE, Action, Verdict
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from .support import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    NOW,
    A,
    accepts,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

HELD, SERVED, SOFT = Standing.HELD, Standing.SERVED, Standing.SOFT_EXPIRED
HOLD = Verdict(Action.HOLD, HELD_MESSAGE)
AUTHOR = "blocked: events of this author are not taken here: use another relay"
REPOSITORY = "blocked: this repository is not taken here: list another service"
NOT_NAMED = "blocked: only repositories that the operator named are taken here: ask the operator"
NPUB_A, NPUB_B = encode_npub(ALICE), encode_npub(BOB)


def verdict_on(event: Event, snapshot: Known, lists: CurationSettings) -> Verdict:
    return judge_offer(event, "user", snapshot, PurgatorySettings(), lists)


def black(*listed: str) -> CurationSettings:
    return CurationSettings(repository_blacklist=listed)


def white(*listed: str) -> CurationSettings:
    return CurationSettings(repository_whitelist=listed)


@pytest.mark.parametrize("kind", [0, 1, 5, 1111, 1618, 10317, 30617, 30618])
def test_b_5_1_every_event_of_a_blacklisted_author_is_refused(kind: int) -> None:
    lists = CurationSettings(event_blacklist=(NPUB_A,))
    event = make(ALICE, kind, [["d", "repo"], ["c", A], ["a", coordinate(BOB)]])
    snapshot = known(data((announcement(BOB, maintainers=[ALICE]), SERVED)), referenced=True)
    assert verdict_on(event, snapshot, lists) == Verdict(Action.REFUSE, AUTHOR)
    other = make(CAROL, kind, event.tags)
    assert verdict_on(other, snapshot, lists).message != AUTHOR


@pytest.mark.parametrize("fields", [{"served": True}, {"held": True}, {"newest_served": True}])
def test_b_5_1_the_author_is_judged_before_anything_else(fields: dict[str, bool]) -> None:
    lists = CurationSettings(event_blacklist=(NPUB_A,))
    fields = {n: announcement() if n == "newest_served" else v for n, v in fields.items()}  # type: ignore[misc]
    assert verdict_on(announcement(), known(**fields), lists).message == AUTHOR


@pytest.mark.parametrize(
    ("listed", "blocked"),
    [
        (NPUB_A, True),
        (f"{NPUB_A}/repo", True),
        ("repo", True),
        (NPUB_B, False),
        (f"{NPUB_B}/repo", False),
        (f"{NPUB_A}/other", False),
        ("other", False),
        ("rep", False),
        ("Repo", False),
    ],
)
def test_b_5_1_announcements_by_each_form_of_both_lists(listed: str, blocked: bool) -> None:
    refused = Verdict(Action.REFUSE, REPOSITORY)
    taken = Verdict(Action.HOLD, HELD_MESSAGE, with_repository=True)
    assert verdict_on(announcement(), known(), black(listed)) == (refused if blocked else taken)
    not_named = Verdict(Action.REFUSE, NOT_NAMED, lacks=("d:repo",))
    assert verdict_on(announcement(), known(), white(listed)) == (taken if blocked else not_named)


def test_b_5_1_an_identifier_that_looks_like_a_key_opens_no_list() -> None:
    event = announcement(BOB, identifier=NPUB_A)
    assert verdict_on(event, known(), white(NPUB_A)).message == NOT_NAMED
    assert verdict_on(event, known(), black(NPUB_A)).action is Action.HOLD


def test_b_5_1_blacklists_win() -> None:
    for lists in (
        CurationSettings(repository_blacklist=("repo",), repository_whitelist=(NPUB_A,)),
        CurationSettings(repository_blacklist=(NPUB_A,), repository_whitelist=("repo",)),
    ):
        assert verdict_on(announcement(), known(), lists).message == REPOSITORY
    lists = CurationSettings(event_blacklist=(NPUB_A,), repository_whitelist=(NPUB_A,))
    assert verdict_on(announcement(), known(), lists).message == AUTHOR


def test_b_5_1_a_newer_version_of_what_is_served_is_judged_too_and_the_served_one_stays() -> None:
    old = announcement(created_at=NOW - 10)
    snapshot = known(data((old, SERVED)), newest_served=old)
    for lists, text in ((black("repo"), REPOSITORY), (white("other"), NOT_NAMED)):
        verdict = verdict_on(announcement(), snapshot, lists)
        assert (verdict.message, verdict.deletes, verdict.bars) == (text, (), ())


def test_b_5_1_delisting_works_with_every_whitelist() -> None:
    old = announcement(created_at=NOW - 10)
    snapshot = known(data((old, SERVED)), newest_served=old)
    verdict = verdict_on(announcement(listed=False), snapshot, white("other"))
    assert (verdict.message[:9], verdict.deletes) == ("invalid: ", (old.id,))


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("standing", [HELD, SERVED])
def test_b_2_2_b_a_co_maintainer_of_a_named_repository_is_served_without_one(
    listed: bool, standing: Standing
) -> None:
    snapshot = known(data((announcement(ALICE, maintainers=[BOB]), standing)))
    verdict = verdict_on(announcement(BOB, listed=listed), snapshot, white(f"{NPUB_A}/repo"))
    assert verdict == Verdict(Action.SERVE)


def test_b_2_2_b_a_held_version_of_a_co_maintainer_leaves_with_its_repository() -> None:
    old = announcement(BOB, created_at=NOW - 1)
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), (old, HELD))
    verdict = verdict_on(announcement(BOB), known(of, held_announcement=old), white(NPUB_A))
    assert verdict == Verdict(Action.SERVE, evicts=(old.id,))


def test_b_2_2_b_a_key_that_others_name_is_not_admitted() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED))
    lists = white(encode_npub(CAROL))
    assert verdict_on(announcement(BOB), known(of), lists) == Verdict(
        Action.REFUSE, NOT_NAMED, lacks=("d:repo",)
    )
    blacklisted = verdict_on(announcement(BOB), known(of), black(NPUB_B))
    assert blacklisted == Verdict(Action.REFUSE, REPOSITORY)


def test_b_5_1_states_of_repositories_that_are_not_taken() -> None:
    of = data((announcement(ALICE, maintainers=[BOB]), SERVED), accepts(BOB))
    snapshot = known(of, objects_here=True)
    for author in (ALICE, BOB):
        for lists, text in (
            (black(NPUB_A), REPOSITORY),
            (black("repo"), REPOSITORY),
            (
                CurationSettings(event_blacklist=(NPUB_A,)),
                AUTHOR if author == ALICE else REPOSITORY,
            ),
            (white("other"), NOT_NAMED),
            (white(NPUB_B), NOT_NAMED),
        ):
            assert verdict_on(state(author), snapshot, lists).message == text
        assert verdict_on(state(author), snapshot, white(NPUB_A)) == Verdict(Action.SERVE)
    assert verdict_on(state(BOB), snapshot, black(NPUB_B)) == Verdict(Action.SERVE)


def test_b_5_1_a_state_that_concerns_one_that_is_taken_stays() -> None:
    of = data(
        (announcement(ALICE, maintainers=[BOB]), SERVED),
        (announcement(BOB, maintainers=[ALICE]), SERVED),
    )
    assert verdict_on(state(ALICE), known(of), black(NPUB_A)) == HOLD
    assert verdict_on(state(ALICE), known(of), white(NPUB_B)) == HOLD
    assert verdict_on(state(ALICE), known(of), black(NPUB_A, NPUB_B)).message == REPOSITORY


def test_b_2_8_a_state_that_lacks_its_announcement_is_judged_again_when_one_comes() -> None:
    blocked = Verdict(Action.REFUSE, REPOSITORY, lacks=("d:repo",))
    assert verdict_on(state(), known(), black(f"{NPUB_A}/repo")) == blocked
    assert verdict_on(state(), known(), white(NPUB_B)) == Verdict(
        Action.REFUSE, "invalid: no announcement exists for this repository", lacks=("d:repo",)
    )


def test_b_5_1_prs_of_repositories_that_are_not_taken() -> None:
    snapshot = known(data((announcement(), SERVED)), referenced=True)
    assert verdict_on(pull_request(), snapshot, black("repo")).message == REPOSITORY
    assert verdict_on(pull_request(), snapshot, white("other")).message == NOT_NAMED
    assert verdict_on(pull_request(), snapshot, white("repo")) == HOLD
    absent = known(referenced=True)
    assert verdict_on(pull_request(), absent, black(NPUB_A)).message == REPOSITORY
    assert verdict_on(pull_request(owners=[ALICE, BOB]), absent, black(NPUB_A)) == HOLD
    assert verdict_on(pull_request(owners=[]), absent, black(NPUB_A)) == HOLD


def test_b_4_3_a_pr_with_several_repositories_stays_for_the_one_that_is_taken() -> None:
    tags = [["c", A], ["a", coordinate(ALICE)], ["a", coordinate(BOB, "other")]]
    both = known(
        data((announcement(), SERVED)),
        data((announcement(BOB, "other"), SERVED), identifier="other"),
    )
    event = make(CAROL, kinds.PULL_REQUEST, tags)
    assert verdict_on(event, both, black("repo")) == HOLD
    refused = verdict_on(event, both, black("repo", "other"))
    assert refused == Verdict(Action.REFUSE, REPOSITORY, lacks=("d:repo", "d:other"))


def test_b_5_1_other_events_are_judged_by_their_author_only() -> None:
    issue = make(MALLORY, 1621, [["a", coordinate(ALICE)]])
    assert verdict_on(issue, known(referenced=True), black("repo")) == Verdict(Action.SERVE)


@pytest.mark.parametrize("lists", [black("x"), white("x")])
def test_b_5_1_malformed_events_are_refused_for_what_is_wrong_with_them(
    lists: CurationSettings,
) -> None:
    for event in (announcement(identifier=".."), make(ALICE, 30618), make(ALICE, 1618)):
        assert verdict_on(event, known(), lists).message.startswith("invalid: ")
