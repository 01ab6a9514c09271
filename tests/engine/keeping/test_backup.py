"""Backups: what is in them, who is refused, and that half ones do not stay (B 13.5)."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.backup_restore import restore_backup
from purgatory_sync.engine.keeping.manifest import Manifest
from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.errors import ConfigurationError, RepositoryError, StoreError
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.git.folder import repository_copy
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.settings import HuntSettings, Settings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ..pushes.pushing_support import pack_of

pytestmark = pytest.mark.real
ALICE, KEY = Author.from_seed(1), "7" * 64
MAIN = "refs/heads/main"
(STEP,) = history(1)


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain="git.example",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
    )


def tell(_sentence: str) -> None:
    """Nobody listens."""


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[PurgatorySync]:
    with trio.fail_after(60):
        async with open_engine(
            settings_in(folder), choose_key=lambda known: known or KEY
        ) as engine:
            yield engine


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def are_linked(one: Path, other: Path) -> bool:
    return all(os.path.samefile(one / name, other / name) for name in names(one))


async def fill(engine: PurgatorySync) -> None:
    """One repository with data, and one that waits."""
    for name in ("r", "ü waits"):
        clone = [f"https://git.example/{ALICE.npub}/{quote(name)}.git"]
        event = events.announcement(ALICE, name, clone=clone, relays=["wss://git.example"])
        assert (await engine.offer(event, "user")).accepted
    state = events.state(ALICE, "r", {MAIN: STEP.oid})
    assert (await engine.offer(state, "user")).accepted

    async def body() -> AsyncIterator[bytes]:
        yield pack_of(STEP.objects)

    await engine.push(RepositoryId(ALICE.pubkey, "r"), {MAIN: STEP.oid}, body())


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A backup of a node with a key."""
    async with engine_in(tmp_path / "node") as engine:
        await fill(engine)
        (tmp_path / "node/relay/service.nsec").write_text("secret")
        await engine.keepers.backup.make(tmp_path / "backup", tell)
    return tmp_path / "backup"


def restore(backup: Path, folder: Path) -> Manifest:
    return restore_backup(backup, settings_in(folder), tell)


async def test_b_13_5_a_backup_holds_store_key_and_repositories(
    backup: Path, tmp_path: Path
) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    assert {key: manifest[key] for key in ("held", "served", "repositories", "service_key")} == {
        "held": 1,
        "served": 2,
        "repositories": 2,
        "service_key": KEY,
    }
    files = {"relay/purgatory.sqlite3", "relay/service.nsec", "git/.owner"}
    assert set(manifest["sha256"]) == files
    assert os.stat(backup).st_mode & 0o777 == 0o700
    assert names(backup / "git") == {".owner", ALICE.npub}
    packs = Path("git") / ALICE.npub / "r.git/objects/pack"
    assert are_linked(backup / packs, tmp_path / "node" / packs)  # they never change
    assert names(tmp_path) == {"node", "backup"}


async def test_b_13_5_a_restored_node_holds_and_serves_the_same(
    backup: Path, tmp_path: Path
) -> None:
    restore(backup, tmp_path / "again")
    assert (tmp_path / "again/relay/service.nsec").read_text() == "secret"
    async with engine_in(tmp_path / "again") as engine:
        assert engine.statistics().held["announcement"] == 1
        assert list_refs(tmp_path / "again/git" / ALICE.npub / "r.git") == {MAIN: STEP.oid}
        assert [each.standing for each in await engine.keepers.caretaker.list()] == [
            "served",
            "held",
        ]


async def test_b_13_5_a_stopped_node_is_backed_up_too(backup: Path, tmp_path: Path) -> None:
    async with open_offline(settings_in(tmp_path / "node")) as keepers:
        made = await keepers.backup.make(tmp_path / "second", tell)
    assert (made.held, made.served, made.repositories) == (1, 2, 2)


async def test_b_13_5_what_is_removed_meanwhile_is_in_the_backup(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "node") as engine, trio.open_nursery() as nursery:
        await fill(engine)
        core, releaser = engine.keepers.backup.core, engine.keepers.backup.releaser
        store_is_copied = trio.Event()

        def told(sentence: str) -> None:
            if sentence == "the repositories":
                store_is_copied.set()

        async with releaser.hold("r", "ü waits"):
            nursery.start_soon(engine.keepers.backup.make, tmp_path / "backup", told)
            await store_is_copied.wait()
            await core.repositories.run(core.repositories.remove, ALICE.pubkey, "r")
    assert list_refs(tmp_path / "backup/git" / ALICE.npub / "r.git") == {MAIN: STEP.oid}


