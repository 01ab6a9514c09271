from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.hunt.limits.transfer_progress import TransferProgress


def transfer() -> TransferProgress:
    return TransferProgress(started_at=100.0, window_secs=3.0, floor_bytes=3072)


def test_b_8_5_slow_when_nothing_came_for_3_seconds_from_the_start() -> None:
    progress = transfer()
    assert progress.slow_at() == 103.0
    assert not progress.is_slow(102.9)
    assert progress.is_slow(103.0)


def test_b_8_5_slow_below_1_kib_a_second() -> None:
    progress = transfer()
    for second in range(1, 3):
        progress.received(1023, 100.0 + second)
    assert progress.is_slow(103.0)


def test_b_8_5_not_slow_at_the_floor() -> None:
    progress = transfer()
    for second in range(1, 60):
        progress.received(1024, 100.0 + second - 0.5)
        assert not progress.is_slow(100.0 + second)


def test_b_8_5_slow_3_seconds_after_a_burst() -> None:
    progress = transfer()
    progress.received(1_000_000, 101.0)
    progress.received(10, 103.0)
    assert progress.slow_at() == 104.0


def test_b_8_5_a_slow_transfer_may_recover() -> None:
    progress = transfer()
    assert progress.is_slow(110.0)
    progress.received(4096, 110.0)
    assert progress.slow_at() == 113.0


def test_b_8_5_never_slow_once_the_body_has_ended() -> None:
    progress = transfer()
    progress.ended()
    assert progress.slow_at() == inf


def test_a_floor_of_nothing_is_never_missed() -> None:
    assert TransferProgress(0.0, 3.0, 0.0).slow_at() == inf
    assert TransferProgress(0.0, 3.0, 0.0, 600.0).slow_at() == 600.0


def test_b_8_5_slow_beyond_its_time_however_fast() -> None:
    progress = TransferProgress(100.0, 3.0, 3072.0, 600.0)
    progress.received(1_000_000, 699.0)
    assert not progress.is_slow(699.9)
    assert progress.slow_at() == 700.0
    progress.received(1_000_000, 800.0)
    assert progress.is_slow(800.0)
    progress.ended()
    assert not progress.is_slow(800.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5000)), max_size=30))
def test_slow_is_what_counting_all_bytes_of_the_window_says(steps: list[tuple[int, int]]) -> None:
    progress, now, all_of_it = transfer(), 100.0, list[tuple[float, int]]()
    for pause, size in steps:
        now += pause / 4
        progress.received(size, now)
        all_of_it.append((now, size))
        for later in (now, now + 1.5, now + 3.0):
            inside = sum(size for at, size in all_of_it if at > later - 3.0)
            assert progress.is_slow(later) == (inside < 3072 and later >= 103.0)
    assert progress.total == sum(size for _, size in steps)
