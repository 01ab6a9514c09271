"""The engine behind a real proxy that refuses at first (B 8.7), with a real git server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.errors import ResultClass
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings, Proxy, Settings, SyncSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.git_server import GitServer

from ..git.local_repos import add_pack, history, new_repository, write_loose_ref
from ..runtime.proxies import proxy_server

pytestmark = pytest.mark.real

SERVICE = "grasp.example.com"
URL = "http://git.example/r.git"
OWNER = Author.from_seed(1)
SECRET = ("me", "hunter2")


@asynccontextmanager
async def running(folder: Path, proxy: Proxy, released: list[str]) -> AsyncIterator[PurgatorySync]:
    async def resolve(host: str) -> list[str]:
        return ["198.41.0.4"]

    settings = Settings(
        domain=SERVICE,
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
        sync=SyncSettings(default_delay_secs=0),
    )
    gate = Gate(resolve=resolve, proxy=proxy)
    async with open_engine(
        settings, gate=gate, notify=lambda event: released.append(event.id)
    ) as engine:
        with trio.fail_after(20):
            yield engine


async def test_b_8_7_a_proxy_that_refuses_bans_no_server_and_a_good_one_releases(
    tmp_path: Path,
) -> None:
    tip = history(1)[0]
    upstream = new_repository(tmp_path / "upstream")
    add_pack(upstream, tip.objects)
    write_loose_ref(upstream, "refs/heads/main", tip.oid)
    now = int(time.time())
    clone = [f"https://{SERVICE}/{OWNER.npub}/r.git", URL]
    announced = events.announcement(
        OWNER, "r", clone=clone, relays=[f"wss://{SERVICE}"], created_at=now - 9
    )
    state = events.state(OWNER, "r", {"refs/heads/main": tip.oid}, created_at=now - 8)
    released: list[str] = []
    async with (
        GitServer(upstream.parent) as server,
        proxy_server(SECRET, leads_to=(server.host, server.port)) as proxy,
    ):
        async with running(tmp_path, proxy.setting(), released) as engine:
            for event in (announced, state):
                assert (await engine.offer(event, "user")).accepted
            while not (sources := engine.statistics().events[-1].sources):  # noqa: ASYNC110
                await trio.sleep(0.05)
            assert [(s.url, s.result, s.detail) for s in sources] == [
                (
                    URL,
                    ResultClass.LOCAL,
                    "the proxy does not take our user and password (HTTP 407)",
                )
            ]
            (look,) = await engine.explainer.why(state.id)
            assert [source.naughty_until for source in look.sources] == [None]
        assert released == []
        assert server.requests == []
        async with running(tmp_path, proxy.setting("http", SECRET), released):
            while len(released) < 2:  # noqa: ASYNC110
                await trio.sleep(0.05)
    assert set(released) == {announced.id, state.id}
    assert proxy.asked == ["198.41.0.4:80"]
