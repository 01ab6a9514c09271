"""The table of B 6.5 and 4.3: what a push is allowed, without a repository."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from purgatory_sync.errors import PushRefused
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import (
    KnownAnnouncement,
    RepositoryData,
    Standing,
)
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.nostr.state import State
from purgatory_sync.policy.push import PushKnown, PushVerdict, event_ids_of, judge_push
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

OWNER, MAINTAINER, STRANGER, INVITED = (Author.from_seed(n) for n in (1, 2, 3, 4))
A, B, C = "a" * 40, "b" * 40, "c" * 40
MAIN, DEV, TAG = "refs/heads/main", "refs/heads/dev", "refs/tags/v1"
ID = "5" * 64
NOSTR = f"refs/nostr/{ID}"


def announced(standing: Standing = Standing.SERVED) -> RepositoryData:
    mine = events.announcement(OWNER, "repo", maintainers=[MAINTAINER, INVITED])
    theirs = events.announcement(MAINTAINER, "repo", maintainers=[OWNER])
    return RepositoryData.of(
        "repo",
        [
            KnownAnnouncement(Announcement.parse(mine), standing),
            KnownAnnouncement(Announcement.parse(theirs), Standing.SERVED, False),
        ],
    )


def state(refs: Mapping[str, str], author: Author = OWNER, at: int = 10) -> State:
    return State.parse(events.state(author, "repo", refs, created_at=at))


def pull_request(commit: str, owner: Author = OWNER) -> PullRequest:
    return PullRequest.parse(events.pull_request(STRANGER, [owner.coordinate("repo")], commit))


def known(
    refs: Mapping[str, str] | None = None,
    *,
    held: tuple[State, ...] = (),
    served: tuple[State, ...] = (),
    events: Mapping[str, PullRequest | None] | None = None,
) -> PushKnown:
    return PushKnown(OWNER.pubkey, announced(), refs or {}, held, served, events or {})


def reason(changes: Mapping[str, str | None], what: PushKnown) -> str:
    with pytest.raises(PushRefused) as refused:
        judge_push(changes, what)
    return str(refused.value)


@pytest.mark.parametrize(
    ("refs", "changes", "wanted"),
    [
        ({}, {MAIN: A}, {MAIN: A}),
        ({MAIN: A}, {MAIN: B}, {MAIN: B}),
        ({MAIN: A, DEV: B}, {DEV: None}, {MAIN: A}),
        ({MAIN: A, DEV: B}, {DEV: None, TAG: C, MAIN: B}, {MAIN: B, TAG: C}),
        ({MAIN: A, NOSTR: C}, {DEV: B}, {MAIN: A, DEV: B}),
        ({MAIN: A}, {MAIN: None}, {}),
    ],
)
def test_b_6_5_overlaid_refs_equal_a_held_state(
    refs: dict[str, str], changes: dict[str, str | None], wanted: dict[str, str]
) -> None:
    held = state(wanted)
    assert judge_push(changes, known(refs, held=(held,))) == PushVerdict(held)


@pytest.mark.parametrize(
    ("refs", "changes"),
    [
        ({MAIN: A}, {MAIN: A}),
        ({MAIN: A}, {DEV: None}),
        ({MAIN: A}, {MAIN: A, DEV: None}),
        ({MAIN: A, NOSTR: B}, {NOSTR: B}),
    ],
)
def test_b_6_5_a_push_that_changes_nothing_needs_no_state(
    refs: dict[str, str], changes: dict[str, str | None]
) -> None:
    assert judge_push(changes, known(refs)).changes_nothing


def test_b_6_5_the_newest_match_rules() -> None:
    older, newer = state({MAIN: A}, at=10), state({MAIN: A}, MAINTAINER, at=20)
    other = state({MAIN: B}, at=30)
    verdict = judge_push({MAIN: A}, known(held=(older, newer, other)))
    assert verdict.state == newer


def test_b_6_5_author_must_be_in_the_owners_set() -> None:
    said = reason({MAIN: A}, known(held=(state({MAIN: A}, STRANGER),)))
    assert "signed by no maintainer of this repository: no maintainer names you" in said
    assert "no state event" in reason({MAIN: A}, known(held=(state({MAIN: B}, STRANGER),)))


def test_b_6_6_who_is_invited_is_told_what_is_missing() -> None:
    said = reason({MAIN: A}, known(held=(state({MAIN: B}), state({MAIN: A}, INVITED))))
    assert f"you are invited by {OWNER.npub}: publish your own announcement" in said


def test_b_6_6_where_no_key_rules_the_reason_says_why() -> None:
    tags = [("d", "repo"), ("M", MAINTAINER.pubkey), ("m", OWNER.pubkey)]
    pointing = KnownAnnouncement(Announcement.parse(OWNER.sign(30617, "", tags)))
    of = RepositoryData.of("repo", [pointing])
    said = reason({MAIN: A}, PushKnown(OWNER.pubkey, of, held=(state({MAIN: A}),)))
    assert said.startswith(f"no key may push here: the lead {MAINTAINER.npub} has no announcement")


def test_b_6_5_no_state_at_all() -> None:
    assert "publish the state first" in reason({MAIN: A}, known())


def test_b_6_5_a_repository_that_lags_behind_the_newest_served_state() -> None:
    old, new = state({MAIN: A}, at=10), state({MAIN: B}, MAINTAINER, at=20)
    assert judge_push({MAIN: B}, known({MAIN: A}, served=(old, new))) == PushVerdict(new)
    assert "the state says bbbbbbbbbb" in reason({MAIN: A}, known({}, served=(old, new)))


def test_b_3_4_a_held_state_older_than_the_served_one_authorises_nothing() -> None:
    held, served = state({MAIN: B}, at=10), state({MAIN: A}, at=20)
    assert "refs/heads/main would be bbb" in reason(
        {MAIN: B}, known({MAIN: A}, held=(held,), served=(served,))
    )


def test_b_1_3_a_state_that_can_never_be_satisfied_authorises_nothing() -> None:
    held = state({MAIN: A, DEV: "not an oid"})
    assert held.unsatisfiable
    assert "no state event" in reason({MAIN: A}, known(held=(held,)))
    assert "no state event" in reason({MAIN: A}, known(served=(held,)))


def test_b_6_6_the_reason_names_at_most_ten_refs() -> None:
    many = {f"refs/heads/b{number:02}": A for number in range(30)}
    said = reason({"refs/heads/b00": A}, known(held=(state(many),)))
    assert said.count("is missing") == 10
    assert "and 19 more" in said
    assert "they belong into one push" in said
    assert "b01 is missing, the state says aaaaaaaaaa," in said


def test_b_6_6_ten_refs_are_all_of_ten() -> None:
    many: dict[str, str | None] = {f"refs/x/{n}": A for n in range(10)}
    assert "more" not in reason(many, known())
    assert " and 1 more: " in reason({**many, "refs/x/last": A}, known())


def test_b_6_6_the_reason_names_what_is_not_in_the_state() -> None:
    said = reason({MAIN: A, DEV: B}, known(held=(state({MAIN: A}),)))
    assert "refs/heads/dev is not in the state" in said
    assert "refs/heads/main" not in said


def test_b_6_6_the_reason_says_whether_a_state_or_a_part_of_the_push_is_missing() -> None:
    now, next_ = state({MAIN: A}, at=10), state({MAIN: B, DEV: B}, at=20)
    without = known({MAIN: A}, served=(now,))
    said = reason({MAIN: B}, without)
    assert "refs/heads/main would be bbbbbbbbbb, the state says aaaaaaaaaa" in said
    assert "publish the new state (kind 30618) first" in said
    assert "refs/heads/main is missing" in reason({MAIN: None}, without)
    said = reason({MAIN: B}, attrs.evolve(without, held=(next_,)))
    assert "refs/heads/dev is missing" in said
    assert "push all refs of the state at once" in said
    assert "publish" not in said
    # Behind what is served: the state is there, and everything of it may be pushed.
    assert "publish" not in reason({MAIN: A}, known({}, served=(next_,)))


@pytest.mark.parametrize(
    "name",
    [
        "HEAD",
        "refs/notes/commits",
        "refs/nostr/short",
        f"refs/nostr/{'A' * 64}",
        f"{NOSTR}/x",
        "refs/x",
    ],
)
def test_b_6_5_other_refs_are_refused(name: str) -> None:
    assert name in reason({MAIN: A, name: A}, known(held=(state({MAIN: A}),)))


def test_b_4_3_a_commit_before_its_event_is_a_placeholder() -> None:
    assert judge_push({NOSTR: A}, known({MAIN: B})) == PushVerdict(None, {NOSTR: A}, (ID,))


def test_b_4_3_no_push_overwrites_or_deletes_a_placeholder() -> None:
    assert "cannot be changed" in reason({NOSTR: B}, known({NOSTR: A}))
    assert "cannot be deleted" in reason({NOSTR: None}, known({NOSTR: A}))
    assert "cannot be deleted" in reason({NOSTR: None}, known())


def test_b_4_3_the_same_commit_again_or_elsewhere_is_accepted() -> None:
    assert judge_push({NOSTR: A}, known({NOSTR: A})).changes_nothing
    elsewhere = attrs.evolve(known(), owner=STRANGER.pubkey)
    assert judge_push({NOSTR: A}, elsewhere) == PushVerdict(None, {NOSTR: A}, (ID,))


def test_b_4_3_the_tip_is_the_known_events_commit() -> None:
    events_known = {ID: pull_request(A)}
    assert judge_push({NOSTR: A}, known(events=events_known)) == PushVerdict(None, {NOSTR: A})
    assert judge_push({NOSTR: A}, known({NOSTR: B}, events=events_known)).nostr == {NOSTR: A}
    assert "another commit" in reason({NOSTR: B}, known(events=events_known))
    assert "another commit" in reason({NOSTR: B}, known(events={ID: None}))
    other = {ID: pull_request(A, owner=STRANGER)}
    assert "another repository" in reason({NOSTR: A}, known(events=other))


def test_b_4_3_a_push_is_all_or_nothing() -> None:
    assert "no state event" in reason({NOSTR: A, MAIN: A}, known())
    held = state({MAIN: A})
    assert judge_push({NOSTR: A, MAIN: A}, known(held=(held,))) == PushVerdict(
        held, {NOSTR: A}, (ID,)
    )


def test_event_ids() -> None:
    assert event_ids_of({MAIN: A, NOSTR: B, "refs/nostr/x": A}) == (ID,)


names = st.sampled_from([MAIN, DEV, TAG, "refs/heads/x"])
maps = st.dictionaries(names, st.sampled_from([A, B, C]))


@bounds(max_examples=100, deadline=None)
@given(maps, maps, st.dictionaries(names, st.sampled_from([A, B, C, None])))
def test_b_6_5_what_is_allowed_is_exactly_the_state(
    refs: dict[str, str], wanted: dict[str, str], changes: dict[str, str | None]
) -> None:
    overlaid = {n: o for n, o in {**refs, **changes}.items() if o is not None}
    what = known(refs, held=(state(wanted),))
    try:
        verdict = judge_push(changes, what)
    except PushRefused:
        assert overlaid not in (refs, wanted)
    else:
        assert verdict.changes_nothing == (overlaid == refs)
        assert overlaid in (refs, wanted)
