"""B 10.1: what the relay takes at least, and that it says so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.trio.client import ClientConnection as WebSocketConnection
from websockets.trio.client import connect

from purgatory_sync.node.relay.nip11 import document
from purgatory_sync.node.relay.relay import Relay
from purgatory_sync.settings import MIB, RelaySettings

from ..support import served
from .relay_support import MemoryBackend, make_event, plain
from .test_nip11 import make_info


def test_b_10_1_the_limits_are_large_enough_and_announced() -> None:
    settings = RelaySettings()
    assert settings.max_message_bytes >= MIB
    assert settings.max_subscriptions >= 20
    assert settings.max_limit == 5_000
    assert settings.events_per_minute == 600
    said = json.loads(document(make_info(settings)))["limitation"]
    assert said["max_message_length"] == settings.max_message_bytes
    assert said["max_subscriptions"] == settings.max_subscriptions
    assert said["max_limit"] == said["default_limit"] == 5_000
    assert said["max_events_per_minute"] == 600


@asynccontextmanager
async def client_of(backend: MemoryBackend) -> AsyncIterator[WebSocketConnection]:
    settings = RelaySettings()
    relay = Relay(backend, backend.subscriptions, settings)
    most = settings.max_message_bytes
    async with (
        served(websocket=relay.serve, real=True, max_message_bytes=most) as place,
        connect(f"ws://127.0.0.1:{place.port}/", proxy=None) as client,
    ):
        yield client


@pytest.mark.real
async def test_b_10_1_a_req_of_a_mebibyte_with_thousands_of_values() -> None:
    backend = MemoryBackend()
    older, newer = make_event(0), make_event(1)
    backend.serve(older)
    backend.serve(newer)
    ids = [f"{number:064x}" for number in range(16_000)]
    frame = json.dumps(["REQ", "s", {"ids": [*ids, older.id]}, {"#t": ["1", *ids[:500]]}])
    assert len(frame) > MIB
    async with client_of(backend) as client:
        await client.send(frame)
        heard = [json.loads(await client.recv()) for _ in range(3)]
    assert heard == [["EVENT", "s", plain(newer)], ["EVENT", "s", plain(older)], ["EOSE", "s"]]


@pytest.mark.real
async def test_b_10_1_twenty_subscriptions_of_one_connection_hear_what_is_new() -> None:
    backend = MemoryBackend()
    async with client_of(backend) as client:
        for number in range(20):
            await client.send(json.dumps(["REQ", f"s{number}", {}]))
            assert json.loads(await client.recv()) == ["EOSE", f"s{number}"]
        backend.serve(make_event(1))
        heard = [json.loads(await client.recv())[:2] for _ in range(20)]
    assert sorted(heard) == sorted(["EVENT", f"s{number}"] for number in range(20))
