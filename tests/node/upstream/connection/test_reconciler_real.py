from __future__ import annotations

from ipaddress import ip_network

import pytest
import trio

from purgatory_sync.node.relay.client_messages import Reconcile
from purgatory_sync.node.relay.relay import _Client
from purgatory_sync.node.upstream import Upstream
from purgatory_sync.node.upstream.state.filters_wanted import EVERYTHING
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Settings, SyncSettings
from purgatory_sync.testing.relay_server import RelayServer

from ..support import SERVICE, Engine
from ..test_real import loopback
from .test_reconciler import EVENTS, Here

pytestmark = pytest.mark.real


async def test_our_two_sides_understand_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Reconcile] = []
    reconcile = _Client._reconcile

    async def listen(client: _Client, asked: Reconcile) -> None:
        heard.append(asked)
        await reconcile(client, asked)

    monkeypatch.setattr(_Client, "_reconcile", listen)
    server, engine = RelayServer(), Engine()
    await server.publish(EVENTS)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve)
        sync = SyncSettings(bootstrap_relay_url=f"ws://127.0.0.1:{port}")
        gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
        here = Here(served=EVENTS[:100])
        settings = Settings(domain=SERVICE, sync=sync)
        engine.upstream = Upstream(settings, gate, engine.offer, local=here)
        await nursery.start(engine.upstream.run)
        with trio.fail_after(10):
            while set(engine.events) < set(EVENTS[100:]):  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert set(engine.events) == set(EVENTS[100:])
        assert EVERYTHING[0].kinds in [each.condition.kinds for each in heard if each.condition]
        nursery.cancel_scope.cancel()
