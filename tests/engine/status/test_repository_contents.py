"""What is in a hosted repository: refs with ages, the ruling state, size, what is held for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.engine.status.repository_contents import REFS_SHOWN, RepositoryContents
from purgatory_sync.engine.status.served_recently import ServedRecently
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.testing import events

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, NOW, OWNER, Home, announce
from .test_catalogue import CountingStore


async def look(engine: PurgatorySync) -> RepositoryContents:
    found = await engine.repository(OWNER.npub, "repo")
    assert found is not None
    assert found.contents is not None
    return found.contents


async def test_b_6_4_what_is_in_a_repository(tmp_path: Path, autojump_clock: MockClock) -> None:
    home, steps = Home(tmp_path), history(2)
    store = home.store = CountingStore()
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        empty = await look(engine)
        assert (empty.state, empty.disk.head, empty.disk.branches) == (None, None, ())
        add_pack(home.path(), [each for step in steps for each in step.objects])
        refs = {MAIN: steps[1].oid, "refs/heads/old": steps[0].oid, "refs/tags/v1": steps[0].oid}
        state = events.state(OWNER, "repo", refs, created_at=NOW - 50)
        await engine.offer(state, "user")
        missing = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 40)
        await engine.offer(missing, "user")
        await trio.sleep(11)
        seen = await look(engine)
        assert seen.disk.head == "main"
        assert {(each.name, each.oid) for each in seen.disk.branches} == {
            ("main", steps[1].oid),
            ("old", steps[0].oid),
        }
        assert all(each.at > 0 for each in seen.disk.branches)
        assert [each.name for each in seen.disk.tags] == ["v1"]
        assert seen.disk.size > 100
        assert seen.state is not None
        assert (seen.state.event_id, seen.state.author) == (state.id, OWNER.npub)
        assert seen.state.served_at == pytest.approx(NOW, abs=1)
        assert seen.held == {"state": 1, "pull request": 0}
        engine._core.index.use_lists(engine.lists)  # nothing is remembered of the store
        store.reads = 0
        await look(engine)
        assert store.reads == 1
    async with home.running() as engine:
        again = await look(engine)
        assert again.state is not None
        assert again.state.served_at is None


async def test_b_6_4_the_newest_refs_of_many(tmp_path: Path, autojump_clock: MockClock) -> None:
    home, (step,) = Home(tmp_path), history(1)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        update_refs(home.path(), {f"refs/heads/b{n:03}": step.oid for n in range(300)})
        disk = (await look(engine)).disk
        assert (len(disk.branches), disk.branches_total) == (REFS_SHOWN, 300)


def test_what_brought_the_data_is_remembered() -> None:
    served = ServedRecently(2)
    for number in range(3):
        served.brought(f"e{number}", f"https://{number}.example/x.git")
    assert (served.source("e0"), served.source("e2")) == (None, "https://2.example/x.git")
