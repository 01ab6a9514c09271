from __future__ import annotations

import trio
from trio.testing import MockClock

from purgatory_sync.node.upstream.connection.read_pace import ReadPace


async def test_a_burst_passes_and_then_a_steady_flow(autojump_clock: MockClock) -> None:
    pace = ReadPace(per_sec=10, burst=5)
    start = trio.current_time()
    times = []
    for _ in range(15):
        await pace.message()
        times.append(round(trio.current_time() - start, 6))
    assert times == [0.0] * 5 + [0.5] * 5 + [1.0] * 5


async def test_a_pause_earns_no_more_than_a_burst(autojump_clock: MockClock) -> None:
    pace = ReadPace(per_sec=10, burst=5)
    await trio.sleep(1000)
    start = trio.current_time()
    for _ in range(6):
        await pace.message()
    assert round(trio.current_time() - start, 6) == 0.5


async def test_the_reading_clock_stands_still_while_held_up(autojump_clock: MockClock) -> None:
    pace = ReadPace()
    start = pace.reading_time()
    await trio.sleep(3)
    with pace.held_up():
        await trio.sleep(10)
        assert pace.reading_time() - start == 3
    await trio.sleep(4)
    assert pace.reading_time() - start == 7
