from __future__ import annotations

from purgatory_sync.node.upstream.state.walk_progress import WalkProgress

from ..support import NOW


def test_a_relay_that_was_never_walked_through_is_walked_from_its_newest_to_its_oldest() -> None:
    assert WalkProgress().since(NOW) is None
    assert WalkProgress(full_at=NOW - 10.0).since(NOW) is None


def test_a_new_connection_looks_an_hour_behind_the_end_of_the_old_one() -> None:
    assert WalkProgress(full_at=NOW - 900.0, synced_until=NOW - 5.5).since(NOW) == NOW - 6 - 3600
    assert WalkProgress(full_at=0.0, synced_until=10.0).since(20) == 0


def test_once_a_day_all_of_history_is_walked() -> None:
    assert WalkProgress(full_at=NOW - 86_400.0, synced_until=NOW).since(NOW) is not None
    assert WalkProgress(full_at=NOW - 86_401.0, synced_until=NOW).since(NOW) is None


def test_b_10_2_no_gap_is_left_where_the_clock_was_set_back() -> None:
    assert WalkProgress(full_at=NOW, synced_until=NOW + 7200.0).since(NOW) is None
    assert WalkProgress(full_at=NOW + 86_401.0, synced_until=NOW).since(NOW) is None
    assert WalkProgress(full_at=NOW, synced_until=NOW + 1.0).since(NOW) == NOW - 3599


def test_b_10_2_who_answers_no_negentropy_is_left_alone_with_it_for_a_day_by_any_clock() -> None:
    progress = WalkProgress(plain_until=NOW + 86_400.0)
    assert progress.is_asked_plainly(NOW)
    assert progress.is_asked_plainly(NOW + 86_399.0)
    assert not progress.is_asked_plainly(NOW + 86_400.0)
    assert not progress.is_asked_plainly(NOW - 7_200.0)
