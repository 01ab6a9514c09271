"""The measurements run: at a tiny size, so that they do not rot; no time is a limit here."""

from __future__ import annotations

import math

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.measuring import Effort, Goal, Line, spending

TINY = Effort(times=1, part=0.002)

pytestmark = pytest.mark.tree


@pytest.mark.real
@pytest.mark.parametrize("name", benchmarks.MEASUREMENTS)
def test_each_measurement_gives_lines_that_can_be_shown(name: str) -> None:
    lines = benchmarks.MEASUREMENTS[name](TINY)

    assert lines
    for line in lines:
        assert math.isfinite(line.value), line
        assert all(isinstance(cell, str) for cell in benchmarks._cells(line))


@pytest.mark.real
def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.main(["alignment", "--times", "1", "--part", "0.01"])

    printed = capsys.readouterr().out
    assert "aligning 10 new refs" in printed
    assert "update-ref" in printed


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmarks.main(["nonsense"])

    assert stopped.value.code == 2
    assert "no measurement is called nonsense" in capsys.readouterr().err


def test_a_goal_is_reached_on_its_better_side() -> None:
    assert Goal(20.0).reached(20.0)
    assert not Goal(20.0).reached(20.1)
    assert Goal(2_000.0, "more").reached(2_000.0)
    assert not Goal(2_000.0, "more").reached(1_999.0)
    assert not Goal(20.0).reached(math.nan)
    assert Line("something", 1.0, "x").reached is None


def test_sizes_are_cut_down_but_not_to_nothing() -> None:
    assert Effort().of(50_000) == 50_000
    assert Effort(part=0.01).of(50_000) == 500
    assert Effort(part=0.0).of(50_000) == 4


def test_processor_time_is_not_time_on_the_clock() -> None:
    with spending() as spent:
        sum(range(100_000))

    assert 0 < spent.cpu <= spent.wall * 2
    assert spent.children == 0
