"""list-edit: of a running node, and of one that is stopped (B 5.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from purgatory_sync.cli import run_command
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.testing.events import Author

from .test_keeping import ALICE, node, run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("alone")]

SPAMMER = Author.from_seed(9)


async def edit(folder: Path, capsys: pytest.CaptureFixture[str], ended: int | None) -> None:
    arguments = ["event-blacklist", SPAMMER.npub, ALICE.npub]
    capsys.readouterr()
    assert await run(folder, "list-edit", "add", *arguments, "--reason", "spam", "--json") == 0
    edited = json.loads(capsys.readouterr().out)
    assert edited == {
        "name": "event-blacklist",
        "changed": [SPAMMER.npub, ALICE.npub],
        "unchanged": [],
        "ended": ended,
    }
    assert await run(folder, "list-edit", "show") == 0
    assert capsys.readouterr().out.splitlines() == [
        "event-blacklist",
        *(f"  {each}  (added: spam)" for each in sorted((ALICE.npub, SPAMMER.npub))),
    ]
    assert await run(folder, "list-edit", "remove", *arguments) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == [f"removed: {each}" for each in arguments[1:]]
    assert await run(folder, "list-edit", "remove", *arguments[:2]) == 0
    assert f"not there: {SPAMMER.npub}" in capsys.readouterr().out
    assert await run(folder, "list-edit", "show", "event-blacklist", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


async def refuse(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, sentence in (
        (("add", "nothing", "x"), "there is no list 'nothing'"),
        (("add", "blocked-addresses", "x"), "'x': no address"),
        (("add", "banned-events"), "at least one entry"),
        (("show", "nothing"), "there is no list 'nothing'"),
        (("remove", "event-blacklist", "x"), "event-blacklist: 'x'"),
    ):
        assert await run(folder, "list-edit", *wrong) == 2
        assert sentence in capsys.readouterr().err


async def test_b_5_5_a_running_node_obeys_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path) as engine:
        await edit(tmp_path, capsys, ended=1)
        assert list(engine.purgatory.announcements()) == []
        await refuse(tmp_path, capsys)


async def test_b_5_5_a_stopped_one_is_changed_under_its_locks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node(tmp_path):
        pass
    await edit(tmp_path, capsys, ended=None)
    await refuse(tmp_path, capsys)
    assert await run(tmp_path, "list-edit", "add", "repository-blacklist", "r") == 0
    assert "ends at the next start" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        async with node(tmp_path):
            raise ConfigurationError("its announcement is refused before this is reached")


def test_list_edit_alone_says_what_it_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list-edit"]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("show", "add", "remove"))
