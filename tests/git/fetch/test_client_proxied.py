"""Fetches through a real proxy on a loopback address, with and without TLS behind it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.errors import (
    AttemptFailed,
    Forbidden,
    NaughtyScope,
    NotHttp,
    NotReachedByProxy,
    ProxyFailed,
    TlsFailed,
)
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings, Proxy
from purgatory_sync.testing.git_server import GitServer

from ...passing_on import CERTIFICATE, tls_in_front_of
from ...runtime.proxies import ProxyServer, proxy_server
from ..local_repos import add_pack, history, new_repository, write_loose_ref

pytestmark = pytest.mark.real

STEPS = history(3)
OIDS = [step.oid for step in STEPS]
PUBLIC = "8.8.8.8"
SECRET = ("me", "hunter2")


@attrs.frozen
class Scene:
    """A git server that is only to be had through a proxy; every name is at a public address."""

    server: GitServer
    here: Path
    quarantine: Path

    @asynccontextmanager
    async def client(self, proxy: Proxy) -> AsyncIterator[GitClient]:
        async def resolve(host: str) -> list[str]:
            return ["10.0.0.1"] if host.startswith("inside") else [PUBLIC]

        settings = HuntSettings(min_free_bytes=0, connect_timeout_secs=5)
        gate = Gate(resolve=resolve, proxy=proxy)
        trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
        async with GitClient(settings, gate, self.quarantine, tls=trusting) as client:
            yield client

    async def fetch(self, proxy: Proxy, url: str, *oids: str) -> frozenset[str]:
        async with (
            self.client(proxy) as client,
            await client.fetch_oids(self.here, url, oids or [OIDS[2]]) as proven,
        ):
            await proven.join()
        return proven.obtained

    async def failure(self, proxy: Proxy, url: str) -> AttemptFailed:
        with pytest.raises(AttemptFailed) as caught:
            await self.fetch(proxy, url)
        return caught.value


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    path = new_repository(tmp_path / "upstream")
    add_pack(path, [item for step in STEPS for item in step.objects])
    write_loose_ref(path, "refs/heads/main", OIDS[2])
    async with GitServer(path.parent) as server:
        yield Scene(server, new_repository(tmp_path / "here"), tmp_path / "quarantine")


def nothing_told(proxy: ProxyServer) -> bool:
    """Whether no name of a host and no path reached the proxy."""
    return all(b"git.example" not in head and b"r.git" not in head for head in proxy.heads)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("credentials", [None, SECRET])
async def test_git_comes_through_the_proxy(
    scheme: str, credentials: tuple[str, str] | None, scene: Scene
) -> None:
    behind = (scene.server.host, scene.server.port)
    async with proxy_server(credentials, leads_to=behind) as proxy:
        setting = proxy.setting(scheme, credentials)
        # Two requests, the second over the connection that is there.
        oids = ["12" * 20, OIDS[2]]
        assert await scene.fetch(setting, "http://git.example/r.git", *oids) == {OIDS[2]}
    assert present_oids(scene.here, [OIDS[2]]) == {OIDS[2]}
    assert proxy.asked == [f"{PUBLIC}:80"]
    assert nothing_told(proxy)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_tls_reaches_through_it_and_verifies_the_name(scheme: str, scene: Scene) -> None:
    async with (
        tls_in_front_of(scene.server.port) as port,
        proxy_server(leads_to=("127.0.0.1", port)) as proxy,
    ):
        setting = proxy.setting(scheme)
        assert await scene.fetch(setting, "https://git.example/r.git") == {OIDS[2]}
        error = await scene.failure(setting, "https://other.example/r.git")
    assert isinstance(error, TlsFailed)
    assert error.naughty is NaughtyScope.NONE
    assert proxy.asked == [f"{PUBLIC}:443"] * 2
    assert nothing_told(proxy)


async def test_other_credentials_than_it_wants(scene: Scene) -> None:
    async with proxy_server(SECRET) as proxy:
        for scheme in ("http", "socks5"):
            for given in (None, ("me", "wrong")):
                url = "http://git.example/r.git"
                error = await scene.failure(proxy.setting(scheme, given), url)
                assert type(error) is ProxyFailed
                assert not error.contacted
    assert proxy.asked == []
    assert scene.server.requests == []


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_server_that_the_proxy_does_not_reach(scheme: str, scene: Scene) -> None:
    async with proxy_server(leads_to=("127.0.0.1", 1)) as proxy:
        error = await scene.failure(proxy.setting(scheme), "http://git.example/r.git")
    assert type(error) is NotReachedByProxy
    assert proxy.asked == [f"{PUBLIC}:80"]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_b_8_7_a_proxy_that_agrees_and_answers_itself_bans_no_server(
    scheme: str, scene: Scene
) -> None:
    async def speak(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"220 this is no server at all\r\n" * 9)
            await stream.receive_some()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, speak, [listener])
        async with proxy_server(leads_to=listener.socket.getsockname()) as proxy:
            error = await scene.failure(proxy.setting(), f"{scheme}://git.example/r.git")
        nursery.cancel_scope.cancel()
    assert type(error) is (NotHttp if scheme == "http" else TlsFailed)
    assert error.naughty is NaughtyScope.NONE
    assert type(error).naughty is NaughtyScope.ENDPOINT


async def test_no_proxy_listens(scene: Scene) -> None:
    error = await scene.failure(Proxy("http", "127.0.0.1", 1), "http://git.example/r.git")
    assert type(error) is ProxyFailed


@pytest.mark.parametrize("url", ["http://inside.example/r.git", "http://127.0.0.1/r.git"])
async def test_what_is_inside_is_not_asked_for_through_it(url: str, scene: Scene) -> None:
    async with proxy_server() as proxy:
        assert type(await scene.failure(proxy.setting(), url)) is Forbidden
    assert proxy.asked == []
    assert proxy.heads == []
