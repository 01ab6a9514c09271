from __future__ import annotations

import time

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.testing.mock_context import clock_at


async def test_it_follows_trios_time(autojump_clock: MockClock) -> None:
    clock = clock_at(1_000.0)
    await trio.sleep(50)
    assert clock.now() == 1_050.0
    assert clock.to_trio(1_060.0) == trio.current_time() + 10


@pytest.mark.parametrize("step", [3_600.0, -3_600.0])
async def test_b_1_7_it_follows_a_machine_that_slept_or_whose_clock_was_set(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    clock, real = WallClock.from_system(), time.time
    before = clock.now()
    assert before == pytest.approx(real(), abs=60)
    monkeypatch.setattr(time, "time", lambda: real() + step)
    assert clock.now() - before == step
    assert clock.to_trio(clock.now()) == pytest.approx(trio.current_time())


async def test_what_the_system_gains_by_reading_it_twice_is_nothing(
    autojump_clock: MockClock,
) -> None:
    clock = WallClock.from_system()
    assert len({clock.now() for _ in range(1_000)}) == 1
