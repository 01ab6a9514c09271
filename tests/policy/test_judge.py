from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given, reject
from hypothesis import settings as bounds
from hypothesis import strategies as st

from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.parsed import parse_stored
from purgatory_sync.policy.kinds.deletions import bar_targets
from purgatory_sync.policy.rules.lacking import MAX_LACKS, brings
from purgatory_sync.policy.rules.references import anchor_filters
from purgatory_sync.policy.rules.verdict import Action
from purgatory_sync.settings import CurationSettings, PurgatorySettings

from ..nostr.support import TAGS
from .support import (
    ALICE,
    BOB,
    NOW,
    A,
    announcement,
    coordinate,
    data,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

PREFIXES = (
    "invalid: ", "blocked: ", "restricted: ", "duplicate: ", "rate-limited: ", "purgatory: ",
)  # fmt: skip
LISTS = (
    CurationSettings(),
    CurationSettings(repository_blacklist=("x",)),
    CurationSettings(archive_all=True),
)


@pytest.mark.parametrize(
    ("event", "identifiers"),
    [
        (announcement(identifier="r"), ("r",)),
        (state(identifier="ü 1"), ("ü 1",)),
        (announcement(identifier="a/b"), ()),
        (pull_request(owners=[ALICE, "b" * 64]), ("repo",)),
        (make(ALICE, 1619, [["c", A], ["a", coordinate(ALICE, "x:y")], ["a", "z"]]), ("x:y",)),
        (make(ALICE, 1618, [["a", coordinate(ALICE)]]), ()),
        (make(ALICE, 1, [["d", "r"]]), ()),
    ],
)
def test_which_announcements_the_snapshot_needs(event: Event, identifiers: tuple[str, ...]) -> None:
    assert parse_stored(event).identifiers == identifiers


@pytest.mark.parametrize("kind", [0, 3, 10317, 30023])
def test_b_1_6_replaceable_events_older_than_the_served_one_are_duplicates(kind: int) -> None:
    newest = make(ALICE, kind, [["d", ""]])
    older = make(ALICE, kind, [["d", ""]], created_at=NOW - 1)
    newer = make(ALICE, kind, [["d", ""]], created_at=NOW + 1)
    snapshot = known(newest_served=newest, referenced=True)
    assert judge_offer(older, "user", snapshot, PurgatorySettings()).action is Action.DUPLICATE
    assert judge_offer(newer, "user", snapshot, PurgatorySettings()).action is Action.SERVE


@bounds(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 5, 1111, 1618, 1619, 1621, 10002, 30023, 30617, 30618]),
    TAGS | st.lists(st.tuples(st.sampled_from("aAqeEdc"), st.text(max_size=9))).map(tuple),
    st.booleans(),
    st.sampled_from(["user", "sync"]),
)
def test_any_tags_get_a_verdict_with_a_prefix(
    kind: int, tags: tuple[tuple[str, ...], ...], here: bool, origin: Literal["user", "sync"]
) -> None:
    try:
        event = make(BOB, kind, tags)
    except UnicodeEncodeError:
        reject()  # such an event has no id and is refused before it is judged
    of = [
        data((announcement(ALICE, name, maintainers=[BOB]), Standing.SERVED), identifier=name)
        for name in parse_stored(event).identifiers
    ]
    snapshot = known(*of, objects_here=here, referenced=here)
    for lists in LISTS:
        verdict = judge_offer(event, origin, snapshot, PurgatorySettings(), lists)
        assert verdict.message.startswith(PREFIXES) or verdict == type(verdict)(Action.SERVE)
        assert len(verdict.lacks) <= 2 * MAX_LACKS
    brings(event, served=True)
    bar_targets(event)
    anchor_filters(event)
