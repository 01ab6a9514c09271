"""Raw sockets against a whole node: each ends its own connection, and nothing of it stays."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from purgatory_sync.node.http import server_stream, websocket
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.testing.log_capture import capture_logs

from ..support import hello, served, talk, upgraded
from ..support import read_to_end as read_all
from .hostile_cases import CASES, GET, REFS, STAYING
from .hostile_support import (
    INFO,
    MAX_CONNECTIONS,
    MAX_PER_ADDRESS,
    Victim,
    frame,
    get,
    prepared,
    read_to_end,
    read_until,
    running,
    wait_until,
)

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("node")
    return folder, prepared(folder)


@pytest.fixture(scope="module")
def victim(data: tuple[Path, bytes]) -> Iterator[Victim]:
    folder, pack = data
    with running(Victim(folder, pack=pack)) as victim:
        yield victim


@pytest.mark.parametrize("name", CASES)
def test_hostile_client_ends_itself_and_nothing_else(victim: Victim, name: str) -> None:
    client = CASES[name].attack(victim)
    with client:
        victim.serves_others()
        CASES[name].judge(client)
    victim.is_unharmed()


def refused_as_busy(victim: Victim, source: str) -> bool:
    """Whether a newcomer is sent away."""
    with victim.dial(INFO, source=source) as client:
        answer = read_to_end(client)
    assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 200 ")), answer[:100]
    return answer.startswith(b"HTTP/1.1 503 ")


def test_more_connections_than_one_address_may_have(victim: Victim) -> None:
    # WebSockets: half a head would have to be sent by all of them within the node's patience.
    crowd = [victim.upgraded() for _ in range(MAX_PER_ADDRESS)]
    assert refused_as_busy(victim, "127.0.0.1")
    victim.serves_others()
    for client in crowd:
        client.close()
    victim.is_unharmed()
    victim.serves_others("127.0.0.1")


def test_more_connections_than_all_may_have(victim: Victim) -> None:
    crowd = [
        victim.upgraded(source=f"127.0.0.{1 + number % 2}") for number in range(MAX_CONNECTIONS)
    ]
    assert refused_as_busy(victim, "127.0.0.9")
    for client in crowd:
        client.close()
    wait_until(lambda: not refused_as_busy(victim, "127.0.0.9"), "they keep their places")
    victim.is_unharmed()


def test_file_descriptors_used_up(victim: Victim) -> None:
    before = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    with victim.dial() as known:
        known.sendall(GET + b"\r\n")
        read_until(known, b"}")
        limit = len(os.listdir(f"/proc/{victim.pid}/fd")) + 20
        resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        crowd = [victim.dial(b"GET / HTTP/1.1\r\n") for _ in range(40)]
        wait_until(lambda: "no file descriptors" in victim.said(), victim.said)
        known.sendall(get(REFS))
        assert read_to_end(known).startswith(b"HTTP/1.1 503 ")
        time.sleep(0.3)
        for client in crowd:
            client.close()
    victim.serves_others()
    assert victim.said().count("descriptors") == 1
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, before)
    victim.is_unharmed()


@pytest.mark.parametrize("signals", [1, 2], ids=["graceful stop", "cancelled"])
def test_stop_while_all_of_them_are_connected(
    data: tuple[Path, bytes], tmp_path: Path, signals: int
) -> None:
    folder, pack = data
    no_sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(folder / "data", tmp_path / "data", ignore=no_sockets)
    with running(Victim(tmp_path, pack=pack, patience_secs=60)) as victim:
        clients = [case.attack(victim) for case in CASES.values() if case.judge in STAYING]
        victim.serves_others()
        for _ in range(signals):
            victim.signal(signal.SIGTERM)
            time.sleep(0.05)
        assert victim.wait(10) == 0
        for client in clients:
            read_to_end(client)
            client.close()
        wait_until(lambda: not victim.git_children(), victim.git_children)
        assert "Traceback" not in victim.said()


async def test_client_that_never_answers_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_SECS", "CLOSE_TIMEOUT_SECS"):
        monkeypatch.setattr(websocket, name, 0.2)
    monkeypatch.setattr(server_stream, "LINGER_SECS", 0.1)
    async with served(real=True) as place:
        descriptors = len(os.listdir("/proc/self/fd"))
        async with await upgraded(place) as silent, await upgraded(place) as other:
            said = await read_all(silent)
            assert said[:2] == b"\x89\x04"
            assert b"\x03\xf3keepalive ping timeout" in said
            await other.send_all(b"\x88\x80" + bytes(4))
        assert (await talk(place, get("/x"))).endswith(b"/x 0")
        await trio.to_thread.run_sync(
            wait_until, lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "sockets are open"
        )


async def fail(path: str) -> None:
    """As a bug does: at once, or in a task beside."""

    async def bug() -> None:
        raise RuntimeError("a bug")

    if "child" not in path:
        await bug()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(bug)
        if "both" in path:
            nursery.start_soon(bug)


async def http_with_bugs(exchange: Exchange) -> None:
    if exchange.path == "/x":
        await hello(exchange)
        return
    if "late" in exchange.path:
        await exchange.start(200, [(b"content-length", b"9")])
        await exchange.write(b"half")
    await fail(exchange.path)


async def websocket_with_bugs(socket: Socket) -> None:
    message = str(await socket.receive())
    if message == "hello":
        await socket.send(message.encode())
    else:
        await fail(message)


@pytest.mark.parametrize("where", ["handler", "child", "child both"])
async def test_exceptions_in_handlers_and_their_child_tasks(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_stream, "LINGER_SECS", 0.1)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_SECS", 0.1)
    path = where.replace(" ", "-").encode()
    with capture_logs() as logs:
        async with served(http_with_bugs, websocket_with_bugs, real=True) as place:
            descriptors = len(os.listdir("/proc/self/fd"))
            request = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
            assert (await talk(place, request % path)).startswith(b"HTTP/1.1 500 ")
            assert (await talk(place, request % (b"late-" + path))).endswith(b"\r\n\r\nhalf")
            async with await upgraded(place) as stream:
                await stream.send_all(frame(path))
                assert (await read_all(stream))[:4] == b"\x88\x02\x03\xf3"  # 1011
            assert (
                await talk(place, request.replace(b"Host", b"Connection: close\r\nHost") % b"x")
            ).endswith(b"/x 0")
            async with await upgraded(place) as stream:
                await stream.send_all(frame(b"hello"))
                assert (await read_all(stream)).startswith(b"\x81\x05hello")
            assert len(os.listdir("/proc/self/fd")) == descriptors
    said = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert said == ["request failed", "request failed", "connection failed"]
