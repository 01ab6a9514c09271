"""Another project's client that knows NIP-42 publishes what it protects (NIP-70)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import nostr_sdk
import pytest
import trio
from nostr_sdk.nostr_sdk import uniffi_set_event_loop

from purgatory_sync.node.relay.client_auth import Identity
from purgatory_sync.node.relay.relay import Relay
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.settings import RelaySettings

from ..support import served
from .relay_support import MemoryBackend

pytestmark = pytest.mark.real


async def publish(url: str) -> str:
    """The id of a protected event after the relay took it, though the client was told no more."""
    keys = nostr_sdk.Keys.generate()
    uniffi_set_event_loop(asyncio.get_running_loop())
    proves = nostr_sdk.SignerAuthenticator(keys)
    client = nostr_sdk.ClientBuilder().authenticator(proves).build()
    relay = nostr_sdk.RelayUrl.parse(url)
    await client.add_relay(relay)
    await client.connect(timedelta(seconds=5))
    builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(1), "mine")
    event = builder.tags([nostr_sdk.Tag.parse(["-"])]).finalize(keys)
    output = await client.send_event(event)
    await client.shutdown()
    assert output.failed == {}
    return str(event.id().to_hex())


async def test_b_10_4_nostr_sdk_proves_itself_and_sends_again() -> None:
    backend = MemoryBackend()
    service = ""
    now = WallClock.from_system().now
    relay = Relay(backend, backend.subscriptions, RelaySettings(), lambda: Identity(service, now))
    async with served(websocket=relay.serve, real=True) as place:
        service = f"127.0.0.1:{place.port}"
        run = partial(asyncio.run, publish(f"ws://{service}"))
        with trio.fail_after(30):
            event_id = await trio.to_thread.run_sync(run)
    assert [event.id for event in backend.events] == [event_id]
