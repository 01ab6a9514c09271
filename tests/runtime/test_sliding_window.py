from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.runtime.sliding_window import SlidingWindow


def count(window: SlidingWindow, now: float, reserved: int = 0) -> bool:
    """Count one that happens now, if there is room."""
    allowed = window.room(now, reserved) > 0
    if allowed:
        window.count(now)
    return allowed


def test_b_10_1_no_window_ever_holds_more() -> None:
    rate = SlidingWindow(3, 60.0)
    allowed = [now for now in range(0, 300, 5) if count(rate, now)]
    assert allowed == [0, 5, 10, 60, 65, 70, 120, 125, 130, 180, 185, 190, 240, 245, 250]


def test_b_10_1_a_refused_one_is_told_when_and_is_not_counted() -> None:
    rate = SlidingWindow(1, 60.0)
    assert count(rate, 0.0)
    assert [rate.next_at(now) for now in (1.0, 59.5)] == [60.0, 60.0]
    assert rate.next_at(60.0) == 60.0
    assert count(rate, 60.0)
    assert rate.next_at(61.0) == 120.0


def test_what_is_reserved_takes_up_room_without_an_end() -> None:
    window = SlidingWindow(2, 60.0)
    assert (window.room(0.0, 1), window.room(0.0, 2), window.next_at(0.0, 2)) == (1, 0, inf)
    window.count(5.0)
    assert window.next_at(6.0, 1) == 65.0
    assert window.next_at(6.0, 2) == inf


def test_restored_times_count_until_their_window_is_over() -> None:
    window = SlidingWindow(1, 60.0)
    window.restore((2.0, -100.0, 0.0, 1.0), now=3.0)
    assert window.counted(3.0) == (0.0, 1.0, 2.0)
    assert window.next_at(3.0) == 62.0
    assert window.counted(60.0) == (1.0, 2.0)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 40, allow_nan=False), max_size=60),
    st.lists(st.floats(-80, 0, allow_nan=False), max_size=5),
)
def test_b_8_2_any_window_at_any_time_holds_no_more_than_the_most(
    most: int, pauses: list[float], earlier: list[float]
) -> None:
    window, now, happened = SlidingWindow(most, 60.0), 0.0, sorted(earlier)[-most:]
    window.restore(happened, now)
    for pause in pauses:
        now += pause
        due = window.next_at(now)
        assert (due > now) == (window.room(now) == 0)
        if count(window, now):
            happened.append(now)
        else:  # it may happen as soon as the window says, and no sooner
            assert sum(now < at + 60.0 for at in happened) == most
            now = due
            assert count(window, now)
            happened.append(now)
        assert len(window.counted(now)) <= most
    for start in happened:
        assert sum(start <= at and start + 60.0 > at for at in happened) <= most
