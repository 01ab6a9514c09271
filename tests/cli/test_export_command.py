"""export and import: of a running node, and of one that is stopped under its locks."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from purgatory_sync.cli import run_command
from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.node.importing.importer import Importer
from purgatory_sync.node.operator.control import control
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.settings import HuntSettings, Settings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..engine.pushes.pushing_support import pack_of
from ..git.local_repos import history

pytestmark = [
    pytest.mark.real,
    pytest.mark.usefixtures("alone"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git writes exports"),
]
ALICE = Author.from_seed(1)
MAIN = "refs/heads/main"
(STEP,) = history(1)


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain="git.example",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
    )


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[PurgatorySync]:
    settings = settings_in(folder)
    with trio.fail_after(60):
        async with (
            open_engine(settings) as engine,
            control(
                settings,
                engine.explainer,
                engine.keepers,
                take_in=Importer(engine).take_in,
            ),
        ):
            yield engine


async def serve(engine: PurgatorySync) -> None:
    """A repository with data."""
    clone = [f"https://git.example/{ALICE.npub}/r.git"]
    announced = events.announcement(ALICE, "r", clone=clone, relays=["wss://git.example"])
    for event in (announced, events.state(ALICE, "r", {MAIN: STEP.oid})):
        assert (await engine.offer(event, "user")).accepted

    async def body() -> AsyncIterator[bytes]:
        yield pack_of(STEP.objects)

    await engine.push(RepositoryId(ALICE.pubkey, "r"), {MAIN: STEP.oid}, body())


async def run(folder: Path, *arguments: str) -> int:
    paths = ["--relay-data-path", str(folder / "relay"), "--git-data-path", str(folder / "git")]
    return await trio.to_thread.run_sync(run_command, [*arguments, *paths])


async def export(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "export", f"{ALICE.npub}/r", name) == 0
    said = f"{ALICE.npub}/r is in {folder / name}: repository.git has 1 refs, events.jsonl 2 events"
    assert "".join(capsys.readouterr().out.split()) == "".join(said.split())
    assert list_refs(folder / name / "repository.git") == {MAIN: STEP.oid}
    assert await run(folder, "export", "r", str(folder / f"{name}-b"), "--bundle", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["git"], made["refs"], made["events"]) == ("repository.bundle", 1, 2)
    assert (folder / f"{name}-b/repository.bundle").exists()
    assert await run(folder, "export", "r", name) == 2
    assert "is there already" in capsys.readouterr().err
    assert await run(folder, "export", "s", "s") == 2
    assert "no repository s is served here" in capsys.readouterr().err
    assert not (folder / "s").exists()


async def look(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder, "list", "--json", "--owner", ALICE.npub) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["refs"], told["state_at"]) == (1, events.SOME_TIME)
    assert told["size"] > 100
    assert told["lags"] == "a newer state waits for its data"
    assert await run(folder, "list", "--owner", "2" * 64) == 0
    assert capsys.readouterr().out.startswith("0 repositories")
    assert await run(folder, "list") == 0
    assert " 1 refs, " in (said := " ".join(capsys.readouterr().out.split()))
    assert "lags: a newer state waits for its data" in said
    assert await run(folder, "list", "--owner", "x") == 2
    assert "--owner x is no key" in capsys.readouterr().err


async def test_list_shows_refs_bytes_state_and_what_lags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path) as engine:
        await serve(engine)
        newer = events.state(ALICE, "r", {MAIN: "12" * 20}, created_at=events.SOME_TIME + 9)
        assert (await engine.offer(newer, "user")).accepted
        capsys.readouterr()
        await look(tmp_path, capsys)
    await look(tmp_path, capsys)


async def test_b_13_12_a_running_node_and_a_stopped_one_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path) as engine:
        await serve(engine)
        capsys.readouterr()
        await export(tmp_path, "running", capsys)
    await export(tmp_path, "stopped", capsys)
    async with open_offline(settings_in(tmp_path)):
        assert await run(tmp_path, "export", "r", "locked") == 2
        assert "another process uses" in capsys.readouterr().err


async def take_in(
    folder: Path, source: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    assert await run(folder, "import", str(source)) == code
    return capsys.readouterr().out.splitlines()


async def test_b_13_14_a_running_node_and_a_stopped_one_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path) as engine:
        await serve(engine)
        assert await run(tmp_path, "export", "r", "out") == 0
    for name in ("running", "stopped"):
        async with node(tmp_path / name):
            capsys.readouterr()
            if name == "running":
                said = await take_in(tmp_path / name, tmp_path / "out", 0, capsys)
        if name == "stopped":
            assert await take_in(tmp_path / name, tmp_path / "out", 2, capsys) == []
            monkeypatch.setenv("NGIT_DOMAIN", "git.example")
            monkeypatch.setenv("NGIT_HUNT_MIN_FREE_BYTES", "0")
            said = await take_in(tmp_path / name, tmp_path / "out", 0, capsys)
        assert said[0] == "git data of r: 1 of the named objects"
        assert "2 events are served now, 0 wait for git data, 0 were known" in " ".join(said[1:])
        path = tmp_path / name / "git" / ALICE.npub / "r.git"
        assert list_refs(path) == {MAIN: STEP.oid}
    file = tmp_path / "lines"
    file.write_text("no event\n")
    assert (await take_in(tmp_path / "stopped", file, 1, capsys))[0].startswith("line 1: ")
    assert await take_in(tmp_path / "stopped", tmp_path / "none", 2, capsys) == []
    monkeypatch.setenv("NGIT_HUNT_ALLOW_ADDRESSES", "127.0.0.0/8")
    assert await run(tmp_path / "stopped", "import", "ws://127.0.0.1:9", "--json") == 3
    assert "127.0.0.1:9" in json.loads(capsys.readouterr().out)["broken_off"]
