from __future__ import annotations

from purgatory_sync.node.relay.sliding_rate import SlidingRate


def test_b_10_1_no_window_ever_holds_more() -> None:
    rate = SlidingRate(3, 60.0)
    allowed = [now for now in range(0, 300, 5) if not rate.wait_secs(now)]
    assert allowed == [0, 5, 10, 60, 65, 70, 120, 125, 130, 180, 185, 190, 240, 245, 250]


def test_b_10_1_what_is_refused_is_told_how_long_to_wait_and_is_not_counted() -> None:
    rate = SlidingRate(1, 60.0)
    assert [rate.wait_secs(now) for now in (0.0, 1.0, 59.5, 60.0, 61.0)] == [
        0.0,
        59.0,
        0.5,
        0.0,
        59.0,
    ]


def test_b_10_1_zero_is_no_limit() -> None:
    assert not any(SlidingRate(0, 60.0).wait_secs(0.0) for _ in range(1000))
