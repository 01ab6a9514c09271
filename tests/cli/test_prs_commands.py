"""`list --prs`, `purge --prs` and `verify` below `/prs/`, of a running node and a stopped one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.node.operator.control import control
from purgatory_sync.testing.events import Author

from ..engine.contributions.support import CONTRIBUTOR, HERE
from ..engine.contributions.test_whole_engine import (
    EVENT,
    OTHER,
    STEPS,
    engine_in,
    push,
    settings_in,
)
from .test_keeping import run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("alone")]
NAME = f"prs/{CONTRIBUTOR.npub}/repo"


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[PurgatorySync]:
    """One with a served pull request, and a ref that waits for its event."""
    async with engine_in(folder) as engine:
        await push(engine, EVENT.id)
        assert (await engine.offer(EVENT, "user")).accepted
        await push(engine, OTHER, "other")
        async with control(settings_in(folder), engine.explainer, engine.keepers):
            yield engine


async def operate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert await run(folder, "list", "--prs", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["npub"], listed["identifier"]) == (CONTRIBUTOR.npub, "repo")
    assert sorted(each["standing"] for each in listed["refs"]) == ["served", "waiting"]
    assert await run(folder, "list", "--prs", "--owner", CONTRIBUTOR.npub) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAME}  {listed['size']} bytes, 2 refs"
    assert any(OTHER in line and "waits for its event, pushed" in line for line in lines)
    assert lines[-1] == f"1 repositories below /prs/: {listed['size']} bytes"
    assert await run(folder, "list", "--prs", "--owner", Author.from_seed(9).npub) == 0
    assert capsys.readouterr().out.startswith("0 repositories below /prs/")
    assert await run(folder, "list", "--prs", "--deleted") == 2

    assert await run(folder, "verify", NAME) == 0
    update_refs(folder / "git/prs" / HERE.owner / "repo.git", {"refs/tags/x": STEPS[0].oid})
    assert await run(folder, "verify") == 1
    assert "refs/tags/x belongs to no pull request" in capsys.readouterr().out
    assert await run(folder, "list", "--prs", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["problem"].startswith("`verify` found: refs/tags/x")

    assert await run(folder, "purge", "--prs", NAME) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"would remove the repository {NAME} with all its data"
    assert "would remove 1 refs that waited for their events" in said
    assert said[-1] == "nothing was changed: --execute does it"
    assert await run(folder, "purge", "--prs", f"{CONTRIBUTOR.npub}/no") == 2
    assert "`list --prs` names all" in capsys.readouterr().err
    assert await run(folder, "purge", "--prs", CONTRIBUTOR.npub, "--execute", "--json") == 0
    purged = json.loads(capsys.readouterr().out)
    assert (purged["executed"], purged["served"], purged["waiting"]) == (True, 1, 1)
    assert not (folder / "git/prs" / HERE.owner).exists()
    assert await run(folder, "verify") == 0


async def test_b_12_11_a_running_node_lists_verifies_and_purges_below_prs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path) as engine:
        await operate(tmp_path, capsys)
        assert engine.contributor is not None
        assert len(engine.contributor.prs) == len(engine.purgatory.uploads) == 0


@pytest.mark.parametrize("on", [True, False])
async def test_b_12_11_a_stopped_one_does_so_under_its_locks(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    on: bool,
) -> None:
    async with node(tmp_path):
        pass
    monkeypatch.setenv("NGIT_DOMAIN", "git.example")
    if on:
        monkeypatch.setenv("NGIT_GRASP06_ENABLE", "true")
    await operate(tmp_path, capsys)
    async with engine_in(tmp_path) as engine:
        assert len(engine.purgatory.uploads) == 0
        assert await engine.store.served_ids([EVENT.id]) == set()


async def test_b_12_7_a_purged_event_takes_its_ref_along_where_no_node_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path):
        pass
    monkeypatch.setenv("NGIT_DOMAIN", "git.example")
    monkeypatch.setenv("NGIT_GRASP06_ENABLE", "true")
    assert await run(tmp_path, "purge", EVENT.id, "--execute") == 0
    capsys.readouterr()
    assert await run(tmp_path, "list", "--prs", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert [each["standing"] for each in listed["refs"]] == ["waiting"]
