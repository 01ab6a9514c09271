"""A data folder that an older version wrote starts under this one, and all of it is there."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import open_engine
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.node.process.service_key import present_key
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Settings
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

from ..integration.support import clone_and_check

ARCHIVES = sorted(Path(__file__).parent.glob("data-*.tar.xz"))
ALICE = Author.from_seed(1)
MAIN = "refs/heads/main"
SERVICE = "git.example.org"


def unpack(archive: Path, folder: Path) -> Any:
    """What that version left, and what is told of it."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return json.loads((folder / "made.json").read_text())


def settings_in(folder: Path) -> Settings:
    data = folder / "data"
    return Settings(domain=SERVICE, git_data_path=data / "git", relay_data_path=data / "relay")


def refs_in(folder: Path, made: Any) -> dict[str, dict[str, str]]:
    return {name: list_refs(folder / "data" / "git" / f"{name}.git") for name in made["refs"]}


async def nowhere(host: str) -> list[str]:
    raise OSError(f"{host} is not looked up")


async def pieces(pack: bytes) -> AsyncIterator[bytes]:
    yield pack


def test_there_is_a_data_folder_of_an_older_version() -> None:
    assert [archive.name for archive in ARCHIVES] == ["data-0.1.0.tar.xz"]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
async def test_what_an_older_version_held_and_served_is_there(
    tmp_path: Path, autojump_clock: MockClock, archive: Path
) -> None:
    made, settings = unpack(archive, tmp_path), settings_in(tmp_path)
    pack = (tmp_path / "later.pack").read_bytes()
    clock = WallClock(made["made_at"] + 60 - trio.current_time())
    with blocking_in_place():
        async with open_engine(settings, clock=clock, gate=Gate(resolve=nowhere)) as engine:
            served = await engine.query([Filter()], 1_000)
            assert {each.id for each in served} == set(made["served"])
            purgatory = engine.purgatory
            held = {each.event_id for each in purgatory.hunted_events()}
            held |= {each.event_id for each in purgatory.announcements()}
            assert held == set(made["held"])
            assert refs_in(tmp_path, made) == made["refs"]
            for name in made["refs"]:
                npub, _, identifier = name.partition("/")
                assert await engine.hosted(npub, identifier) is not None
            # A held state takes its push, as it would have done before.
            (state,) = engine.purgatory.find_state("repo")
            repository = RepositoryId(ALICE.pubkey, "repo")
            later = state.state.refs[MAIN]
            await engine.push(repository, {MAIN: later}, pieces(pack))
            assert await engine.count([Filter(ids=frozenset({state.event_id}))]) == 1
            verified = await engine.keepers.verifier.verify()
            assert (verified.findings, verified.not_looked) == ((), ())
    assert refs_in(tmp_path, made)[f"{ALICE.npub}/repo"][MAIN] == later
    key = present_key(settings, {})
    assert key is not None
    assert key.key.nsec == made["key"]


@pytest.mark.real
@pytest.mark.skipif(shutil.which("git") is None, reason="no git is installed")
@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
async def test_a_node_serves_and_shows_what_an_older_version_served(
    tmp_path: Path, archive: Path
) -> None:
    made = unpack(archive, tmp_path)
    node = NodeProcess(tmp_path, {"NGIT_DOMAIN": SERVICE})
    try:
        await node.start()
        async with nostr_client(node.relay_url) as client:
            for event_id in made["served"]:
                assert await client.has(event_id)
        for number, (name, refs) in enumerate(made["refs"].items()):
            if refs:
                npub, _, identifier = name.partition("/")
                url = f"{node.http_url}/{npub}/{identifier.replace(' ', '%20')}.git"
                assert await clone_and_check(url, tmp_path / f"copy{number}") == refs
        assert await node.stop() == 0
    finally:
        await node.aclose()
