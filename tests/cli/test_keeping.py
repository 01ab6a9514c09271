"""list and remove: of a running node, and of one that is stopped under its locks."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio

from purgatory_sync.cli import run_command
from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.repository import create_bare
from purgatory_sync.node.operator.control import control
from purgatory_sync.settings import Settings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("alone")]

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain="git.example", git_data_path=folder / "git", relay_data_path=folder / "relay"
    )


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[PurgatorySync]:
    """One that holds Alice's announcement; what Bob put there is none of its making."""
    settings = settings_in(folder)
    with trio.fail_after(60):
        async with open_engine(settings) as engine:
            clone = [f"https://git.example/{ALICE.npub}/r.git"]
            announced = events.announcement(ALICE, "r", clone=clone, relays=["wss://git.example"])
            assert (await engine.offer(announced, "user")).accepted
            create_bare(folder / "git" / BOB.npub / "ü x.git", folder / "git/.tmp")
            async with control(settings, engine.explainer, engine.keepers):
                yield engine


async def run(folder: Path, *arguments: str) -> int:
    paths = ["--relay-data-path", str(folder / "relay"), "--git-data-path", str(folder / "git")]
    return await trio.to_thread.run_sync(run_command, [*arguments, *paths])


async def ask_who_rules(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "authority", "r", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["npub"], told["standing"]) == (ALICE.npub, "held")
    assert (told["maintainers"], told["no_authority"]) == ([ALICE.npub], None)
    assert await run(folder, "authority") == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"  maintainer {ALICE.npub}" in lines
    assert lines[-1].startswith(
        "1 repositories: 0 where a maintainer is only listed, 0 where no key"
    )
    assert await run(folder, "authority", f"{BOB.npub}/r") == 1
    assert capsys.readouterr().out.startswith("0 repositories")


async def look_and_remove(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "list", "--json") == 0
    listed = {each["npub"]: each for each in json.loads(capsys.readouterr().out)}
    alice, bob = listed[ALICE.npub], listed[BOB.npub]
    assert (alice["made"], alice["standing"], alice["has_data"]) == (True, "held", False)
    assert (bob["made"], bob["standing"], bob["identifier"]) == (False, "none", "ü x")
    assert await run(folder, "list") == 0
    told = capsys.readouterr().out.splitlines()
    assert f"{BOB.npub}/ü x  not announced, adopted, empty" in told
    assert f"{ALICE.npub}/r  waits for data, made here, empty" in told
    assert told[-1] == "2 repositories: 0 served, 1 adopted"

    assert await run(folder, "remove", f"{ALICE.npub}/r") == 1
    assert "is held: it can be removed when" in capsys.readouterr().err
    for name, sentence in ((f"{BOB.npub}/y", "there is no repository"), ("y", "names no")):
        assert await run(folder, "remove", name) == 1
        assert sentence in capsys.readouterr().err
    assert await run(folder, "remove", f"{BOB.npub}/ü x") == 0
    assert not (folder / "git" / BOB.npub).exists()
    assert (folder / "git" / ALICE.npub / "r.git").exists()


async def test_b_2_7_a_running_node_lists_and_removes_by_the_operators_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        capsys.readouterr()
        await ask_who_rules(tmp_path, capsys)
        await look_and_remove(tmp_path, capsys)


async def test_b_2_7_a_stopped_one_does_so_under_its_locks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        pass
    capsys.readouterr()
    await ask_who_rules(tmp_path, capsys)
    await look_and_remove(tmp_path, capsys)
    async with open_offline(settings_in(tmp_path)):
        with pytest.raises(ConfigurationError):
            async with node(tmp_path):
                pass


