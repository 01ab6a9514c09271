from __future__ import annotations

import pytest

from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.policy.rules.limits import judge_form
from purgatory_sync.policy.rules.verdict import Action
from purgatory_sync.settings import PurgatorySettings

from ..support import ALICE, NOW, announcement, data, judge_offer, known, make, pull_request, state

SETTINGS = PurgatorySettings()


def test_b_1_7_created_at_may_be_15_minutes_ahead_and_no_more() -> None:
    assert judge_form(announcement(created_at=NOW + 900), NOW) is None
    verdict = judge_form(announcement(created_at=NOW + 901), NOW)
    assert verdict is not None
    assert verdict.action is Action.REFUSE
    assert verdict.message.startswith("invalid: created_at")


def _sized(kind: int, size: int) -> Event:
    empty = len(encode_event(make(ALICE, kind, [["d", "repo"]])))
    event = make(ALICE, kind, [["d", "repo"]], content="x" * (size - empty))
    assert len(encode_event(event)) == size
    return event


@pytest.mark.parametrize(
    ("kind", "limit"),
    [(kinds.ANNOUNCEMENT, 196_608), (1, 196_608), (1617, 196_608), (kinds.STATE, 1_048_576)],
)
def test_b_1_7_bytes(kind: int, limit: int) -> None:
    assert judge_form(_sized(kind, limit), NOW) is None
    verdict = judge_form(_sized(kind, limit + 1), NOW)
    assert verdict is not None
    assert verdict.message.startswith("invalid: larger than")


def test_b_1_7_the_operator_says_how_many_bytes() -> None:
    assert judge_form(_sized(1, 200_000), NOW, 200_000) is None
    assert judge_form(_sized(1, 200_001), NOW, 200_000) is not None
    assert judge_form(_sized(kinds.STATE, 1_048_576), NOW, 200_000) is None


@pytest.mark.parametrize(("kind", "limit"), [(1, 5_000), (kinds.STATE, 20_000)])
def test_b_1_7_tags(kind: int, limit: int) -> None:
    assert judge_form(make(ALICE, kind, [["t"]] * limit), NOW) is None
    verdict = judge_form(make(ALICE, kind, [["t"]] * (limit + 1)), NOW)
    assert verdict is not None
    assert verdict.message.startswith(f"invalid: more than {limit} tags")


def test_b_1_7_is_judged_before_anything_is_held() -> None:
    late = announcement(created_at=NOW + 901)
    assert judge_offer(late, "user", known(), SETTINGS).action is Action.REFUSE


@pytest.mark.parametrize("event", [announcement(), state(), pull_request()], ids=lambda e: e.kind)
@pytest.mark.parametrize("field", ["held_total", "held_by_author"])
def test_b_1_9_full_purgatory_holds_no_more(event: Event, field: str) -> None:
    of = () if event.kind == kinds.ANNOUNCEMENT else (data((announcement(), Standing.SERVED)),)
    settings = PurgatorySettings(max_events=7, max_events_per_author=7)
    assert judge_offer(event, "user", known(*of, **{field: 6}), settings).action is Action.HOLD
    verdict = judge_offer(event, "user", known(*of, **{field: 7}), settings)
    assert verdict.action is Action.REFUSE
    assert verdict.message.startswith("rate-limited: ")
    assert (verdict.replaces, verdict.evicts, verdict.deletes) == ((), (), ())


@pytest.mark.parametrize("event", [announcement(), state(), pull_request()], ids=lambda e: e.kind)
@pytest.mark.parametrize("field", ["held_bytes", "held_bytes_by_author"])
def test_b_1_9_what_is_held_is_bounded_by_bytes(event: Event, field: str) -> None:
    of = () if event.kind == kinds.ANNOUNCEMENT else (data((announcement(), Standing.SERVED)),)
    size = len(encode_event(event))
    settings = PurgatorySettings(max_bytes=10_000, max_bytes_per_author=10_000)
    fits = known(*of, **{field: 10_000 - size})
    assert judge_offer(event, "user", fits, settings).action is Action.HOLD
    verdict = judge_offer(event, "user", known(*of, **{field: 10_001 - size}), settings)
    assert (verdict.action, verdict.message[:14]) == (Action.REFUSE, "rate-limited: ")
    assert (verdict.replaces, verdict.evicts, verdict.deletes) == ((), (), ())


def test_b_1_9_the_bounds_of_bytes() -> None:
    assert (SETTINGS.max_bytes, SETTINGS.max_bytes_per_author) == (128 * 2**20, 16 * 2**20)


def test_b_1_9_a_larger_replacement_needs_room_for_what_it_is_larger() -> None:
    old, new = announcement(created_at=NOW - 10), announcement(content="x" * 500)
    grows = len(encode_event(new)) - len(encode_event(old))
    of = data((old, Standing.HELD))
    for more, action in ((0, Action.HOLD), (1, Action.REFUSE)):
        held = SETTINGS.max_bytes_per_author - grows + more
        snapshot = known(of, held_announcement=old, held_bytes_by_author=held)
        verdict = judge_offer(new, "user", snapshot, SETTINGS)
        assert (verdict.action, verdict.replaces) == (action, (old.id,) if not more else ())
    full = known(of, held_announcement=old, held_bytes=10**9)
    assert judge_offer(announcement(), "user", full, SETTINGS).action is Action.HOLD


def test_b_1_9_a_replacement_needs_no_room() -> None:
    old = announcement(created_at=NOW - 10)
    snapshot = known(data((old, Standing.HELD)), held_announcement=old, held_total=100_000)
    assert judge_offer(announcement(), "user", snapshot, SETTINGS).action is Action.HOLD


def test_b_1_9_what_is_released_now_needs_no_room() -> None:
    snapshot = known(data((announcement(), Standing.SERVED)), objects_here=True, held_total=10**6)
    assert judge_offer(state(), "user", snapshot, SETTINGS).action is Action.SERVE
