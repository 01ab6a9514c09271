from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs

from purgatory_sync.errors import StoreError
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.store.opening import DATABASE, open_store
from purgatory_sync.store.protocol import Change
from purgatory_sync.store.sqlite import READERS, SqliteStore
from purgatory_sync.store.sqlite_queries import select
from purgatory_sync.testing.events import note

from .support import ALICE, everything


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = await open_store(tmp_path)
    yield made
    await made.aclose()


def ask(store: SqliteStore, sql: str) -> object:
    return store._connection.execute(sql).fetchone()[0]


async def test_commits_are_synced(store: SqliteStore) -> None:
    assert ask(store, "PRAGMA journal_mode") == "wal"
    assert ask(store, "PRAGMA synchronous") == 2
    assert ask(store, "PRAGMA foreign_keys") == 1


HEX = frozenset({"a" * 64})
TWO = HEX | {"b" * 64}


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(ids=TWO, authors=HEX, kinds=frozenset({1}), tags={"e": HEX}), "(id=?)"),
        (Filter(tags={"e": TWO}, authors=HEX, kinds=frozenset({1}), since=5), "(rowid=?)"),
        (Filter(tags={"e": TWO, "d": HEX}, authors=TWO), "(rowid=?)"),
        (Filter(authors=TWO, since=5), "event_by_author (pubkey=?)"),
        (Filter(authors=HEX, kinds=frozenset({1, 2})), "event_by_author (pubkey=? AND kind=?)"),
        (Filter(kinds=frozenset({1}), until=5), "event_by_kind (kind=? AND created_at<?)"),
        (Filter(since=5, until=9), "event_by_time (created_at>? AND created_at<?)"),
    ],
)
async def test_every_condition_is_answered_by_an_index(
    store: SqliteStore, wanted: Filter, index: str
) -> None:
    source, parameters = select(wanted)
    sql = f"EXPLAIN QUERY PLAN SELECT number {source} ORDER BY created_at DESC, id"
    plan = [row[3] for row in store._connection.execute(sql, parameters)]
    assert any(step.startswith("SEARCH event") and index in step for step in plan), plan
    assert not any(step.startswith(("SCAN event", "SCAN tag")) for step in plan), plan


@pytest.mark.parametrize("wanted", [Filter(), Filter(kinds=frozenset({1}), since=3)])
async def test_the_newest_come_without_sorting(store: SqliteStore, wanted: Filter) -> None:
    source, parameters = select(wanted)
    sql = f"EXPLAIN QUERY PLAN SELECT number {source} ORDER BY created_at DESC, id"
    plan = [row[3] for row in store._connection.execute(sql, parameters)]
    assert not any("TEMP B-TREE" in step for step in plan), plan


async def test_many_changes_share_a_sync(store: SqliteStore) -> None:
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    async with trio.open_nursery() as nursery:
        for i in range(100):
            nursery.start_soon(store.apply, Change(save=[note(ALICE, str(i))]))
    store._connection.set_trace_callback(None)
    assert await store.count([Filter()]) == 100
    assert statements.count("COMMIT") <= 3


async def test_a_bad_change_fails_alone(store: SqliteStore) -> None:
    not_unicode = structs.replace(note(ALICE), content="\ud800")
    good = [note(ALICE, str(i)) for i in range(3)]
    failures: list[StoreError] = []

    async def bring(change: Change) -> None:
        try:
            await store.apply(change)
        except StoreError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, Change(save=[good[0]]))
        nursery.start_soon(bring, Change(save=[good[1], not_unicode], expire=everything().expire))
        nursery.start_soon(bring, Change(save=[good[2]]))
    assert len(failures) == 1
    assert await store.served_ids([event.id for event in good]) == {good[0].id, good[2].id}
    assert (await store.load()).expired == ()


async def test_a_full_disk_is_said_and_survived(store: SqliteStore) -> None:
    await store.apply(Change(save=[note(ALICE, "before")]))
    pages = ask(store, "PRAGMA page_count")
    ask(store, f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"no space left for .*: free some; nothing was changed"):
        await store.apply(everything("x" * 100_000))
    assert await store.count([Filter()]) == 1
    assert (await store.load()).held == ()
    ask(store, "PRAGMA max_page_count = 100000")
    assert len((await store.apply(everything("x" * 100_000))).saved) == 2


async def test_more_readers_than_places(store: SqliteStore) -> None:
    events = [note(ALICE, str(i), created_at=i) for i in range(200)]
    await store.apply(Change(save=events))
    found: list[int] = []

    async def read() -> None:
        found.append(len(await store.query([Filter()], 500)))

    async with trio.open_nursery() as nursery:
        for _ in range(READERS * 4):
            nursery.start_soon(read)
    assert found == [200] * READERS * 4
    assert len(store._idle) <= READERS


async def test_closing_while_others_read_and_write(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    outcomes: list[str] = []

    async def use(number: int) -> None:
        try:
            await store.apply(Change(save=[note(ALICE, str(number))]))
            await store.query([Filter()], 10)
            outcomes.append("done")
        except StoreError as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(use, number)
        await trio.lowlevel.checkpoint()
        nursery.start_soon(store.aclose)
    assert set(outcomes) <= {"done", "the store is closed"}
    again = await open_store(tmp_path)
    assert await again.count([Filter()]) == 20
    await again.aclose()


async def test_in_virtual_time_it_takes_none(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with blocking_in_place():
        store = await open_store(tmp_path)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(store.apply, Change(save=[note(ALICE, str(i))]))
        assert await store.count([Filter()]) == 10
        await store.load()
        await store.aclose()
    assert trio.current_time() == start


async def test_damage_of_the_file_is_told(tmp_path: Path) -> None:
    async with aclosing(await open_store(tmp_path)) as store:
        await store.apply(Change(save=[note(ALICE, str(n)) for n in range(200)]))
    path = tmp_path / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        number = "SELECT rootpage FROM sqlite_schema WHERE name = 'event_by_time'"
        (page,) = connection.execute(number).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    async with aclosing(await open_store(tmp_path)) as store:
        with path.open("r+b") as file:
            file.seek((page - 1) * size + 8)
            file.write(bytes(92))
        assert await store.check()