async def test_b_13_5_nothing_is_repacked_or_dropped_while_one_is_made(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "node") as engine, trio.open_nursery() as nursery:
        await fill(engine)
        backup = engine.keepers.backup
        async with backup.still():
            nursery.start_soon(backup.make, tmp_path / "backup", tell)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ConfigurationError, match="another backup is being made"):
                await backup.make(tmp_path / "second", tell)
            assert not (tmp_path / "backup").exists()
    assert (tmp_path / "backup").exists()


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_b_13_5_a_half_backup_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async with engine_in(tmp_path / "node") as engine:
        await fill(engine)
        backup = engine.keepers.backup
        if end == "cancelled":
            with trio.CancelScope() as scope:
                await backup.make(tmp_path / "new/backup", lambda _: scope.cancel())
            assert scope.cancelled_caught
        else:

            def full(_source: Path, _target: Path) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(repository_copy, "copy_file", full)
            with pytest.raises(RepositoryError, match="No space left on device"):
                await backup.make(tmp_path / "new/backup", tell)
        monkeypatch.undo()
        assert names(tmp_path) == {"node"}
        await backup.make(tmp_path / "backup", tell)


async def test_b_13_5_where_no_backup_can_be_made_a_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "node/git")
    async with engine_in(tmp_path / "node") as engine:
        for target, said in (
            (tmp_path / "full", "full is not empty: name a folder that is, or a new one"),
            (tmp_path / "file", "file cannot be used: Not a directory"),
            (tmp_path / "file/x", "file/x cannot be used: Not a directory"),
            (tmp_path / "node/git/backup", "lies inside what is backed up: choose another"),
            (tmp_path / "link/backup", "lies inside what is backed up: choose another"),
            (tmp_path / "full/../node/git/b", "lies inside what is backed up: choose another"),
            (tmp_path / "node/relay", "relay is not empty"),
            (Path("here"), "here: name the folder of a backup from the root on"),
        ):
            with pytest.raises(ConfigurationError, match=said):
                await engine.keepers.backup.make(target, tell)
        memory = attrs.evolve(engine.settings, database_backend="memory")
        with pytest.raises(ConfigurationError, match="a store in memory has no backup"):
            await attrs.evolve(engine.keepers.backup, settings=memory).make(tmp_path / "b", tell)
    assert (tmp_path / "full/x").read_text() == "mine"


async def test_b_13_5_an_empty_folder_may_be_there_already(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    async with engine_in(tmp_path / "node") as engine:
        await engine.keepers.backup.make(tmp_path / "backup", tell)
    assert restore(tmp_path / "backup", tmp_path / "again").repositories == 0


async def test_b_13_5_a_backup_that_is_not_whole_is_refused(backup: Path, tmp_path: Path) -> None:
    manifest, database = backup / "manifest.json", backup / "relay" / DATABASE
    whole = manifest.read_text()
    for text, said in (
        (None, "is no backup, or one that was not finished"),
        ("{", "manifest.json cannot be read"),
        (whole.replace('"format": 1', '"format": 2'), "is a backup of format 2, made by version"),
    ):
        manifest.unlink(missing_ok=True)
        if text is not None:
            manifest.write_text(text)
        with pytest.raises(ConfigurationError, match=said):
            restore(backup, tmp_path / "again")
    manifest.write_text(whole)
    (backup / "git/.owner").unlink()
    with pytest.raises(ConfigurationError, match=r"lacks git/\.owner \(No such file"):
        restore(backup, tmp_path / "again")
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM held")
    connection.close()
    (backup / "git/.owner").write_text("x")
    with pytest.raises(ConfigurationError, match="is not what was backed up: it is damaged"):
        restore(backup, tmp_path / "again")
    assert not (tmp_path / "again").exists()


async def test_b_13_5_only_empty_folders_are_restored_into(backup: Path, tmp_path: Path) -> None:
    (tmp_path / "again/git").mkdir(parents=True)
    (tmp_path / "again/git/mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="again/git is not empty"):
        restore(backup, tmp_path / "again")
    one = attrs.evolve(settings_in(tmp_path / "x"), git_data_path=tmp_path / "x/relay")
    with pytest.raises(ConfigurationError, match="are one folder"):
        restore_backup(backup, one, tell)
    assert names(tmp_path / "again") == {"git"}


async def test_b_13_5_a_restore_that_fails_leaves_nothing(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == "relay":
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RepositoryError, match="No space left on device; nothing was restored"):
        restore(backup, tmp_path / "again")
    assert names(tmp_path / "again") == set()
    monkeypatch.undo()
    assert restore(backup, tmp_path / "again").repositories == 2


async def test_b_13_5_a_damaged_store_is_not_backed_up_as_if_it_were_sound(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "node") as engine:
        await fill(engine)
    database = tmp_path / "node/relay" / DATABASE
    size = database.stat().st_size
    async with engine_in(tmp_path / "node") as engine:
        with database.open("r+b") as file:
            file.seek(size // 2)
            file.write(os.urandom(size // 4))
        with pytest.raises(StoreError, match=r"cannot be copied|is damaged"):
            await engine.keepers.backup.make(tmp_path / "backup", tell)
    assert names(tmp_path) == {"node"}
