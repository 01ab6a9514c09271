from __future__ import annotations

import pytest

from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.rules.lacking import MAX_LACKS, brings
from purgatory_sync.policy.rules.verdict import Action
from purgatory_sync.settings import PurgatorySettings

from ..support import (
    ALICE,
    BOB,
    CAROL,
    A,
    announcement,
    coordinate,
    judge_offer,
    known,
    make,
    pull_request,
    state,
)

ISSUE = make(CAROL, 1621, [["a", coordinate(ALICE)]])
COMMENT = make(BOB, 1111, [["E", ISSUE.id]])


def lacks(event: Event) -> set[str]:
    verdict = judge_offer(event, "sync", known(), PurgatorySettings())
    assert verdict.action is Action.REFUSE
    return set(verdict.lacks)


@pytest.mark.parametrize(
    ("refused", "brought", "served"),
    [
        (announcement(BOB, listed=False), announcement(ALICE, maintainers=[BOB]), False),
        (state(BOB), announcement(ALICE, maintainers=[BOB]), False),
        (pull_request(owners=[ALICE]), announcement(BOB, maintainers=[ALICE]), False),
        (ISSUE, announcement(ALICE), True),
        (COMMENT, ISSUE, True),
        (ISSUE, make(BOB, 1111, [["E", ISSUE.id]]), True),
        (make(BOB, 30023, [["d", "x"]]), make(CAROL, 1, [["q", f"30023:{BOB}:x"]]), True),
        (make(BOB, 1, [["q", coordinate(ALICE)]]), announcement(ALICE), True),
        (make(BOB, 1, [["q", ISSUE.id]]), ISSUE, True),
        (make(BOB, 1111, [["A", coordinate(ALICE, "a:b")]]), announcement(ALICE, "a:b"), True),
        (make(BOB, 1111, [["e", ISSUE.id]]), ISSUE, True),
        (make(BOB, 1, [["q", f"10002:{CAROL}:"]]), make(CAROL, 10002), True),
        (make(BOB, 10002), make(CAROL, 1, [["a", f"10002:{BOB}:"]]), True),
        (make(BOB, 1), make(CAROL, 1, [["q", make(BOB, 1).id]]), True),
        (pull_request(owners=[ALICE]), make(BOB, 1111, [["q", pull_request().id]]), True),
        (make(BOB, 1618, [["c", A], ["q", ISSUE.id]]), ISSUE, True),
    ],
)
def test_b_2_8_what_was_refused_is_judged_again_when_what_it_lacked_comes(
    refused: Event, brought: Event, served: bool
) -> None:
    assert lacks(refused) & set(brings(brought, served=served))


@pytest.mark.parametrize(
    ("refused", "brought", "served"),
    [
        (state(), announcement(identifier="other"), True),
        (ISSUE, announcement(ALICE), False),
        (COMMENT, ISSUE, False),
        (ISSUE, make(BOB, 1621, [["a", coordinate(ALICE)]]), True),
        (make(BOB, 1, [["q", coordinate(ALICE)]]), announcement(BOB), True),
        (make(BOB, 1, [["q", coordinate(ALICE)]]), announcement(ALICE, "other"), True),
        (make(BOB, 1, [["p", ISSUE.id]]), ISSUE, True),
    ],
)
def test_b_2_8_what_brings_nothing_to_it_does_not_stir_it(
    refused: Event, brought: Event, served: bool
) -> None:
    assert not lacks(refused) & set(brings(brought, served=served))


def test_keys_of_one_event_are_bounded() -> None:
    event = make(CAROL, 1, [["e", f"{n:064x}"] for n in range(1000)])
    assert len(lacks(event)) == MAX_LACKS


@pytest.mark.parametrize("event", [announcement(identifier=""), state(identifier="..")])
def test_what_can_never_be_accepted_lacks_nothing(event: Event) -> None:
    assert lacks(event) == set()
