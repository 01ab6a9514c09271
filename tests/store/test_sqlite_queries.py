"""For every question, SQLite and memory find what `Filter.matches` says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.nostr.filters import Filter
from purgatory_sync.store import sqlite_queries
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.opening import DATABASE, open_store
from purgatory_sync.store.protocol import Change
from purgatory_sync.store.sqlite_schema import connect
from purgatory_sync.testing.events import Author, note

AUTHORS = [Author.from_seed(i) for i in range(3)]
VALUES = ["", "a", "b", "a\x00b", "\x01", "ü"]
EVENTS = [
    note(
        AUTHORS[i % 3],
        str(i),
        kind=(1, 7, 1618)[i % 5 % 3],
        tags=[("e", VALUES[i % 6]), ("t", VALUES[i % 4], "ignored"), ("t", VALUES[i % 3])],
        created_at=100 + i % 11,
    )
    for i in range(60)
]


FILTERS = st.builds(
    Filter,
    ids=st.none() | st.frozensets(st.sampled_from([e.id for e in EVENTS]), max_size=20),
    authors=st.none() | st.frozensets(st.sampled_from([a.pubkey for a in AUTHORS]), max_size=2),
    kinds=st.none() | st.frozensets(st.sampled_from([1, 7, 1618, 9]), max_size=3),
    tags=st.dictionaries(
        st.sampled_from("etx"), st.frozensets(st.sampled_from(VALUES), max_size=4), max_size=2
    ),
    since=st.none() | st.integers(95, 115),
    until=st.none() | st.integers(95, 115),
    limit=st.none() | st.integers(0, 20),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queries")

    async def fill() -> None:
        store = await open_store(folder)
        await store.apply(Change(save=EVENTS))
        await store.aclose()

    trio.run(fill)
    return folder / DATABASE


def expected(filters: list[Filter], limit: int) -> list[str]:
    found = set()
    for wanted in filters:
        matching = sorted(
            (e for e in EVENTS if wanted.matches(e)), key=lambda e: (-e.created_at, e.id)
        )
        found |= set(matching[: limit if wanted.limit is None else min(limit, wanted.limit)])
    return [e.id for e in sorted(found, key=lambda e: (-e.created_at, e.id))]


@given(filters=st.lists(FILTERS, max_size=3), limit=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_sqlite_finds_what_the_filter_says(filled: Path, filters: list[Filter], limit: int) -> None:
    with closing(connect(filled, "ro")) as connection:
        found = sqlite_queries.query(connection, filters, limit)
        assert [event.id for event in found] == expected(filters, limit)
        unlimited = [event for event in EVENTS if any(f.matches(event) for f in filters)]
        assert sqlite_queries.count(connection, filters) == len(unlimited)


@given(filters=st.lists(FILTERS, max_size=3), limit=st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_memory_finds_what_the_filter_says(filters: list[Filter], limit: int) -> None:
    async def ask() -> list[str]:
        store = MemoryStore()
        await store.apply(Change(save=EVENTS))
        return [event.id for event in await store.query(filters, limit)]

    assert trio.run(ask) == expected(filters, limit)


def test_many_rows_do_not_come_one_by_one(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row that is taken by itself waits for a busy loop."""
    monkeypatch.setattr(sqlite_queries, "MAX_TEXTS_AT_ONCE", 7)
    rows = 0

    def count_rows(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> tuple[object, ...]:
        nonlocal rows
        rows += 1
        return row

    with closing(connect(filled, "ro")) as connection:
        connection.row_factory = count_rows
        assert len(sqlite_queries.find(connection, [Filter()], 60)) == 60
        assert len(sqlite_queries.inventory(connection, [Filter()], 60)) == 60
        assert sqlite_queries.count(connection, [Filter()]) == 60
        assert rows == 3
        found = sqlite_queries.query(connection, [Filter()], 60)
        assert [event.id for event in found] == expected([Filter()], 60)
        assert rows == 4 + 9


def test_thousands_of_values_of_a_second_tag_are_not_looked_up_for_each_event(
    filled: Path,
) -> None:
    wanted = {"t": frozenset(VALUES), "e": frozenset(f"{n:064x}" for n in range(5_000))}
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    with closing(connect(filled, "ro")) as connection:
        connection.set_progress_handler(look, 1_000)
        assert sqlite_queries.count(connection, [Filter(tags=wanted)]) == 0
    # Reading the values takes about ten steps each; for each event that would be 3 million.
    assert looks < 200
