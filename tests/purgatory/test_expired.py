from __future__ import annotations

from purgatory_sync.purgatory.expired import ExpiredIds

WEEK = 604_800.0


def test_b_8_9_expired_ids_are_remembered_for_seven_days() -> None:
    expired = ExpiredIds(WEEK)
    expired.remember("e", at=1000.0)
    assert expired.was_expired("e", 1000.0 + WEEK - 1)
    assert not expired.was_expired("e", 1000.0 + WEEK)
    assert not expired.was_expired("other", 1000.0)


def test_prune_returns_what_the_journal_forgets_too() -> None:
    expired = ExpiredIds(WEEK)
    expired.remember("old", at=0.0)
    expired.remember("new", at=10.0)
    assert expired.prune(WEEK) == ("old",)
    assert len(expired) == 1
    assert expired.prune(WEEK) == ()


def test_expiring_again_starts_the_time_anew() -> None:
    expired = ExpiredIds(WEEK)
    expired.remember("e", at=0.0)
    expired.remember("e", at=100.0)
    assert expired.prune(WEEK) == ()


def test_beyond_the_most_that_is_remembered_the_oldest_go() -> None:
    expired = ExpiredIds(WEEK, most=2)
    for number in range(5):
        expired.remember(str(number), at=float(number))
    assert expired.prune(10.0) == ("0", "1", "2")
    assert expired.prune(10.0) == ()
    assert len(expired) == 2
