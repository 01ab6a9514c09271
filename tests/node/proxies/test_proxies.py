"""The node behind nginx and Caddy, as deploy/ has them (B 13.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import attrs
import httpx
import pytest
import trio

from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.node import run_node
from purgatory_sync.settings import HuntSettings, ListenerSettings, Settings, SyncSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import free_port
from purgatory_sync.testing.nostr_client import nostr_client

from ..git_http.git_support import git
from ..git_http.push_support import MAIN, OWNER, Home
from ..support import served
from .proxy_support import proxy

pytestmark = pytest.mark.real
PROXIES = ["nginx", "caddy"]
MIB = 1 << 20
LOOPBACK = (ip_network("127.0.0.0/8"),)


@asynccontextmanager
async def home_behind(name: str, folder: Path, base: str = "") -> AsyncIterator[Home]:
    """A node that is known by the proxy's address, and an announced repository."""
    folder.joinpath("tree").mkdir()
    git("init", "-q", "-b", "main", folder / "tree")
    node, public = f"127.0.0.1:{free_port()}", free_port()
    settings = Settings(
        domain=f"127.0.0.1:{public}",
        base_path=base or "/",
        bind_address=node,
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
        sync=SyncSettings(plus_enabled=False),
        listener=ListenerSettings(trusted_proxy_cidrs=LOOPBACK, shutdown_grace_secs=0.5),
    )
    with trio.fail_after(120):
        async with proxy(name, folder / name, node, public, base), trio.open_nursery() as nursery:
            await nursery.start(run_node, settings)
            async with nostr_client(f"ws://{settings.service}") as relay:
                home = Home(settings, settings.service, relay, folder / "tree")
                await home.announce()
                yield home
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", PROXIES)
async def test_b_13_2_everything_works_behind_a_proxy(tmp_path: Path, name: str) -> None:
    async with home_behind(name, tmp_path) as home, httpx.AsyncClient(trust_env=False) as http:
        oid = home.commit("a")
        await home.state(MAIN)
        await home.push("main")
        assert home.refs() == {MAIN: oid}
        assert await home.git("ls-remote", home.url) == ""
        await home.git("clone", "-q", home.url, tmp_path / "copy")
        assert git("-C", tmp_path / "copy", "rev-parse", "HEAD") == oid

        base = f"http://{home.address}"
        for path, accept in (("/", "application/nostr+json"), ("/", "text/html")):
            answer = await http.get(base + path, headers={"accept": accept, "origin": "https://x"})
            assert answer.status_code == 200
            assert answer.headers.get_list("access-control-allow-origin") == ["*"]
        assert (await http.get(base, headers={"accept": "application/nostr+json"})).json()["pubkey"]
        assert (await http.get(f"{base}/metrics")).status_code == 404
        assert (await http.get(f"http://{home.settings.bind_address}/metrics")).status_code == 200
        assert (await http.get(f"{base}/readyz")).json() == {"ready": True}


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        ("my repo", "my%20repo"),
        ("c+s", "c%2Bs"),
        ("c+s", "c+s"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("a%b", "a%25b"),
    ],
)
async def test_b_13_2_identifiers_pass_a_proxy_unchanged(
    tmp_path: Path, name: str, identifier: str, written: str
) -> None:
    async with home_behind(name, tmp_path) as home:
        url = f"http://{home.address}/{OWNER.npub}/{written}.git"
        announced = events.announcement(
            OWNER,
            identifier,
            clone=[url],
            relays=[f"ws://{home.address}"],
            created_at=home.tick(),
        )
        await home.publish(announced)
        oid = home.commit("a")
        named = events.state(OWNER, identifier, {MAIN: oid}, created_at=home.tick())
        await home.publish(named)
        await home.git("push", url, "main")
        await home.git("clone", "-q", url, tmp_path / "copy")
        assert git("-C", tmp_path / "copy", "rev-parse", "HEAD") == oid


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize(
    ("identifier", "written"),
    [("my repo", "my%20repo"), ("größe", "gr%C3%B6%C3%9Fe"), ("a%b", "a%25b")],
)
async def test_b_13_9_everything_works_below_a_base_path(
    tmp_path: Path, name: str, identifier: str, written: str
) -> None:
    base = "/services/grasp"
    async with (
        home_behind(name, tmp_path, base) as home,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        url = f"http://{home.address}/{OWNER.npub}/{written}.git"
        announced = events.announcement(
            OWNER,
            identifier,
            clone=[url],
            relays=[f"ws://{home.address}/"],
            created_at=home.tick(),
        )
        await home.publish(announced)
        oid = home.commit("a")
        named = events.state(OWNER, identifier, {MAIN: oid}, created_at=home.tick())
        await home.publish(named)
        await home.git("push", url, "main")
        await home.git("clone", "-q", url, tmp_path / "copy")
        assert git("-C", tmp_path / "copy", "rev-parse", "HEAD") == oid

        root = f"http://{home.settings.domain}"
        document = {"accept": "application/nostr+json"}
        for path in (base, f"{base}/"):
            said = (await http.get(f"{root}{path}", headers=document)).json()
            assert said["icon"] == f"{root}{base}/icon.svg"
            assert 5 not in said["supported_nips"]
        assert (await http.get(said["icon"])).status_code == 200
        page = (await http.get(f"{root}{base}/purgatory", headers={"accept": "text/html"})).text
        assert f'href="{base}/purgatory.json"' in page
        page = (await http.get(url, headers={"accept": "text/html"})).text
        assert url in page
        assert quote(home.address, safe="") in page
        node = f"http://{home.settings.bind_address}"
        for path in ("/healthz", "/readyz", "/metrics", f"{base}/metrics"):
            assert (await http.get(f"{node}{path}")).status_code == 200
        for path in ("/", "/purgatory", "/icon.svg", f"/{OWNER.npub}/{written}.git", f"{base}2/"):
            assert (await http.get(f"{node}{path}", headers=document)).status_code == 404
        with pytest.raises(Exception, match="404"):
            async with nostr_client(f"ws://{home.settings.bind_address}"):
                pass


@attrs.define
class Reading:
    """Reads a body, and lets others wait until so much of it is there."""

    size: int = 0
    peers: list[str] = attrs.field(factory=list)
    _some: trio.Event = attrs.field(factory=trio.Event)

    async def answer(self, exchange: Exchange) -> None:
        self.peers.append(exchange.peer)
        while piece := await exchange.read():
            self.size += len(piece)
            self._some.set()
            self._some = trio.Event()
        await exchange.respond(200, b"%d" % self.size)

    async def until(self, size: int) -> None:
        while self.size < size:
            await self._some.wait()


@pytest.mark.parametrize("name", PROXIES)
async def test_b_13_2_300_mib_pass_a_proxy_as_they_come(tmp_path: Path, name: str) -> None:
    reading = Reading()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(MIB)
        await reading.until(MIB)  # a proxy that buffers a request would not send it on yet
        for _ in range(299):
            yield bytes(MIB)

    settings = ListenerSettings(trusted_proxy_cidrs=LOOPBACK)
    with trio.fail_after(120):
        async with (
            served(reading.answer, settings=settings, real=True) as place,
            proxy(name, tmp_path, f"127.0.0.1:{place.port}") as address,
            httpx.AsyncClient(trust_env=False, timeout=60) as http,
        ):
            answer = await http.post(f"http://{address}/x.git/git-receive-pack", content=body())
    assert answer.text == str(300 * MIB)


@pytest.mark.parametrize("name", PROXIES)
async def test_b_13_2_a_proxy_names_the_client_and_not_what_the_client_wrote(
    tmp_path: Path, name: str
) -> None:
    reading = Reading()
    settings = ListenerSettings(trusted_proxy_cidrs=(ip_network("127.0.0.1/32"),))
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.7")
    async with (
        served(reading.answer, settings=settings, real=True) as place,
        proxy(name, tmp_path, f"127.0.0.1:{place.port}") as address,
        httpx.AsyncClient(transport=transport, trust_env=False) as http,
    ):
        await http.get(f"http://{address}/", headers={"x-forwarded-for": "203.0.113.5"})
    assert reading.peers == ["127.0.0.7"]
