"""A git folder of ngit-grasp, as its versions 1 to 3 leave it, under a store that is new."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trio
from dulwich.repo import Repo
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.git.disk.layout import ALTERNATES
from purgatory_sync.git.disk.repository import list_refs, present_oids
from purgatory_sync.git.folder.foreign_files import foreign_files
from purgatory_sync.testing import events
from purgatory_sync.testing.log_capture import capture_logs

from ..git.local_repos import add_pack, history
from .test_engine import MAIN, NOW, OWNER, Home, announce

STEPS = history(2)
STATE = events.state(OWNER, "repo", {MAIN: STEPS[1].oid}, head=MAIN, created_at=NOW - 50)


def first_or_second(home: Home) -> Path:
    """Each repository is whole, and has what git gives it: hooks, a description, HEAD at main."""
    path = home.path()
    path.mkdir(parents=True)
    Repo.init_bare(str(path)).close()
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    (path / "description").write_text("a repository\n")
    (path / "hooks").mkdir(exist_ok=True)
    add_pack(path, [*STEPS[0].objects, *STEPS[1].objects])
    return path


def third(home: Home) -> Path:
    """A view without objects beside its family, which has them; the path to it is absolute."""
    families = home.settings.git_data_path / ".grasp" / "families" / "sha1"
    family = families / "repo.git"
    family.mkdir(parents=True)
    Repo.init_bare(str(family)).close()
    add_pack(family, [*STEPS[0].objects, *STEPS[1].objects])
    path = first_or_second(home)
    shutil.rmtree(path / "objects" / "pack")
    (path / "objects" / "pack").mkdir()
    (path / "objects" / "info").mkdir(exist_ok=True)
    (path / ALTERNATES).write_bytes(os.fsencode(family / "objects") + b"\n")
    (home.settings.git_data_path / ".grasp" / "storage-version").write_text("3\n")
    return path


@pytest.mark.parametrize("layout", [first_or_second, third])
async def test_what_the_folder_has_is_served_as_its_events_come(
    tmp_path: Path, autojump_clock: MockClock, layout: object
) -> None:
    home = Home(tmp_path)
    assert callable(layout)
    path = layout(home)
    async with home.running() as engine:
        assert (await engine.offer(announce(), "sync")).outcome is Outcome.HELD
        assert (await engine.offer(STATE, "sync")).outcome is Outcome.SERVED
        assert home.told == [announce().id, STATE.id]
        (listed,) = await engine.keepers.caretaker.list()
        assert (listed.made, listed.standing, listed.problem) == (False, "served", None)
    assert list_refs(path) == {MAIN: STEPS[1].oid}
    shutil.rmtree(home.settings.git_data_path / ".grasp", ignore_errors=True)
    oids = {step.oid for step in STEPS}
    assert present_oids(path, oids) == oids
    assert home.outside.attempts == []


async def test_a_view_without_its_family_is_refused_with_what_helps(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    path = third(home)
    shutil.rmtree(home.settings.git_data_path / ".grasp")
    with capture_logs() as logs:
        async with home.running() as engine:
            answer = await engine.offer(announce(), "sync")
            assert answer.outcome is Outcome.REFUSED
            (listed,) = await engine.keepers.caretaker.list()
    (why,) = [each["why"] for each in logs if each["event"] == "a repository cannot be used"]
    assert "which is not there" in why
    for sentence in (why, listed.problem):
        assert f"git -C {path} repack -a -d" in (sentence or "")


async def test_what_else_is_there_is_known_by_name_and_stays(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    git, relay = home.settings.git_data_path, tmp_path / "relay"
    for folder in (git / ".grasp", git / ".archive", git / "prs" / ("a" * 64), relay / "holding"):
        folder.mkdir(parents=True)
    for file in (
        git / "purgatory-state.json",
        git / "rejected-events-cache.json",
        relay / "data.mdb",
    ):
        file.touch()
    found = dict(foreign_files(git, relay))
    assert {str(path.relative_to(tmp_path)) for path in found} == {
        *("git/.grasp", "git/.archive", "git/prs", "relay/holding", "relay/data.mdb"),
        *("git/purgatory-state.json", "git/rejected-events-cache.json"),
    }
    assert "purgatory-sync adopt" in found[relay / "data.mdb"]
    with capture_logs() as logs:
        async with home.running():
            await trio.sleep(100)
    told = {each["event"] for each in logs if each["log_level"] == "warning"}
    assert {found[path] for path in found if path.is_relative_to(git)} <= told
    assert all(path.exists() for path in found)
    (git / "prs" / ("a" * 64)).rename(git / "prs" / OWNER.npub)
    assert git / "prs" not in dict(foreign_files(git, relay))
