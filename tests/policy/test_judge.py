from __future__ import annotations

import pytest

from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.judge import identifiers_of, judge
from purgatory_sync.policy.verdict import Action
from purgatory_sync.settings import PurgatorySettings

from .support import ALICE, NOW, A, announcement, coordinate, known, make, pull_request, state


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
    assert identifiers_of(event) == identifiers


@pytest.mark.parametrize("kind", [0, 3, 10317, 30023])
def test_b_1_6_replaceable_events_older_than_the_served_one_are_duplicates(kind: int) -> None:
    newest = make(ALICE, kind, [["d", ""]])
    older = make(ALICE, kind, [["d", ""]], created_at=NOW - 1)
    newer = make(ALICE, kind, [["d", ""]], created_at=NOW + 1)
    snapshot = known(newest_served=newest, referenced=True)
    assert judge(older, "user", snapshot, PurgatorySettings()).action is Action.DUPLICATE
    assert judge(newer, "user", snapshot, PurgatorySettings()).action is Action.SERVE
