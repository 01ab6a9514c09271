"""The guard by which tests, demonstration and benchmarks reach this machine only."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx
import pytest
import trio

from benchmarks.world import node_environment
from purgatory_sync.settings import SyncSettings
from purgatory_sync.settings_loader import load_settings
from purgatory_sync.testing.node_process import LOOPBACK_ONLY, NodeProcess

from . import loopback

DEFAULT = SyncSettings()


@pytest.mark.parametrize("name", [*DEFAULT.user_index_relays, *DEFAULT.plus_fallback_relays])
def test_relays_that_are_dialled_by_default_are_not_even_looked_up(name: str) -> None:
    host = name.removeprefix("wss://")
    with pytest.raises(loopback.NotLoopback):
        socket.getaddrinfo(host, 443)

    assert loopback.wanted == [host]
    loopback.wanted.clear()


@pytest.mark.parametrize("address", ["93.184.216.34", "10.0.0.1", "2606:2800:220:1::1"])
def test_no_other_machine_is_dialled(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, pytest.raises(loopback.NotLoopback):
        probe.connect((address, 443))

    assert loopback.wanted == [address]
    loopback.wanted.clear()


def test_loopback_is_dialled() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("127.0.0.5", 443))
    assert socket.getaddrinfo("localhost", 443)


async def test_trio_is_guarded_too() -> None:
    with pytest.raises(loopback.NotLoopback):
        await trio.open_tcp_stream("relay.example", 443)

    assert loopback.wanted
    loopback.wanted.clear()


@pytest.mark.parametrize("environment", [os.environ, {**node_environment(Path(), 1, "ws://x")}])
def test_what_tests_and_benchmarks_start_names_no_relay_by_itself(
    environment: dict[str, str],
) -> None:
    inherited = {name: environment[name] for name in LOOPBACK_ONLY}
    sync = load_settings({}, inherited, Path("/nonexistent/.env")).settings.sync

    assert not sync.plus_enabled
    assert sync.user_index_relays == sync.plus_fallback_relays == ()


@pytest.mark.real
async def test_a_node_of_demo_and_tests_does_not_follow_participants(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, {})
    try:
        await node.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            metrics = (await client.get(f"{node.http_url}/metrics")).text
        assert "purgatory_relays" in metrics
        assert "purgatory_outbox" not in metrics
    finally:
        await node.aclose()
