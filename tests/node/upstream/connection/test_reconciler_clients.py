"""Our negentropy against another project's relay: nostr-sdk's, over a real socket (NIP-77)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import nostr_sdk
import pytest
import trio
from nostr_sdk.nostr_sdk import uniffi_set_event_loop

from purgatory_sync.node.upstream import Upstream
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Settings, SyncSettings

from ..support import NOW, OTHER, OWNER, SERVICE, Engine, listed
from ..test_real import loopback
from .test_reconciler import Here

pytestmark = pytest.mark.real


async def serve(
    path: Path, events: list[Event], tell: Callable[[str, asyncio.Future[None]], None]
) -> None:
    """Have nostr-sdk's relay serve these; returns when the future that it tells is done."""
    # The library calls its database from threads of its own.
    uniffi_set_event_loop(asyncio.get_running_loop())
    database = await nostr_sdk.NostrLmdb.open(str(path))
    for event in events:
        await database.save_event(nostr_sdk.Event.from_json(encode_event(event).decode()))
    relay = nostr_sdk.LocalRelayBuilder().database(database).build()
    await relay.run()
    over = asyncio.get_running_loop().create_future()
    tell(str(await relay.url()), over)
    await over
    relay.shutdown()
    await asyncio.sleep(timedelta(milliseconds=100).total_seconds())


async def test_nostr_sdks_relay_tells_us_what_we_lack(tmp_path: Path) -> None:
    common = [listed(OWNER, f"r{n}", created_at=NOW - 9_000 + 50 * n) for n in range(150)]
    ours = [listed(OTHER, f"o{n}", created_at=NOW - 9_500 + 20 * n) for n in range(100)]
    theirs = [listed(OTHER, f"t{n}", created_at=NOW - 9_100 + 17 * n) for n in range(510)]
    engine, told = Engine(), trio.Event()
    where: list[tuple[str, asyncio.Future[None]]] = []
    token = trio.lowlevel.current_trio_token()

    def tell(url: str, over: asyncio.Future[None]) -> None:
        where.append((url, over))
        token.run_sync_soon(told.set)

    async def relay() -> None:
        await trio.to_thread.run_sync(
            lambda: asyncio.run(serve(tmp_path, [*common, *theirs], tell))
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay)
        with trio.fail_after(60):
            await told.wait()
        (url, over), *_ = where
        gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
        settings = Settings(domain=SERVICE, sync=SyncSettings(bootstrap_relay_url=url))
        here = Here(served=[*common, *ours])
        upstream = Upstream(settings, gate, engine.offer, local=here)
        engine.upstream = upstream
        running = await nursery.start(run, upstream)
        with trio.move_on_after(30):
            while not set(engine.events) >= set(theirs):  # noqa: ASYNC110
                await trio.sleep(0.01)
        (look,) = upstream.looks()
        running.cancel()
        over.get_loop().call_soon_threadsafe(over.set_result, None)
    assert (look.history, look.reason) == ("negentropy", "")
    newest = max(common, key=lambda e: e.created_at)
    assert set(engine.events) - {newest} == set(theirs), "what is here was not sent"


async def run(upstream: Upstream, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await upstream.run()
