from __future__ import annotations

import os
import sqlite3
import time
from contextlib import aclosing, closing
from pathlib import Path
from types import SimpleNamespace

import attrs
import pytest

from purgatory_sync.errors import ConfigurationError, StoreBusy, StoreCorrupt, StoreError
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.records import ListEntry, ServerNote, Tombstone
from purgatory_sync.store.opening import DATABASE, open_store
from purgatory_sync.store.protocol import Change, Made, OverdueRow
from purgatory_sync.store.sqlite_errors import at_opening
from purgatory_sync.testing.events import note

from .support import ALICE, DOMAINS, everything


async def filled(folder: Path, content: str = "") -> None:
    async with aclosing(await open_store(folder)) as store:
        await store.apply(everything(content))


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with aclosing(await open_store(tmp_path)) as store:
        await store.apply(everything())
        store.note_domains(DOMAINS)
        journal, events = await store.load(), await store.query([Filter()], 10)
    assert len(events) == 2
    assert journal.domains == tuple(DOMAINS)
    async with aclosing(await open_store(tmp_path)) as store:
        assert await store.load() == journal
        assert await store.query([Filter()], 10) == events


async def test_domains_noted_last_are_written_at_the_close(tmp_path: Path) -> None:
    async with aclosing(await open_store(tmp_path)) as store:
        store.note_domains(DOMAINS)
    async with aclosing(await open_store(tmp_path)) as store:
        assert (await store.load()).domains == tuple(DOMAINS)


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "relay"
    await filled(folder)
    assert (folder / DATABASE).is_file()


async def test_a_second_store_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with aclosing(await open_store(tmp_path)):
        with pytest.raises(StoreBusy) as caught:
            await open_store(tmp_path)
    assert str(caught.value) == (
        f"another process uses {tmp_path}: stop it, or give this node folders of its own by"
        " NGIT_RELAY_DATA_PATH and NGIT_GIT_DATA_PATH"
    )
    assert isinstance(caught.value, ConfigurationError)
    await filled(tmp_path)


async def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    in_the_way = tmp_path / "relay"
    in_the_way.write_text("not a folder")
    for folder in (in_the_way, in_the_way / "below"):
        with pytest.raises(ConfigurationError, match="choose another NGIT_RELAY_DATA_PATH"):
            await open_store(folder)
    assert in_the_way.read_text() == "not a folder"


async def test_a_folder_that_cannot_be_made() -> None:
    with pytest.raises(ConfigurationError, match="a folder that this user may write to"):
        await open_store(Path("/proc/none/relay"))


async def test_a_folder_in_the_databases_place(tmp_path: Path) -> None:
    (tmp_path / DATABASE).mkdir()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await open_store(tmp_path)


@pytest.mark.parametrize(
    "content", [b"this is no database, whatever its name says" * 100, b"SQLite format 3\0" * 300]
)
async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / DATABASE
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"restore a copy of it, or move it away") as caught:
        await open_store(tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    path.unlink()
    await filled(tmp_path)


async def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE cats (name TEXT)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="its tables are not ours"):
        await open_store(tmp_path)
    assert path.read_bytes() == before


async def test_damage_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    await filled(tmp_path, "x" * 50_000)
    path = tmp_path / DATABASE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreCorrupt, match="damaged"):
        await open_store(tmp_path)
    page = 4096
    for number in (1, 2, 3):
        damaged = bytearray(whole)
        damaged[number * page : number * page + 64] = b"\xff" * 64
        path.write_bytes(damaged)
        with pytest.raises(StoreCorrupt, match="damaged"):
            await open_store(tmp_path)
        assert path.read_bytes() == damaged


async def test_damage_at_run_time_is_typed(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with aclosing(await open_store(tmp_path)) as store:
        with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
            other.execute("UPDATE event SET json = 'no event'")
            other.commit()
        with pytest.raises(StoreCorrupt, match="not an event"):
            await store.query([Filter()], 10)


async def test_a_newer_schema_is_not_touched(tmp_path: Path) -> None:
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("UPDATE meta SET value = '10' WHERE key = 'schema'")
        other.commit()
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(ConfigurationError, match="written by a newer version") as caught:
        await open_store(tmp_path)
    assert not isinstance(caught.value, StoreCorrupt)
    assert (tmp_path / DATABASE).read_bytes() == before


async def test_an_older_schema_is_brought_up(tmp_path: Path) -> None:
    """What version 1 wrote: without what was made, reasons, and ends of tombstones."""
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE made; DROP TABLE server_note; DROP TABLE overdue; DROP TABLE list_entry;"
            " DROP TABLE upload;"
            " ALTER TABLE expired DROP COLUMN reason; DROP INDEX tombstone_by_end;"
            " ALTER TABLE tombstone DROP COLUMN ends;"
            " ALTER TABLE tombstone DROP COLUMN used; DELETE FROM meta;"
            " INSERT INTO meta VALUES ('schema', '1');"
        )
    made = Made(ALICE.pubkey, "x", "1" * 32)
    async with aclosing(await open_store(tmp_path)) as store:
        journal = await store.load()
        assert (journal.made, journal.git_folder) == ((), None)
        assert len(journal.held) == 3
        await store.apply(Change(made=[made], git_folder="2" * 32))
    async with aclosing(await open_store(tmp_path)) as store:
        journal = await store.load()
        assert (journal.made, journal.git_folder) == ((made,), "2" * 32)


