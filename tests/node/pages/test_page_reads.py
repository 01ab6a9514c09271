"""Each page costs at most one read of the database.

What is counted: the jobs that `SqliteStore` gives to its reader threads. Each is one connection for
one call of `query`, `look`, `served_ids` and so on, so that two of them are two reads, however
little they fetch. Nothing is remembered between the reads here: the cache of the index is of one
value, and emptied before each page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.node.pages.page_routes import PageRoutes
from purgatory_sync.release.index import index_cache
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import PrsSettings
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.sqlite import SqliteStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...engine.test_engine import MAIN, NOW, OWNER, SERVICE, Home, announce
from ...git.local_repos import add_pack, history
from ..relay.test_nip11 import make_info
from .test_page_routes import ask


class Reads:
    """Counts the jobs of the reader threads of every `SqliteStore`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        read: Any = SqliteStore._read

        async def counted(store: SqliteStore, *args: Any, **more: Any) -> Any:
            self.count += 1
            return await read(store, *args, **more)

        monkeypatch.setattr(SqliteStore, "_read", counted)


@asynccontextmanager
async def node(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[PurgatorySync, Reads, PageRoutes]]:
    """An engine over SQLite with its pages."""
    monkeypatch.setattr(index_cache, "MOST_VALUES", 1)
    reads, home = Reads(monkeypatch), Home(folder)
    home.settings = attrs.evolve(home.settings, prs=PrsSettings(enabled=True))
    with blocking_in_place():
        store = await open_store(folder / "relay")
    home.store = store  # type: ignore[assignment]
    async with home.running() as engine:
        look, catalogue = engine.explainer.look, engine.cataloguer.look
        yield engine, reads, PageRoutes(
            make_info, look, engine.repository, (), contribution=engine.contribution,
            catalogue=catalogue,
        )  # fmt: skip
    with blocking_in_place():
        await store.aclose()


def named(author: Author, name: str) -> Any:
    clone = [f"https://{SERVICE}/{author.npub}/{name}.git"]
    relays = [f"wss://{SERVICE}"]
    return events.announcement(author, name, clone=clone, relays=relays, created_at=NOW - 100)


async def reads(engine: PurgatorySync, seen: Reads, pages: PageRoutes, path: str, says: str) -> int:
    """How often the database is read for a page that says this."""
    engine._core.index.use_lists(engine.lists)  # nothing is remembered of the store
    seen.count = 0
    status, _, body = await ask(pages, path)
    assert (status, says in body) == (200, True), body
    return seen.count


async def test_b_10_3_the_status_page_costs_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with node(tmp_path, monkeypatch) as (engine, seen, pages):
        for number in range(30):
            name, other = f"r{number}", Author.from_seed(50 + number)
            state = events.state(OWNER, name, {MAIN: f"{number + 1:040}"}, created_at=NOW - 50)
            tip = f"{number + 100:040}"
            request = events.pull_request(other, [OWNER.coordinate(name)], tip, created_at=NOW)
            for event in (named(OWNER, name), state, request):
                assert (await engine.offer(event, "user")).accepted
        (step,) = history(1)
        add_pack(engine.settings.git_data_path / OWNER.npub / "r3.git", step.objects)
        served = events.state(OWNER, "r3", {MAIN: step.oid}, created_at=NOW - 50)
        assert (await engine.offer(served, "user")).outcome is Outcome.SERVED
        await trio.sleep(60)
        assert await reads(engine, seen, pages, "/purgatory", "r29</bdi>") == 1
        assert await reads(engine, seen, pages, "/purgatory", "r29</bdi>") == 0  # it is fresh
        assert await reads(engine, seen, pages, "/purgatory.json", '"r29"') == 0


async def test_b_6_4_a_repository_costs_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with node(tmp_path, monkeypatch) as (engine, seen, pages):
        (step,) = history(1)
        await engine.offer(announce(), "user")
        add_pack(engine.settings.git_data_path / OWNER.npub / "repo.git", step.objects)
        state = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW)
        await engine.offer(state, "user")
        await engine.offer(named(OWNER, "repo.git"), "user")
        await trio.sleep(60)
        for name in ("repo", "repo.git", "repo.git.git"):
            assert await reads(engine, seen, pages, f"/{OWNER.npub}/{name}", OWNER.npub) == 1
        seen.count = 0
        assert (await ask(pages, f"/{OWNER.npub}/other.git"))[0] == 404
        assert seen.count == 0


async def test_b_6_4_the_landing_page_costs_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with node(tmp_path, monkeypatch) as (engine, seen, pages):
        (step,) = history(1)
        await engine.offer(announce(), "user")
        add_pack(engine.settings.git_data_path / OWNER.npub / "repo.git", step.objects)
        state = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW)
        await engine.offer(state, "user")
        await trio.sleep(90)  # the engine's own work after its start is done
        assert await reads(engine, seen, pages, "/", "1 repository served here") == 1
        assert await reads(engine, seen, pages, "/", "1 repository served here") == 0
