"""Figures of each hour: exact to a minute, kept over a restart, bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from purgatory_sync.engine.status.hourly import DOMAINS_KEPT, HOUR, HOURS_KEPT, Hour, Hourly
from purgatory_sync.records import ServerNote

START = 1_000_000 * HOUR


class Notes:
    """What is remembered beyond a restart."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.writes = 0

    def __call__(self, key: str, text: str | None) -> None:
        self.writes += 1
        self.texts.pop(key, None)
        if text is not None:
            self.texts[key] = text

    def rows(self) -> list[ServerNote]:
        return [ServerNote(key, text, 0.0) for key, text in self.texts.items()]


def expiries(*at: float) -> Callable[[float], int]:
    return lambda since: sum(each >= since for each in at)


NONE = expiries()


def note(
    hourly: Hourly,
    now: float,
    totals: Mapping[str, int] | None = None,
    *,
    held: int = 0,
    expired: Callable[[float], int] = NONE,
    spent: Mapping[str, tuple[int, float]] | None = None,
) -> None:
    hourly.note(now, totals or {}, {"state": held}, expired, spent or {})


def test_b_10_3_what_grew_counts_in_its_hour() -> None:
    hourly = Hourly(Notes())
    note(hourly, START + 60, {"a": 2}, held=1, spent={"x": (1, 2.0)})
    note(hourly, START + 120, {"a": 5}, held=4, spent={"x": (1, 3.0)})
    note(hourly, START + HOUR, {"a": 6, "b": 1}, held=2)
    assert hourly.look(START + HOUR) == (
        Hour(START, {"state": 4}, {"a": 5}, {"x": (2, 5.0)}),
        Hour(START + HOUR, {"state": 2}, {"a": 1, "b": 1}, {}),
    )


def test_b_10_3_hours_are_kept_over_a_restart() -> None:
    notes = Notes()
    before = Hourly(notes)
    note(before, START + 60, {"a": 2}, held=1, spent={"x": (1, 2.0)})
    after = Hourly(notes)
    other = ServerNote("pages wss://r.example", "5.0", 0.0)
    assert after.restore([*notes.rows(), other], START + 90) == [other]
    assert after.look(START + 90) == before.look(START + 90)
    note(after, START + 120, {"a": 1}, held=1)
    assert after.look(START + 120)[0].counts == {"a": 3}


def test_b_10_3_fourteen_days_are_kept_and_one_is_shown() -> None:
    notes = Notes()
    hourly = Hourly(notes)
    for hour in range(HOURS_KEPT + 5):
        note(hourly, START + hour * HOUR, {"a": hour + 1})
    end = START + (HOURS_KEPT + 4) * HOUR
    assert len(notes.texts) == HOURS_KEPT
    assert [each.at for each in hourly.look(end)] == [end - HOUR * n for n in reversed(range(24))]
    late = Hourly(notes)
    late.restore(notes.rows(), end + 10 * HOUR)
    assert len(notes.texts) == HOURS_KEPT - 10


def test_what_cannot_be_read_is_forgotten() -> None:
    notes = Notes()
    notes.texts = {f"hour {START}": "{", "hour x": "{}", "hour 7": '{"at":7}', "hour ": "[" * 9999}
    hourly = Hourly(notes)
    assert hourly.restore(notes.rows(), START + 5) == []
    assert hourly.look(START + 5) == ()
    assert notes.texts == {}


def test_what_does_not_change_is_not_written() -> None:
    notes = Notes()
    hourly = Hourly(notes)
    for minute in range(60):
        note(hourly, START + 60 * minute, {"a": 2}, held=1)
    assert notes.writes == 1


def test_expiries_count_in_their_hour_to_its_end() -> None:
    hourly = Hourly(Notes())
    note(hourly, START + 60)
    seen = expiries(START + 61, START + HOUR - 1, START + HOUR)
    note(hourly, START + HOUR + 1, expired=seen)
    assert [each.counts for each in hourly.look(START + HOUR + 1)] == [
        {"expired": 2},
        {"expired": 1},
    ]
    note(hourly, START + HOUR + 60)  # forgotten where it is remembered: not here
    assert hourly.look(START + HOUR + 60)[1].counts == {"expired": 1}


def test_the_slowest_domains_are_kept() -> None:
    hourly = Hourly(Notes())
    note(hourly, START, spent={f"d{n:02}": (n, n * n * 1.0) for n in range(1, 40)})
    (hour,) = hourly.look(START)
    assert list(hour.domains) == [f"d{n}" for n in range(39, 39 - DOMAINS_KEPT, -1)]
