"""Another project's negentropy against ours: nostr-sdk, over a real socket (NIP-77)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import nostr_sdk
import pytest
import trio
from nostr_sdk.nostr_sdk import uniffi_set_event_loop

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.testing.relay_server import RelayServer

from .relay_support import make_event

pytestmark = pytest.mark.real


async def synchronise(
    path: Path, port: int, events: list[Event], direction: nostr_sdk.SyncDirection
) -> nostr_sdk.ClientSyncSummary:
    """What nostr-sdk, having these events, learns of our relay."""
    # The library calls its database from threads of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    database = await nostr_sdk.NostrLmdb.open(str(path))
    for event in events:
        await database.save_event(nostr_sdk.Event.from_json(encode_event(event).decode()))
    client = nostr_sdk.ClientBuilder().database(database).build()
    await client.add_relay(nostr_sdk.RelayUrl.parse(f"ws://127.0.0.1:{port}"))
    await client.connect(timedelta(seconds=5))
    output = await client.sync(
        nostr_sdk.Filter().kind(nostr_sdk.Kind(1)),
        opts=nostr_sdk.SyncOptions().direction(direction),
    )
    await client.shutdown()
    assert output.failed == {}
    return output.report


def ids(found: object) -> set[str]:
    return {each.to_hex() for each in found}  # type: ignore[attr-defined]


async def test_nostr_sdk_and_we_find_the_same_differences(tmp_path: Path) -> None:
    common = [make_event(n) for n in range(300)]
    ours = [make_event(n) for n in range(2_000, 2_100)]
    theirs = [make_event(n) for n in range(3_000, 3_040)]
    server = RelayServer()
    await server.publish([*common, *ours])
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve)

        def run() -> nostr_sdk.ClientSyncSummary:
            both = nostr_sdk.SyncDirection.BOTH
            return asyncio.run(synchronise(tmp_path, port, [*common, *theirs], both))

        with trio.fail_after(60):
            report = await trio.to_thread.run_sync(run)
        nursery.cancel_scope.cancel()
    assert ids(report.local) == {event.id for event in theirs}
    assert ids(report.remote) == {event.id for event in ours}
    assert ids(report.received) == {event.id for event in ours}
    assert ids(report.sent) == {event.id for event in theirs}
