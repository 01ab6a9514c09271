from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_network

import pytest
import trio

from purgatory_sync.node.upstream import Upstream
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Proxy, Settings, SyncSettings
from purgatory_sync.testing.relay_server import RelayServer

from ...passing_on import CERTIFICATE, tls_in_front_of
from ...runtime.proxies import proxy_server
from .support import OWNER, SERVICE, Engine, listed, state_of

pytestmark = pytest.mark.real

ANNOUNCED, STATE = listed(OWNER, "repo"), state_of(OWNER, "repo")


async def loopback(host: str) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def following(
    url: str, tls: ssl.SSLContext, proxy: Proxy | None = None
) -> AsyncIterator[tuple[Upstream, Engine]]:
    settings = Settings(domain=SERVICE, sync=SyncSettings(bootstrap_relay_url=url))
    gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback, proxy=proxy)
    engine = Engine()
    engine.upstream = upstream = Upstream(settings, gate, engine.offer, tls=lambda: tls)
    async with trio.open_nursery() as nursery:
        await nursery.start(upstream.run)
        with trio.fail_after(10):
            yield upstream, engine
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def relay(*events: Event) -> AsyncIterator[tuple[RelayServer, int]]:
    server = RelayServer()
    await server.publish(events)
    async with trio.open_nursery() as nursery:
        yield server, await nursery.start(server.serve)
        nursery.cancel_scope.cancel()


async def offered(engine: Engine, *events: Event) -> None:
    while set(engine.events) < set(events):  # noqa: ASYNC110
        await trio.sleep(0.01)
    assert set(engine.events) == set(events)


async def error_of(upstream: Upstream) -> str:
    while not (error := upstream.looks()[0].reason):  # noqa: ASYNC110
        await trio.sleep(0.01)
    return error


async def test_history_and_live_from_a_real_relay_and_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        relay(ANNOUNCED) as (server, port),
        following(f"ws://127.0.0.1:{port}", ssl.create_default_context()) as (_, engine),
    ):
        await offered(engine, ANNOUNCED)
        await server.publish([STATE])
        await offered(engine, ANNOUNCED, STATE)


async def test_relays_are_followed_through_the_operators_proxy() -> None:
    tls = ssl.create_default_context()
    async with relay(ANNOUNCED) as (_, port), proxy_server() as proxy:
        async with following(f"ws://relay.example:{port}", tls, proxy.setting()) as (_, engine):
            await offered(engine, ANNOUNCED)
        assert set(proxy.asked) == {f"127.0.0.1:{port}"}
        nobody = Proxy("http", "127.0.0.1", 1)
        async with following(f"ws://relay.example:{port}", tls, nobody) as (upstream, _):
            assert "no connection to the proxy" in await error_of(upstream)


async def test_wss_checks_the_name_and_the_issuer() -> None:
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    async with relay(ANNOUNCED) as (_, plain), tls_in_front_of(plain) as port:
        async with following(f"wss://git.example:{port}", trusting) as (upstream, engine):
            await offered(engine, ANNOUNCED)
            assert upstream.looks()[0].connected
        stranger = ssl.create_default_context()
        for host, tls in (("other", trusting), ("git", stranger)):
            async with following(f"wss://{host}.example:{port}", tls) as (upstream, engine):
                assert "certificate" in await error_of(upstream)
                assert engine.events == []


async def test_redirects_are_not_followed() -> None:
    async with relay(ANNOUNCED) as (_, port):

        async def redirect(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.send_all(
                b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%d/\r\n"
                b"Content-Length: 0\r\n\r\n" % port
            )

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, redirect, 0, host="127.0.0.1"))
            there = listeners[0].socket.getsockname()[1]
            url = f"ws://127.0.0.1:{there}"
            async with following(url, ssl.create_default_context()) as (upstream, engine):
                assert "302" in await error_of(upstream)
                assert engine.events == []
            nursery.cancel_scope.cancel()
