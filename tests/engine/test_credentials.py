"""No credential reaches a log, a page or one of our columns, wherever strangers write one (N4)."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import open_engine
from purgatory_sync.node.pages.public import public_status
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Proxy, Settings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ..git.scripted import Reply, World, redirect, world

NOW = 1_800_000_000
SERVICE = "grasp.example.com"
SECRET = "hunter2"
OWNER = Author.from_seed(1)
ASKED = "info/refs?service=git-upload-pack"
CLONE = (
    f"https://{SERVICE}/{OWNER.npub}/repo.git",
    f"http://me:{SECRET}@git.example/a.git",
    f"http://{SECRET}@git.example/a.git",
    f"http://me:{SECRET}@[::1/a.git",
    "http://git.example/b.git",
    "http://gone.example/c.git",
)
# What strangers sign is kept and served as they signed it.
SIGNED = {("event", "json"), ("held", "json")}


def columns(path: Path) -> dict[tuple[str, str], str]:
    """All that is in the database, by table and column."""
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = {}
    for (table,) in tables:
        cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608
        rows = cursor.fetchall()
        for number, (name, *_) in enumerate(cursor.description):
            found[table, name] = repr([row[number] for row in rows])
    connection.close()
    return found


def misbehave(place: World) -> None:
    place.answer = lambda seen: (
        Reply(status=404)
        if seen.host == "gone.example"
        else redirect(f"http://me:{SECRET}@other.example/x/{ASKED}")
    )


@pytest.mark.parametrize("proxy", [None, Proxy("http", "proxy.example", 1, ("me", SECRET))])
async def test_no_credential_is_logged_shown_or_kept(
    proxy: Proxy | None,
    tmp_path: Path,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(0)
    settings = Settings(
        domain=SERVICE, git_data_path=tmp_path / "git", relay_data_path=tmp_path / "relay"
    )
    announced = events.announcement(
        OWNER, "repo", clone=CLONE, relays=[f"wss://{SERVICE}"], created_at=NOW - 100
    )
    state = events.state(OWNER, "repo", {"refs/heads/main": "1" * 40}, created_at=NOW - 50)
    with capture_logs() as logs:
        async with world(tmp_path / "unused") as place, AsyncExitStack() as stack:
            misbehave(place)
            gate = Gate(resolve=place._resolve, connect=place._connect, proxy=proxy)
            clock = WallClock(NOW - trio.current_time())
            engine = await stack.enter_async_context(open_engine(settings, gate=gate, clock=clock))
            for event in (announced, state):
                assert (await engine.offer(event, "user")).accepted
            await trio.sleep(300)
            assert place.seen
            look = await engine.explainer.look()
            shown = msgspec.json.encode(public_status(look, ())).decode()
            told = f"{look} {engine.statistics()} {shown}"
    assert "git.example" in told
    assert SECRET not in told
    assert SECRET not in f"{logs} {caplog.text}"
    database = tmp_path / "relay" / DATABASE
    kept = columns(database)
    assert {column for column, text in kept.items() if SECRET in text} <= SIGNED
    naughty = kept["naughty", "key"]
    assert naughty == ("['http://gone.example/c.git']" if proxy is None else "[]")
