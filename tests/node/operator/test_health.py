"""Alive and ready: what balancers and restarters are told (B 13.3)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from purgatory_sync.errors import StoreError
from purgatory_sync.node.front import START_PATIENCE_SECS, Front
from purgatory_sync.node.operator.health import Checks, NodeHealth
from purgatory_sync.node.routes import App
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing.log_capture import capture_logs

from ..support import UPGRADE, echo, read_until, served, talk
from ..test_routes import make_app


@pytest.fixture(autouse=True)
def in_place() -> Iterator[None]:
    """The virtual clock knows nothing of threads."""
    with blocking_in_place():
        yield


async def fine() -> None:
    await trio.lowlevel.checkpoint()


async def failing() -> None:
    raise StoreError("no space left")


class Asked:
    """A store that counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1
        await trio.lowlevel.checkpoint()


async def ask(
    front: Front, path: str, method: str = "GET", *, operator: bool = False
) -> tuple[int, str, bytes]:
    request = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with served(front.answer_operator if operator else front.answer) as place:
        head, _, body = (await talk(place, request.encode())).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


def ready(
    folder: Path,
    store: Callable[[], Awaitable[None]] = fine,
    free: int = 0,
    app: App | None = None,
) -> Front:
    health = NodeHealth()
    health.checks = Checks(store, folder, free)
    front = Front(health)
    front.open(app or make_app(), echo)
    return front


async def report_of(front: Front) -> tuple[int, Any]:
    status, head, body = await ask(front, "/readyz")
    assert "cache-control: no-store" in head
    assert ("retry-after: 10" in head) == (status == 503)
    return status, json.loads(body)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_b_13_3_healthz_is_ok_in_every_state(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, method: str
) -> None:
    for front in (Front(NodeHealth()), ready(tmp_path), ready(tmp_path, failing)):
        for operator in (False, True):
            status, head, body = await ask(front, "/healthz", method, operator=operator)
            assert (status, body) == (200, b"ok\n" if method == "GET" else b"")
            assert "cache-control: no-store" in head


async def test_b_13_3_readyz_says_ready(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    assert await report_of(ready(tmp_path)) == (200, {"ready": True})
    status, _, _ = await ask(ready(tmp_path), "/readyz", "POST")
    assert status == 405


async def test_b_13_3_little_disk_is_a_warning_and_no_reason(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    status, report = await report_of(ready(tmp_path, free=1 << 80))
    (warning,) = report["warnings"]
    assert (status, report["ready"]) == (200, True)
    assert warning.endswith("bytes are free beside the repositories: nothing is hunted")


@pytest.mark.parametrize(
    ("store", "said"), [(failing, "no space left"), (trio.sleep_forever, "no answer within 5 s")]
)
async def test_b_13_3_a_store_that_does_not_work_is_not_ready(
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    store: Callable[[], Awaitable[None]],
    said: str,
) -> None:
    expected = {"ready": False, "checks": {"store": said, "git_folder": "ok"}}
    assert await report_of(ready(tmp_path, store)) == (503, expected)


async def test_b_13_3_a_git_folder_that_is_gone_is_not_ready(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    status, report = await report_of(ready(tmp_path / "gone"))
    assert (status, report["checks"]["store"]) == (503, "ok")
    assert report["checks"]["git_folder"] == f"{tmp_path / 'gone'} cannot be written"


async def test_b_13_3_a_stop_is_not_ready_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    health = NodeHealth()
    health.checks = Checks(fine, tmp_path, 0)
    assert (await health.report()).ready
    health.stopping = True
    front = Front(health)
    front.open(make_app(), echo)
    said = {"ready": False, "checks": {"stopping": "it was told to stop"}}
    assert await report_of(front) == (503, said)
    assert (await ask(front, "/purgatory"))[0] == 200


async def test_b_13_3_many_who_ask_cost_one_look_a_second(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    health, asked = NodeHealth(), Asked()
    health.checks = Checks(asked, tmp_path, 0)
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(health.report)
    assert asked.times == 1
    await trio.sleep(1)
    await health.report()
    assert asked.times == 2


async def test_b_13_3_a_start_that_takes_long_says_what_it_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    health = NodeHealth()
    front = Front(health)
    health.stage = "opening the store"
    await trio.sleep(42)
    said = "opening the store, 42 s so far"
    assert await report_of(front) == (503, {"ready": False, "checks": {"start": said}})
    for operator, path in ((False, "/"), (False, "/x.git/info/refs"), (True, "/metrics")):
        asked = trio.current_time()
        status, head, body = await ask(front, path, operator=operator)
        assert trio.current_time() - asked == START_PATIENCE_SECS == 10
        assert (status, "retry-after: 10" in head) == (503, True)
        assert body.startswith(b"this service is starting (opening the store, ")


async def test_b_13_3_what_is_asked_during_a_short_start_waits_for_its_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    front = Front(NodeHealth())
    answers: list[int] = []

    async def ask_early() -> None:
        answers.append((await ask(front, "/purgatory"))[0])

    async with (
        served(front.answer, front.serve, is_open=front.is_open) as place,
        await place.connect() as client,
        trio.open_nursery() as nursery,
    ):
        await client.send_all(UPGRADE)
        nursery.start_soon(ask_early)
        await trio.sleep(9)
        assert answers == []
        front.open(make_app(), echo)
        await read_until(client, b"101 Switching Protocols")
    assert answers == [200]


async def test_b_13_3_a_start_logs_what_it_does_every_ten_seconds(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    health = NodeHealth()
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(health.watch)
            await trio.sleep(15)
            health.stage = "restoring 3 held events"
            await trio.sleep(10)
            health.checks = Checks(fine, tmp_path, 0)
    assert [(each["stage"], each["secs"]) for each in logs] == [
        ("starting", 10),
        ("restoring 3 held events", 20),
    ]


async def test_b_13_3_no_websocket_is_opened_before_the_node_serves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    front = Front(NodeHealth())
    async with served(front.answer, front.serve, is_open=front.is_open) as place:
        assert (await talk(place, UPGRADE)).startswith(b"HTTP/1.1 503 ")


async def test_b_13_3_metrics_may_have_an_address_of_their_own(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    front = ready(tmp_path, app=make_app(elsewhere=True))
    assert (await ask(front, "/metrics"))[0] == 404
    assert (await ask(front, "/metrics", operator=True))[0] == 200
    assert (await ask(front, "/metrics", "POST", operator=True))[0] == 405
    assert (await ask(front, "/purgatory", operator=True))[0] == 404
    assert (await ask(front, "/purgatory"))[0] == 200
