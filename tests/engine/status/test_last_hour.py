"""Counters of the last hour: exact to a minute, bounded at any age."""

from __future__ import annotations

from purgatory_sync.engine.status.last_hour import LastHour

START = 1_000_000.0


def test_everything_counts_in_the_first_hour() -> None:
    hour = LastHour(START)
    for minute in range(1, 60):
        hour.note(START + 60 * minute, {"a": minute})
    look = hour.look(START + 3599, {"a": 70, "b": 0})
    assert (look.since, look.counts) == (START, {"a": 70})


def test_what_is_older_than_an_hour_does_not_count() -> None:
    hour = LastHour(START)
    for minute in range(1, 200):
        hour.note(START + 60 * minute, {"a": minute})
    look = hour.look(START + 60 * 199 + 30, {"a": 205, "b": 3})
    assert (look.since, look.counts) == (START + 60 * 139, {"a": 205 - 139, "b": 3})
    assert len(hour._noted) == 61


def test_an_hour_is_an_hour_to_the_second() -> None:
    hour = LastHour(START)
    hour.note(START + 60, {"a": 1})
    look = hour.look(START + 3660, {"a": 3})
    assert (look.since, look.counts) == (START + 60, {"a": 2})


def test_nothing_counted_is_left_out() -> None:
    hour = LastHour(START)
    hour.note(START + 60, {"a": 5})
    hour.note(START + 7200, {"a": 5})
    assert hour.look(START + 7200 + 3600, {"a": 5}).counts == {}


def test_a_clock_that_is_set_back_ends_no_hour_later() -> None:
    hour = LastHour(START + 1e6)
    hour.note(START + 1e6 + 60, {"a": 1})
    for minute in range(200):
        hour.note(START + 60 * minute, {"a": 2 + minute})
    assert len(hour._noted) == 61
    assert hour.look(START + 60 * 199, {"a": 201}).counts == {"a": 60}
