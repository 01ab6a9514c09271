"""The node as a whole: real sockets, real signals, a real store."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from purgatory_sync.errors import ConfigurationError, StoreBusy, StoreCorrupt
from purgatory_sync.node.node import run_node
from purgatory_sync.node.process.service_key import FILE, service_key
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.settings import ListenerSettings, Settings, SyncSettings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.node_process import NodeProcess, free_port
from purgatory_sync.testing.nostr_client import nostr_client

pytestmark = pytest.mark.real

ALICE = Author.from_seed(1)


def settings_in(folder: Path) -> Settings:
    return Settings(
        bind_address=f"127.0.0.1:{free_port()}",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        sync=SyncSettings(plus_enabled=False),
        listener=ListenerSettings(shutdown_grace_secs=0.5),
    )


def announcement(address: str) -> Event:
    return events.announcement(
        ALICE,
        "r",
        clone=[f"http://{address}/{ALICE.npub}/r.git"],
        relays=[f"ws://{address}"],
        created_at=int(time.time()),
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[str]:
    """Run a node in this process; yields its address."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(run_node, settings)
            yield f"127.0.0.1:{port}"
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def process(folder: Path, **settings: str) -> AsyncIterator[NodeProcess]:
    node = NodeProcess(folder, {f"NGIT_{name}": value for name, value in settings.items()})
    try:
        yield node
    finally:
        await node.aclose()


async def test_everything_answers_on_one_port(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(settings) as address, httpx.AsyncClient(trust_env=False) as http:
        base = f"http://{address}"
        accept = {"accept": "application/nostr+json"}
        document = (await http.get(base, headers=accept)).json()
        found = service_key(settings, {}, document["pubkey"])
        assert document["pubkey"] == found.key.pubkey
        assert document["name"] == address
        assert document["supported_nips"] == [1, 5, 9, 11, 34, 40, 42, 45, 62, 70, 77]
        assert document["supported_grasps"] == ["GRASP-01", "GRASP-02"]
        assert 'purgatory_held{kind="state"} 0.0' in (await http.get(f"{base}/metrics")).text
        git = f"{base}/{ALICE.npub}/r.git/info/refs?service=git-upload-pack"
        assert (await http.get(git)).status_code == 404
        async with nostr_client(f"ws://{address}") as client:
            offered = announcement(address)
            accepted, message = await client.publish(offered)
            assert accepted
            assert message == "purgatory: won't be served until git data arrives"
            assert not await client.has(offered.id)
        assert (await http.get(git)).status_code == 200
        assert 'purgatory_held{kind="announcement"} 1.0' in (await http.get(f"{base}/metrics")).text


async def test_b_13_1_the_store_refuses_another_key_until_the_operator_means_it(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    with capture_logs() as logs:
        async with running(settings):
            pass
    path = settings.relay_data_path / FILE
    nsec = path.read_text().strip()
    (known,) = [each for each in logs if each["event"] == "known by its key"]
    assert (known["npub"], known["source"]) == (SecretKey.parse(nsec).npub, str(path))
    assert nsec not in str(logs)
    (settings.relay_data_path / FILE).unlink()
    with pytest.raises(ConfigurationError, match=r"but its key is gone: put .* back, or set"):
        await run_node(settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_node, settings, new_identity=True))
        nursery.cancel_scope.cancel()
    async with running(settings):  # and knows the new one from then on
        pass


async def test_metrics_can_be_turned_off_and_the_store_can_be_memory(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), metrics_enabled=False, database_backend="memory")
    async with running(settings) as address, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"http://{address}/metrics")).status_code == 404
    assert not (tmp_path / "relay").exists()


async def test_it_says_where_it_listens_and_as_what(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), domain="git.example.org")
    with capture_logs() as logs:
        async with running(settings) as address:
            pass
    assert {
        "address": address,
        "domain": "git.example.org",
        "event": "listening",
        "log_level": "info",
    } in logs


async def test_an_unspecified_address_wants_a_domain(tmp_path: Path) -> None:
    settings = attrs.evolve(settings_in(tmp_path), bind_address=f"0.0.0.0:{free_port()}")
    with capture_logs() as logs:
        async with running(settings):
            pass
    assert [e["event"] for e in logs if e["log_level"] == "warning"] == [
        "set NGIT_DOMAIN: clients cannot reach the address that this node listens on"
    ]


