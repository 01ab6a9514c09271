"""What systemd is told, on a real socket as it listens on."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from purgatory_sync.node.process.service_manager import ServiceManager
from purgatory_sync.testing.log_capture import capture_logs


@contextmanager
def manager(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name[1:] if name.startswith("@") else name)
        listening.settimeout(0)
        yield listening


def heard(listening: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(listening.recv(1024))
        except BlockingIOError:
            return found


@pytest.mark.parametrize("abstract", [True, False])
def test_b_13_3_systemd_hears_status_ready_and_stopping(tmp_path: Path, abstract: bool) -> None:
    name = f"@purgatory-sync-test-{os.getpid()}" if abstract else str(tmp_path / "s")
    with manager(name) as listening:
        told = ServiceManager({"NOTIFY_SOCKET": name})
        told.status("opening the store")
        told.ready()
        told.stopping()
        assert heard(listening) == [
            b"STATUS=opening the store",
            b"READY=1\nSTATUS=serving",
            b"STOPPING=1\nSTATUS=stopping",
        ]


async def test_b_13_3_the_watchdog_hears_at_half_its_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    name = str(tmp_path / "s")
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}
    with manager(name) as listening:
        with trio.move_on_after(60.5):
            await ServiceManager(environ).keep_alive()
        assert heard(listening) == [b"WATCHDOG=1"] * 5


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "30000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"},
    ],
)
async def test_no_watchdog_is_told_where_none_watches_this_process(
    environ: dict[str, str], autojump_clock: trio.testing.MockClock
) -> None:
    with capture_logs() as logs, trio.fail_after(1):
        await ServiceManager(environ).keep_alive()
    assert logs == []


def test_a_socket_that_is_gone_is_a_warning(tmp_path: Path) -> None:
    with capture_logs() as logs:
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
        ServiceManager({}).ready()
    assert [each["log_level"] for each in logs] == ["warning"]
