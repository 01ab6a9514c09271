from __future__ import annotations

import os
import signal

import pytest
import trio
import trio.testing

from purgatory_sync.node.process.ending import SignalEnding
from purgatory_sync.settings import ListenerSettings

TIMES = ListenerSettings(shutdown_grace_secs=5.0)


@pytest.mark.parametrize(
    ("signals", "delay_secs", "stops", "left"),
    [
        ([0.0], 0.0, 0.0, 8.5),  # the grace, 2 s for the engine, 1.5 s for a thread
        ([0.0, 3.0], 0.0, 0.0, 4.5),  # a second signal cancels at once
        ([0.0], 10.0, 10.0, 18.5),
        ([0.0, 4.0], 10.0, 4.0, 5.5),
    ],
)
async def test_b_13_3_a_stop_tells_waits_cancels_and_leaves(
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
    signals: list[float],
    delay_secs: float,
    stops: float,
    left: float,
) -> None:
    seen: dict[str, float] = {}
    now = trio.current_time()
    monkeypatch.setattr(os, "_exit", lambda _: seen.update(left=trio.current_time() - now))
    ending = SignalEnding(lambda: seen.update(told=trio.current_time() - now))

    async def watch_stop() -> None:
        await ending.stop.wait()
        seen["stop"] = trio.current_time() - now

    send, receive = trio.open_memory_channel[int](0)

    async def send_signals() -> None:
        for moment in signals:
            await trio.sleep_until(now + moment)
            await send.send(signal.SIGTERM)

    async with trio.open_nursery() as nursery, send:
        nursery.start_soon(watch_stop)
        nursery.start_soon(send_signals)
        times = ListenerSettings(
            shutdown_grace_secs=TIMES.shutdown_grace_secs, shutdown_delay_secs=delay_secs
        )
        await ending.obey(receive, times)
    assert ending.work.cancel_called
    assert seen == {"told": 0.0, "stop": stops, "left": left}