async def test_b_5_2_what_version_2_wrote_is_brought_up_and_kept(tmp_path: Path) -> None:
    address = f"30617:{ALICE.pubkey}:x"
    made = Made(ALICE.pubkey, "x", "1" * 32, filled=True)
    async with aclosing(await open_store(tmp_path)) as store:
        change = Change(made=[made], tombstones=[Tombstone(address, ALICE.pubkey, 10)])
        await store.apply(change)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE list_entry; DROP TABLE overdue; DROP TABLE server_note;"
            " DROP TABLE upload;"
            " ALTER TABLE made DROP COLUMN ending;"
            " DROP INDEX tombstone_by_end;"
            " ALTER TABLE tombstone DROP COLUMN ends; ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '2' WHERE key = 'schema';"
        )
    async with aclosing(await open_store(tmp_path)) as store:
        assert (await store.load()).made == (made,)
        await store.apply(Change(tombstones_ended=1e12))
        (found,) = (await store.look([], 1, [address]))[1]
        assert attrs.evolve(found, used=None) == Tombstone(address, ALICE.pubkey, 10)


async def test_b_8_3_what_version_3_wrote_is_brought_up(tmp_path: Path) -> None:
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE list_entry; DROP TABLE overdue; DROP TABLE server_note;"
            " DROP TABLE upload;"
            " ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '3' WHERE key = 'schema';"
        )
    noted = ServerNote("fruitless u", "{}", 5.0)
    async with aclosing(await open_store(tmp_path)) as store:
        assert len((await store.load()).held) == 3
        await store.apply(Change(server_notes=[noted]))
    async with aclosing(await open_store(tmp_path)) as store:
        assert (await store.load()).server_notes == (noted,)


async def test_b_5_3_what_version_4_served_expires_too(tmp_path: Path) -> None:
    tags = {
        "first": [("expiration", "70"), ("expiration", "60")],
        "none": [("expiration", "soon"), ("expiration", "60")],
        "long": [("expiration", "1" * 17)],
        "never": [("x", "expiration")],
    }
    found = {name: note(ALICE, name, tags=each) for name, each in tags.items()}
    async with aclosing(await open_store(tmp_path)) as store:
        await store.apply(Change(save=[*found.values()]))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE upload; DROP TABLE list_entry; DROP TABLE overdue;"
            " DELETE FROM tag WHERE letter = 'expiration';"
            " ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '4' WHERE key = 'schema';"
        )
    async with aclosing(await open_store(tmp_path)) as store:
        assert await store.expiring(1e15, 10) == ([found["first"].id], None)


async def test_b_8_12_what_version_5_wrote_is_brought_up(tmp_path: Path) -> None:
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE upload; DROP TABLE list_entry; DROP TABLE overdue;"
            " ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '5' WHERE key = 'schema';"
        )
    row = OverdueRow(note(ALICE), 5.5)
    async with aclosing(await open_store(tmp_path)) as store:
        assert len((await store.load()).held) == 3
        await store.apply(Change(overdue=[row]))
    async with aclosing(await open_store(tmp_path)) as store:
        assert (await store.load()).overdue == (row,)


async def test_b_5_5_what_version_6_wrote_is_brought_up(tmp_path: Path) -> None:
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "DROP TABLE upload; DROP TABLE list_entry;"
            " ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '6' WHERE key = 'schema';"
        )
    row = ListEntry("event-blacklist", ALICE.npub, "", 5.5)
    async with aclosing(await open_store(tmp_path)) as store:
        assert len((await store.load()).held) == 3
        await store.apply(Change(list_entries=[row]))
    async with aclosing(await open_store(tmp_path)) as store:
        assert (await store.load()).list_entries == (row,)


async def test_b_5_4_what_version_8_wrote_counts_from_the_upgrade_on(tmp_path: Path) -> None:
    used, unused = Tombstone("1" * 64, ALICE.pubkey, 5), Tombstone("2" * 64, ALICE.pubkey, 5, 70.0)
    async with aclosing(await open_store(tmp_path)) as store:
        await store.apply(Change(tombstones=[used, unused]))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.executescript(
            "ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '8' WHERE key = 'schema';"
        )
    async with aclosing(await open_store(tmp_path)) as store:
        first, second = (await store.look([], 1, [used.target, unused.target]))[1]
        assert second == unused
        assert first.used is not None
        assert abs(first.used - time.time()) < 3600


async def test_a_start_that_was_killed_early_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    path.touch()
    await filled(tmp_path)
    path.unlink()
    with closing(sqlite3.connect(path)) as half_made:
        half_made.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    async with aclosing(await open_store(tmp_path)) as store:
        await store.apply(Change(save=[note(ALICE)]))


async def test_a_database_that_another_program_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0}))
    with closing(connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            StoreBusy, match=r"another program has locked .*: end it and start again"
        ):
            await open_store(tmp_path)
    async with aclosing(await open_store(tmp_path)) as store:
        with closing(connect(tmp_path / DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"another program has locked .*: end it; nothing"):
                await store.load()
        await store.load()


@pytest.mark.parametrize("free", [0, 1])
def test_an_io_error_of_a_full_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR | 19 << 8  # SQLITE_IOERR_SHMSIZE
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free))
    said = str(at_opening(tmp_path / DATABASE, error))
    assert ("no space left" in said) == (not free)
