"""The control socket: who may open it, what it answers, and that it is gone afterwards."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.status.explainer import Explainer
from purgatory_sync.errors import NaughtyScope, StoreError
from purgatory_sync.node.operator.control import MAX_CONNECTIONS, MAX_REQUEST_BYTES, SOCKET, control
from purgatory_sync.settings import Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

pytestmark = pytest.mark.real

ALICE = Author.from_seed(1)
FAR = "https://far.invalid/r.git"


def settings_in(folder: Path) -> Settings:
    return Settings(domain="git.example", git_data_path=folder / "git", relay_data_path=folder)


@asynccontextmanager
async def controlled(folder: Path) -> AsyncIterator[PurgatorySync]:
    settings = settings_in(folder)
    with trio.fail_after(20):
        async with (
            open_engine(settings, store=MemoryStore()) as engine,
            control(settings, engine.explainer, engine.keepers),
        ):
            yield engine


async def hold(engine: PurgatorySync) -> str:
    clone = [f"https://git.example/{ALICE.npub}/r.git", FAR]
    await engine.offer(
        events.announcement(ALICE, "r", clone=clone, relays=["wss://git.example"]), "user"
    )
    state = events.state(ALICE, "r", {"refs/heads/main": "1" * 40})
    assert (await engine.offer(state, "user")).accepted
    return state.id


async def ask(stream: trio.abc.Stream, *requests: Any) -> list[Any]:
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in requests]
    await stream.send_all(b"".join(line + b"\n" for line in lines))
    data = b""
    while data.count(b"\n") < len(lines):
        piece = await stream.receive_some()
        if not piece:
            break
        data += piece
    return [json.loads(line) for line in data.splitlines()]


async def test_b_10_3_it_tells_every_reason(tmp_path: Path) -> None:
    async with controlled(tmp_path) as engine:
        state_id = await hold(engine)
        served = ALICE.sign(10317, "", [], 1)
        assert (await engine.offer(served, "user")).accepted
        engine.explainer.throttles.note_naughty(FAR, NaughtyScope.URL, "a page instead of git")
        async with await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream:
            status, by_name, by_id, other, held, fate = await ask(
                stream,
                {"do": "status"},
                {"do": "why", "name": "r"},
                {"do": "why", "name": state_id},
                {"do": "why", "name": "other"},
                {"do": "fate", "name": state_id},
                {"do": "fate", "name": served.id},
            )
        assert status["result"]["held"]["state"] == 1
        assert status["result"]["domains"][0]["naughty"][0]["reason"] == "a page instead of git"
        assert [each["kind"] for each in by_name["result"]] == ["announcement", "state"]
        (why,) = by_id["result"]
        assert (why["event_id"], why["missing"]) == (state_id, ["1" * 40])
        assert why["sources"][0]["naughty_reason"] == "a page instead of git"
        assert (other, held) == ({"result": []}, {"result": None})
        assert (fate["result"]["event_id"], fate["result"]["outcome"]) == (served.id, "served")


async def test_b_10_3_it_hunts_at_once_naughty_or_not(tmp_path: Path) -> None:
    async with controlled(tmp_path) as engine:
        await hold(engine)
        engine.explainer.throttles.note_naughty(FAR, NaughtyScope.HOST, "no such name")
        async with await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream:
            hunted, nothing = await ask(
                stream, {"do": "hunt", "name": "r"}, {"do": "hunt", "name": "other"}
            )
        assert hunted == {"result": {"identifier": "r", "forgiven": [FAR]}}
        assert nothing == {"result": None}
        entry = engine.purgatory.sync_queue.get("r")
        assert entry is not None
        assert entry.in_progress or entry.next_attempt <= trio.current_time()


async def test_b_10_3_only_its_owner_may_open_it_and_it_is_gone_afterwards(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        found = (tmp_path / SOCKET).lstat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
    assert not (tmp_path / SOCKET).exists()


async def test_a_stale_one_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / SOCKET))
    async with (
        controlled(tmp_path),
        await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream,
    ):
        (answer,) = await ask(stream, {"do": "status"})
        assert answer["result"]["queued"] == 0


async def test_what_is_no_socket_is_left_alone_and_the_node_runs_on(tmp_path: Path) -> None:
    (tmp_path / SOCKET).write_text("precious")
    with capture_logs() as logs:
        async with controlled(tmp_path):
            pass
    assert (tmp_path / SOCKET).read_text() == "precious"
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == [
        "no control socket"
    ]


async def test_another_nodes_socket_is_not_removed(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        async with controlled(tmp_path):
            os.unlink(tmp_path / SOCKET)
            other.bind(str(tmp_path / SOCKET))
        assert (tmp_path / SOCKET).exists()


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"do": "stop"}', b'{"do": 1}', b'{"name": "x"}', b"\xff"]
)
async def test_nonsense_is_answered_and_the_connection_goes_on(tmp_path: Path, line: bytes) -> None:
    async with (
        controlled(tmp_path),
        await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream,
    ):
        bad, good = await ask(stream, line, {"do": "why", "name": "x"})
        assert bad["error"].startswith("not understood: ")
        assert good == {"result": []}


async def test_failures_are_told_and_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[Exception] = [StoreError("the disk is full"), RuntimeError("a bug")]

    async def failing(self: Explainer, name: str) -> None:
        raise failures.pop(0)

    monkeypatch.setattr(Explainer, "why", failing)
    async with (
        controlled(tmp_path),
        await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream,
    ):
        with capture_logs() as logs:
            why = {"do": "why", "name": "x"}
            answers = await ask(stream, why, why, {"do": "hunt", "name": "x"})
        assert answers == [
            {"error": "the disk is full"},
            {"error": "failed inside: the node's log says why"},
            {"result": None},
        ]
        assert [each["event"] for each in logs] == ["control request crashed"]


async def test_endless_lines_and_many_clients_cost_little(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        path = str(tmp_path / SOCKET)
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(b"x" * (MAX_REQUEST_BYTES + 1))
            with suppress(trio.BrokenResourceError):
                assert await stream.receive_some() == b""
        async with trio.open_nursery() as nursery:
            idle = [await trio.open_unix_socket(path) for _ in range(MAX_CONNECTIONS)]
            late = await trio.open_unix_socket(path)
            answered = trio.Event()

            async def wait() -> None:
                await ask(late, {"do": "status"})
                answered.set()

            nursery.start_soon(wait)
            await trio.sleep(0.05)
            assert not answered.is_set()
            await idle[0].aclose()
            await answered.wait()
            for stream in (late, *idle):
                await stream.aclose()


async def test_a_client_that_leaves_early_disturbs_no_other(tmp_path: Path) -> None:
    async with controlled(tmp_path):
        for _ in range(3):
            stream = await trio.open_unix_socket(str(tmp_path / SOCKET))
            await stream.send_all(b'{"do": "status"}\n' * 50)
            await stream.aclose()
        async with await trio.open_unix_socket(str(tmp_path / SOCKET)) as stream:
            assert await ask(stream, {"do": "why", "name": "x"}) == [{"result": []}]