async def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        settings = attrs.evolve(settings_in(tmp_path), bind_address=address)
        with pytest.raises(ConfigurationError, match=f"{address} is in use by another process"):
            await run_node(settings)


async def test_a_second_node_on_the_same_data_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(settings) as address:
        second = attrs.evolve(settings, bind_address=f"127.0.0.1:{free_port()}")
        with pytest.raises(StoreBusy, match="another process uses"):
            await run_node(second)
        async with nostr_client(f"ws://{address}") as client:
            assert not await client.has("0" * 64)


async def test_a_damaged_database_is_left_as_it_is(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    database = settings.relay_data_path / DATABASE
    database.parent.mkdir()
    database.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreCorrupt, match="restore a copy of it"):
        await run_node(settings)
    assert database.read_bytes() == b"no database at all" * 1000


async def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "data"
    for settings, variable in (
        (attrs.evolve(settings_in(tmp_path), git_data_path=folder), "NGIT_GIT_DATA_PATH"),
        (attrs.evolve(settings_in(tmp_path), relay_data_path=folder), "NGIT_RELAY_DATA_PATH"),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot be used .*{variable}"):
            await run_node(settings)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", ["git", "relay"])
async def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match=r"cannot be used .*Permission denied"):
        await run_node(settings_in(tmp_path))


async def test_a_bad_key_file_is_a_sentence(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings.relay_data_path.mkdir()
    (settings.relay_data_path / FILE).write_text("nothing")
    with pytest.raises(ConfigurationError, match="holds no key"):
        await run_node(settings)


async def linger(address: str, nursery: trio.Nursery) -> None:
    """A subscriber, an idle connection, half a request and a silent one; all stay open."""

    async def subscribed(*, task_status: trio.TaskStatus[None]) -> None:
        async with nostr_client(f"ws://{address}") as client:
            task_status.started()
            with pytest.raises(Exception, match="closed the connection"):
                await client.wait_for("0" * 64)

    async def connected(data: bytes, *, task_status: trio.TaskStatus[None]) -> None:
        host, _, port = address.partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(data)
            task_status.started()
            await trio.sleep_forever()

    await nursery.start(subscribed)
    for data in (
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
        b"",
        b"POST /%b/r.git/git-upload-pack HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n"
        % ALICE.npub.encode(),
    ):
        await nursery.start(connected, data)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_within_ten_seconds_with_clients_connected(
    tmp_path: Path, number: signal.Signals
) -> None:
    settings = attrs.evolve(settings_in(tmp_path), listener=ListenerSettings())
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, settings)
            await linger(settings.bind_address, clients)
            started = trio.current_time()
            os.kill(os.getpid(), number)
        assert trio.current_time() - started < 9
        clients.cancel_scope.cancel()
    async with running(settings):
        pass


async def test_a_second_signal_stops_it_at_once(tmp_path: Path) -> None:
    listener = ListenerSettings(shutdown_grace_secs=600)
    settings = attrs.evolve(settings_in(tmp_path), listener=listener)
    async with trio.open_nursery() as clients:
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, settings)
            await linger(settings.bind_address, clients)
            os.kill(os.getpid(), signal.SIGTERM)
            await trio.sleep(0.2)
            assert nursery.child_tasks
            os.kill(os.getpid(), signal.SIGTERM)
            started = trio.current_time()
        assert trio.current_time() - started < 1
        clients.cancel_scope.cancel()


async def test_as_a_program_it_ends_with_code_0_on_sigterm(tmp_path: Path) -> None:
    async with process(tmp_path, NO_SUCH="1", SHUTDOWN_GRACE_SECS="1") as node:
        await node.start()
        async with trio.open_nursery() as clients:
            await linger(node.address, clients)
            assert await node.stop() == 0
            clients.cancel_scope.cancel()
        log = node.log.read_text()
        assert log.count("NGIT_NO_SUCH: unknown setting") == 1
        assert "Traceback" not in log


