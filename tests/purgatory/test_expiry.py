from __future__ import annotations

import pytest

from purgatory_sync.errors import ResultClass
from purgatory_sync.purgatory.entries import HeldAnnouncement, HeldPr, HeldState, Origin, Tried
from purgatory_sync.purgatory.expiry import (
    AnnouncementStep,
    Outlook,
    announcement_step,
    event_ends,
    last_moment,
    placeholder_ends,
    untried_sources,
)
from purgatory_sync.records import Placeholder
from purgatory_sync.settings import PurgatorySettings

from .support import announcement, pull_request, state

SETTINGS = PurgatorySettings()
START = 1_000_000.0
HALF_HOUR, DAY = 1800.0, 86_400.0
A, B = "https://a.example/r.git", "https://b.example/r.git"


def held_state(accepted_at: float = START) -> HeldState:
    return HeldState(Origin.USER, accepted_at, state())


def ends(held: HeldState | HeldPr, outlook: Outlook, now: float, started_at: float = START) -> bool:
    return event_ends(held, outlook, now, started_at, SETTINGS)


def test_b_8_9_ends_30_minutes_after_acceptance() -> None:
    assert not ends(held_state(), Outlook(), START + HALF_HOUR - 1)
    assert ends(held_state(), Outlook(), START + HALF_HOUR)


def test_b_8_9_not_before_every_known_source_was_tried_once() -> None:
    held = held_state()
    held.tried[A] = Tried(START, ResultClass.NOTHING, "")
    outlook = Outlook([A, B])
    assert untried_sources(held, outlook) == (B,)
    assert not ends(held, outlook, START + 2 * HALF_HOUR)
    held.tried[B] = Tried(START, ResultClass.TIMEOUT, "")
    assert ends(held, outlook, START + 2 * HALF_HOUR)


@pytest.mark.parametrize(
    "result", [ResultClass.CANCELLED, ResultClass.RATE_LIMITED, ResultClass.LOCAL]
)
def test_b_8_9_what_says_nothing_of_the_source_does_not_count(result: ResultClass) -> None:
    held = held_state()
    held.tried[A] = Tried.after(None, START, result, "")
    assert not ends(held, Outlook([A]), START + HALF_HOUR)


@pytest.mark.parametrize(
    "result", [ResultClass.FORBIDDEN, ResultClass.NOTHING, ResultClass.UNREACHABLE]
)
def test_b_8_9_forbidden_and_fruitless_sources_count_as_tried(result: ResultClass) -> None:
    held = held_state()
    held.tried[A] = Tried.after(None, START, result, "")
    assert ends(held, Outlook([A]), START + HALF_HOUR)


def test_b_8_9_a_later_cancelled_attempt_does_not_untry_a_source() -> None:
    first = Tried.after(None, START, ResultClass.TIMEOUT, "")
    assert Tried.after(first, START + 1, ResultClass.CANCELLED, "").counted


def test_b_8_9_naughty_sources_and_those_without_target_are_excused() -> None:
    assert ends(held_state(), Outlook([A, B], excused=[A, B]), START + HALF_HOUR)


def test_b_8_9_what_can_never_be_satisfied_ends_untried() -> None:
    tags = pull_request("repo")
    pr = HeldPr(Origin.SYNC, START, tags)
    assert not ends(pr, Outlook([A]), START + HALF_HOUR)
    never = HeldPr(Origin.SYNC, START, type(tags)(tags.event, "1" * 64, tags.repositories, ()))
    assert ends(never, Outlook([A]), START + HALF_HOUR)


def test_b_8_9_ends_after_24_hours_even_untried() -> None:
    assert not ends(held_state(), Outlook([A]), START + DAY - 1)
    assert ends(held_state(), Outlook([A]), START + DAY)


def test_b_8_9_a_long_stop_allows_one_full_round_first() -> None:
    held = held_state(START - 3 * DAY)
    assert not ends(held, Outlook([A]), START + DAY - 1)
    held.tried[A] = Tried(START + 5, ResultClass.NOTHING, "")
    assert ends(held, Outlook([A]), START + 5)


def test_b_8_9_a_short_stop_does_not_prolong_the_24_hours() -> None:
    assert last_moment(held_state(START - 3600), START, SETTINGS) == START - 3600 + DAY


def test_b_6_7_time_does_not_run_out_while_an_authorised_push_is_in_hand() -> None:
    outlook = Outlook(push_in_hand=True)
    assert not ends(held_state(), outlook, START + 2 * DAY)


def step(held: HeldAnnouncement, now: float, *, concerned: bool = False) -> AnnouncementStep:
    return announcement_step(held, concerned=concerned, now=now, settings=SETTINGS)


def test_b_2_7_an_announcement_soft_expires_after_30_minutes() -> None:
    held = HeldAnnouncement(Origin.USER, START, announcement())
    assert step(held, START + HALF_HOUR - 1) is AnnouncementStep.KEEP
    assert step(held, START + HALF_HOUR) is AnnouncementStep.SOFT_EXPIRE


def test_b_2_7_no_end_while_what_concerns_it_is_held() -> None:
    held = HeldAnnouncement(Origin.USER, START, announcement())
    assert step(held, START + DAY, concerned=True) is AnnouncementStep.KEEP


def test_b_2_7_it_is_kept_unserved_for_24_hours_more() -> None:
    held = HeldAnnouncement(Origin.USER, START, announcement(), soft_expired_at=START + HALF_HOUR)
    assert step(held, START + HALF_HOUR + DAY - 1) is AnnouncementStep.KEEP
    assert step(held, START + HALF_HOUR + DAY) is AnnouncementStep.FORGET


def test_b_4_3_a_placeholder_ends_after_20_minutes() -> None:
    placeholder = Placeholder(ALICE_ID, "repo", "e", "oid", START)
    assert not placeholder_ends(placeholder, START + 1199, SETTINGS)
    assert placeholder_ends(placeholder, START + 1200, SETTINGS)


ALICE_ID = "a" * 64