async def test_b_9_who_only_looks_leaves_an_older_store_to_its_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator asks the new version before the upgrade, and may stay with the old one."""
    async with node(tmp_path):
        pass
    database = tmp_path / "relay" / DATABASE
    with closing(sqlite3.connect(database)) as other:
        other.executescript(
            "DROP TABLE upload; DROP TABLE list_entry; DROP TABLE overdue; DROP TABLE server_note;"
            " ALTER TABLE made DROP COLUMN ending;"
            " DROP INDEX tombstone_by_end; ALTER TABLE tombstone DROP COLUMN ends;"
            " ALTER TABLE tombstone DROP COLUMN used;"
            " UPDATE meta SET value = '2' WHERE key = 'schema';"
        )
    files = set(os.listdir(tmp_path / "relay"))
    capsys.readouterr()
    await ask_who_rules(tmp_path, capsys)
    assert await run(tmp_path, "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert await run(tmp_path, "backup", str(tmp_path / "backup")) == 0
    for each in (database, tmp_path / "backup" / "relay" / DATABASE):
        with closing(sqlite3.connect(each)) as other:
            assert other.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() == ("2",)
    assert {name for name in os.listdir(tmp_path / "relay") if ".sqlite3-" not in name} == {
        name for name in files if ".sqlite3-" not in name
    }
    async with node(tmp_path):
        pass


async def test_no_store_is_a_sentence_and_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(tmp_path, "list") == 2
    assert "no store is there" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


async def back_up_and_restore(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "backup", str(folder / name)) == 0
    said = capsys.readouterr().out
    assert said == f"backed up to {folder / name}: 2 repositories, 0 events served, 1 held\n"
    assert await run(folder, "backup", str(folder / name)) == 2
    assert "is not empty: name a folder that is" in capsys.readouterr().err
    again = folder / f"again-{name}"
    assert await run(again, "restore", str(folder / name), "--json") == 0
    assert json.loads(capsys.readouterr().out)["held"] == 1
    assert await run(again, "list", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


async def test_b_13_5_backup_and_restore_of_a_running_node_and_of_a_stopped_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        await back_up_and_restore(tmp_path, "running", capsys)
    await back_up_and_restore(tmp_path, "stopped", capsys)
    assert await run(tmp_path / "x", "restore", str(tmp_path / "nothing")) == 2
    assert "nothing is no backup, or one that was not finished" in capsys.readouterr().err


async def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "verify") == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == "2 repositories and 1 events looked at: 0 findings"
    assert await run(folder, "verify", f"{BOB.npub}/ü x", "--json") == 0
    assert json.loads(capsys.readouterr().out)["repositories"] == 1
    assert await run(folder, "verify", "r", "--all") == 2
    assert "leave out the names" in capsys.readouterr().err
    assert await run(folder, "verify", "nothing") == 2
    assert "there is no repository nothing here" in capsys.readouterr().err
    bob = folder / "git" / BOB.npub / "ü x.git"
    (bob / "packed-refs").write_text(f"{'12' * 20} refs/heads/main\n")
    assert await run(folder, "verify", "--all", "--repair") == 1
    assert "missing: 1 objects are missing: 1212" in capsys.readouterr().out
    (bob / "packed-refs").unlink()
    alternates = bob / "objects/info/alternates"
    alternates.parent.mkdir()
    alternates.write_text("/nowhere\n")
    assert await run(folder, "verify") == 3
    assert f"not looked at: {BOB.npub}/ü x: " in capsys.readouterr().out
    alternates.unlink()
    alternates.parent.rmdir()


async def test_b_13_7_a_running_node_and_a_stopped_one_are_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        capsys.readouterr()
        await verify(tmp_path, capsys)
    await verify(tmp_path, capsys)
    (tmp_path / "relay/purgatory.sqlite3").write_bytes(b"no database" * 1000)
    assert await run(tmp_path, "verify") == 3
    assert "is damaged or not a database" in capsys.readouterr().err


async def purge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "purge", f"{ALICE.npub}/r") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"would remove the repository {ALICE.npub}/r with all its data"
    assert said[1] == "would remove 0 served events and 1 held ones"
    assert said[-1] == "nothing was changed: --execute does it"
    assert (folder / "git" / ALICE.npub / "r.git").exists()
    assert await run(folder, "purge", "r") == 2
    assert "names nothing: write npub1" in capsys.readouterr().err


async def test_b_13_8_a_running_node_and_a_stopped_one_purge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path / "one"):
        capsys.readouterr()
        await purge(tmp_path / "one", capsys)
        assert await run(tmp_path / "one", "purge", f"{ALICE.npub}/r", "--execute", "--json") == 0
        assert json.loads(capsys.readouterr().out)["executed"] is True
    async with node(tmp_path / "two"):
        pass
    capsys.readouterr()
    await purge(tmp_path / "two", capsys)
    assert await run(tmp_path / "two", "purge", ALICE.npub, "--execute") == 0
    assert "removed 0 served events and 1 held ones" in capsys.readouterr().out
    for name in ("one", "two"):
        assert not (tmp_path / name / "git" / ALICE.npub).exists()
        assert await run(tmp_path / name, "purge", ALICE.npub) == 2
        assert f"nothing of {ALICE.npub} is here" in capsys.readouterr().err


async def call_by_the_peers_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "integrity-check", "--identifier", "r") == 0
    assert capsys.readouterr().out == "1 repositories and 0 events looked at: 0 findings\n"
    assert await run(folder, "event-integrity-check") == 0
    assert capsys.readouterr().out == ""
    assert await run(folder, "cleanup-empty-repos") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"would remove {BOB.npub}/ü x"
    assert told[1] == "1 of 2 repositories; nothing was changed: --execute does it"
    assert (folder / "git" / BOB.npub).exists()
    assert await run(folder, "cleanup-empty-repos", "--execute") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 2 repositories"
    assert not (folder / "git" / BOB.npub).exists()
    create_bare(folder / "git" / BOB.npub / "y.git", folder / "git/.tmp")
    assert await run(folder, "holding-eject", "--owner", BOB.npub, "--identifier", "y") == 0
    assert not (folder / "git" / BOB.npub).exists()
    assert await run(folder, "holding-eject", "--owner", ALICE.npub, "--identifier", "r") == 1
    assert "is held: it can be removed when" in capsys.readouterr().err


async def test_the_peers_names_of_commands_do_the_same_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path / "running"):
        capsys.readouterr()
        await call_by_the_peers_names(tmp_path / "running", capsys)
    async with node(tmp_path / "stopped"):
        pass
    capsys.readouterr()
    await call_by_the_peers_names(tmp_path / "stopped", capsys)


async def test_a_bad_event_is_a_line_of_json_and_goes_with_execute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "relay/purgatory.sqlite3")) as database, database:
        change = ('"content":""', '"content":"x"')
        database.execute("UPDATE held SET json = replace(json, ?, ?)", change)
    capsys.readouterr()
    assert await run(tmp_path, "event-integrity-check") == 1
    line = json.loads(capsys.readouterr().out)
    assert (line["problem"], line["removed"]) == ("id is not the hash of the event", False)
    assert await run(tmp_path, "event-integrity-check", "--execute") == 0
    assert json.loads(capsys.readouterr().out)["removed"] is True
    assert await run(tmp_path, "event-integrity-check") == 0
    assert capsys.readouterr().out == ""
