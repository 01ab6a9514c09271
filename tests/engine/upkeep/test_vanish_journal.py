"""Requests to vanish that are kept beside the store (B 5.2, 13.5)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.backup_restore import restore_backup
from purgatory_sync.engine.upkeep import vanish_journal
from purgatory_sync.errors import RepositoryError
from purgatory_sync.nostr.event import Event, decode_event, encode_event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.settings import HuntSettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

pytestmark = pytest.mark.real
ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
FILE = "vanish.jsonl"


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain="git.example",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
    )


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[PurgatorySync]:
    with trio.fail_after(60):
        async with open_engine(settings_in(folder)) as engine:
            yield engine


def announced(author: Author) -> Event:
    clone = [f"https://git.example/{author.npub}/r.git"]
    return events.announcement(author, "r", clone=clone, relays=["wss://git.example"])


def gone(author: Author) -> Event:
    return events.vanish(author, relays=["ALL_RELAYS"])


def noted(folder: Path) -> list[str]:
    return [decode_event(line).id for line in (folder / "relay" / FILE).read_bytes().splitlines()]


async def served(engine: PurgatorySync) -> set[str]:
    return {event.id for event in await engine.query([Filter()])}


async def test_b_13_5_a_request_is_noted_before_it_is_answered(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        assert (await engine.offer(announced(ALICE), "user")).accepted
        assert (await engine.offer(gone(ALICE), "user")).accepted
        assert noted(tmp_path) == [gone(ALICE).id]
        assert (await engine.offer(gone(ALICE), "user")).accepted  # a duplicate
        assert (await engine.offer(gone(BOB), "sync")).accepted
    assert noted(tmp_path) == [gone(ALICE).id, gone(BOB).id]
    assert (tmp_path / "relay" / FILE).stat().st_mode & 0o777 == 0o600


async def test_b_13_5_the_file_keeps_the_newest_request_of_each_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one key fills the disk, and each request costs what all before it did."""
    monkeypatch.setattr(vanish_journal, "MIN_COMPACT_BYTES", 2_000)
    reads = 0

    def read(path: Path) -> list[Event]:
        nonlocal reads
        reads += 1
        return whole(path)

    whole = vanish_journal._read
    monkeypatch.setattr(vanish_journal, "_read", read)
    requests = [events.vanish(ALICE, created_at=1_700_000_000 + n) for n in range(60)]
    async with engine_in(tmp_path) as engine:
        assert (await engine.offer(gone(BOB), "user")).accepted
        with (tmp_path / "relay" / FILE).open("ab") as file:
            file.write(b"no event\n")
        for each in requests:
            assert (await engine.offer(each, "user")).accepted
    lines = (tmp_path / "relay" / FILE).read_bytes().splitlines()
    assert len(lines) < 15
    assert b"no event" in lines
    found = [decode_event(line).id for line in lines if line != b"no event"]
    assert (found[0], found[-1]) == (gone(BOB).id, requests[-1].id)
    assert reads == 1  # at the start
    async with engine_in(tmp_path) as engine:
        assert (await engine.offer(requests[-2], "user")).message.startswith("duplicate")
    lines = (tmp_path / "relay" / FILE).read_bytes().splitlines()
    assert len(lines) == 3


async def test_b_13_5_a_restored_older_store_obeys_what_it_does_not_know(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "one") as engine:
        assert (await engine.offer(announced(ALICE), "user")).accepted
        await engine.keepers.backup.make(tmp_path / "backup", lambda _: None)
        assert (await engine.offer(gone(ALICE), "user")).accepted
    restore_backup(tmp_path / "backup", settings_in(tmp_path / "two"), lambda _: None)
    shutil.copy(tmp_path / "one/relay" / FILE, tmp_path / "two/relay" / FILE)
    async with engine_in(tmp_path / "two") as engine:
        assert engine.statistics().held.get("announcement", 0) == 0
        assert await served(engine) == {gone(ALICE).id}
        assert not (await engine.offer(announced(ALICE), "user")).accepted
    assert noted(tmp_path / "two") == [gone(ALICE).id]


async def test_b_13_5_a_backup_has_the_file(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "one") as engine:
        assert (await engine.offer(gone(ALICE), "user")).accepted
        await engine.keepers.backup.make(tmp_path / "backup", lambda _: None)
    assert noted(tmp_path / "backup") == [gone(ALICE).id]


async def test_b_13_5_a_start_notes_what_the_store_alone_knows(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        assert (await engine.offer(gone(ALICE), "user")).accepted
    (tmp_path / "relay" / FILE).unlink()
    async with engine_in(tmp_path):
        assert noted(tmp_path) == [gone(ALICE).id]


async def test_b_13_5_half_a_line_and_forged_ones_end_no_start(tmp_path: Path) -> None:
    async with engine_in(tmp_path):
        pass
    forged = encode_event(gone(ALICE)).replace(gone(ALICE).sig.encode(), b"0" * 128)
    path = tmp_path / "relay" / FILE
    path.write_bytes(forged + b"\n" + encode_event(gone(BOB))[:50])
    async with engine_in(tmp_path) as engine:
        assert await served(engine) == set()
        assert (await engine.offer(gone(BOB), "user")).accepted
    assert path.read_bytes().splitlines()[2] == encode_event(gone(BOB))


async def test_b_13_5_a_file_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    async with engine_in(tmp_path):
        pass
    assert (tmp_path / "relay" / DATABASE).exists()
    (tmp_path / "relay" / FILE).mkdir()
    with pytest.raises(RepositoryError, match="says who asked to vanish"):
        async with engine_in(tmp_path):
            pass


async def test_b_13_5_an_embedders_store_leaves_the_file_of_a_node_alone(tmp_path: Path) -> None:
    """The default folder may be that of a node; another store's requests are not its own."""
    async with engine_in(tmp_path) as engine:
        assert (await engine.offer(gone(BOB), "user")).accepted
    settings = attrs.evolve(settings_in(tmp_path), git_data_path=tmp_path / "other")
    with trio.fail_after(60):
        async with open_engine(settings, store=MemoryStore()) as engine:
            assert await served(engine) == set()
            assert (await engine.offer(announced(BOB), "user")).accepted
            assert (await engine.offer(gone(ALICE), "user")).accepted
    assert noted(tmp_path) == [gone(BOB).id]