async def test_what_was_held_is_held_again_before_it_listens(tmp_path: Path) -> None:
    held = 'purgatory_held{kind="announcement"}'
    async with process(tmp_path) as node:
        await node.start()
        async with nostr_client(node.relay_url) as client:
            assert (await client.publish(announcement(node.address)))[0]
        await node.kill()
        await node.start()
        assert await node.metric(held) == 1


async def test_as_a_program_it_refuses_what_another_one_has(tmp_path: Path) -> None:
    async with process(tmp_path) as node:
        await node.start()
        for settings, sentence in (
            (
                {
                    "BIND_ADDRESS": node.address,
                    "RELAY_DATA_PATH": "other",
                    "GIT_DATA_PATH": "other/git",
                },
                "is in use by another",
            ),
            ({"BIND_ADDRESS": f"127.0.0.1:{free_port()}"}, "another process uses data/relay"),
            (
                {"BIND_ADDRESS": f"127.0.0.1:{free_port()}", "RELAY_DATA_PATH": "third"},
                "another process uses data/git",
            ),
        ):
            with trio.fail_after(20):
                done = await trio.run_process(
                    [sys.executable, "-m", "purgatory_sync"],
                    cwd=tmp_path,
                    env={**os.environ, **{f"NGIT_{k}": v for k, v in settings.items()}},
                    capture_stderr=True,
                    check=False,
                )
            assert done.returncode == 2
            log = done.stderr.decode()
            assert log.startswith("purgatory-sync: ")
            assert sentence in log
            assert log.count("\n") == 1
        assert await node.stop() == 0


async def test_b_13_3_a_node_is_ready_alive_and_has_metrics_elsewhere(tmp_path: Path) -> None:
    elsewhere = f"127.0.0.1:{free_port()}"
    settings = attrs.evolve(settings_in(tmp_path), metrics_bind_address=elsewhere)
    async with running(settings) as address, httpx.AsyncClient(trust_env=False) as http:
        for place in (address, elsewhere):
            assert (await http.get(f"http://{place}/healthz")).text == "ok\n"
            assert (await http.get(f"http://{place}/readyz")).json()["ready"] is True
        assert (await http.get(f"http://{address}/metrics")).status_code == 404
        assert "purgatory_held" in (await http.get(f"http://{elsewhere}/metrics")).text


async def _stopped_while_it_is_asked(node: NodeProcess) -> None:
    """Start a node and stop it; it answers until the delay is over, not ready any more."""
    try:
        await node.start()
        async with httpx.AsyncClient(trust_env=False) as http:
            stopped: list[int] = []
            async with trio.open_nursery() as nursery:

                async def stop() -> None:
                    stopped.append(await node.stop())

                nursery.start_soon(stop)
                with trio.fail_after(20):
                    while (await http.get(f"{node.http_url}/readyz")).is_success:
                        pass
                assert (await http.get(f"{node.http_url}/purgatory.json")).status_code == 200
            assert stopped == [0]
    finally:
        await node.aclose()


async def test_b_13_3_as_a_program_it_tells_systemd_and_stays_for_the_delay(
    tmp_path: Path,
) -> None:
    name = str(tmp_path / "notify")
    heard: list[bytes] = []
    node = NodeProcess(
        tmp_path,
        {"NOTIFY_SOCKET": name, "NGIT_SHUTDOWN_DELAY_SECS": "1", "WATCHDOG_USEC": "200000"},
    )
    async with trio.open_nursery() as listening:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            await notified.bind(name)

            async def hear() -> None:
                # All the time: the kernel keeps ten words, and loses what comes beyond.
                while True:
                    heard.append(await notified.recv(1024))

            listening.start_soon(hear)
            await _stopped_while_it_is_asked(node)
            with trio.fail_after(20):
                while b"STOPPING=1\nSTATUS=stopping" not in heard:  # noqa: ASYNC110
                    await trio.sleep(0.01)
            listening.cancel_scope.cancel()
    words = list(dict.fromkeys(heard))
    assert words[0] in (b"STATUS=opening the store", b"WATCHDOG=1")
    assert {b"READY=1\nSTATUS=serving", b"STOPPING=1\nSTATUS=stopping", b"WATCHDOG=1"} <= set(words)
