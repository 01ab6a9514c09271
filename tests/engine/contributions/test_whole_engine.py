"""Contributions in a whole engine: over restarts, on and off, in a backup (B 12.1, 12.9, 13.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.backup_restore import restore_backup
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.settings import HuntSettings, PrsSettings, Settings
from purgatory_sync.testing import events

from ...git.local_repos import history
from ..pushes.pushing_support import pack
from .support import CONTRIBUTOR, HERE, OWNER

pytestmark = pytest.mark.real
SERVICE = "git.example"
KEY, OTHER = "7" * 64, "5" * 64
STEPS = history(2)
EVENT = events.pull_request(
    CONTRIBUTOR,
    [RepositoryId(OWNER.pubkey, "repo")],
    STEPS[-1].oid,
    clone=[f"https://{SERVICE}/prs/{CONTRIBUTOR.npub}/repo.git"],
)


def settings_in(folder: Path, *, on: bool = True) -> Settings:
    return Settings(
        domain=SERVICE,
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
        prs=PrsSettings(enabled=on),
    )


@asynccontextmanager
async def engine_in(folder: Path, *, on: bool = True) -> AsyncIterator[PurgatorySync]:
    with trio.fail_after(60):
        settings = settings_in(folder, on=on)
        async with open_engine(settings, choose_key=lambda known: known or KEY) as engine:
            yield engine


async def push(engine: PurgatorySync, event_id: str, seed: str = "s") -> None:
    assert engine.contributor is not None
    steps = history(2, seed)
    changes = {f"refs/nostr/{event_id}": steps[-1].oid}
    await engine.contributor.receive(HERE, changes, pack(steps), "192.0.2.1")


def refs_in(folder: Path) -> list[str]:
    return list(list_refs(folder / "git/prs" / HERE.owner / "repo.git"))


async def test_b_12_1_turned_off_nothing_is_swept_and_turned_on_again_all_is_as_before(
    tmp_path: Path,
) -> None:
    async with engine_in(tmp_path) as engine:
        await push(engine, EVENT.id)
        assert (await engine.offer(EVENT, "user")).accepted
        await push(engine, OTHER, "other")
    before = refs_in(tmp_path)
    assert len(before) == 2
    async with engine_in(tmp_path, on=False) as engine:
        assert await engine.contributed(CONTRIBUTOR.npub, "repo") is None
        assert await engine.store.served_ids([EVENT.id]) == {EVENT.id}
        refused = events.pull_request(
            CONTRIBUTOR,
            [RepositoryId(OWNER.pubkey, "repo")],
            "1" * 40,
            clone=[f"https://{SERVICE}/prs/{CONTRIBUTOR.npub}/repo.git"],
        )
        assert not (await engine.offer(refused, "user")).accepted
    assert refs_in(tmp_path) == before
    async with engine_in(tmp_path) as engine:
        assert await engine.contributed(CONTRIBUTOR.npub, "repo") is not None
        assert [each.event_id for each in engine.purgatory.uploads] == [OTHER]
        look = await engine.contribution(CONTRIBUTOR.npub, "repo")
        assert look is not None
        assert (look.requests_total, look.waiting) == (1, 1)
        assert look.requests[0].is_served


async def test_b_12_6_an_announcement_that_is_served_later_brings_the_copies(
    tmp_path: Path,
) -> None:
    async with engine_in(tmp_path) as engine:
        await push(engine, EVENT.id)
        assert (await engine.offer(EVENT, "user")).accepted
        clone = [f"https://{SERVICE}/{OWNER.npub}/repo.git"]
        relays = [f"wss://{SERVICE}"]
        announced = events.announcement(OWNER, "repo", clone=clone, relays=relays)
        base = history(1, "base")
        ruling = events.state(OWNER, "repo", {"refs/heads/main": base[0].oid})
        for event in (announced, ruling):
            assert (await engine.offer(event, "user")).accepted

        async def body() -> AsyncIterator[bytes]:
            read = pack(base)
            while piece := await read():
                yield piece

        target = RepositoryId(OWNER.pubkey, "repo")
        await engine.push(target, {"refs/heads/main": base[0].oid}, body())
        path = tmp_path / "git" / OWNER.npub / "repo.git"
        for _ in range(1_000):
            if f"refs/nostr/{EVENT.id}" in list_refs(path):
                break
            await trio.sleep(0.01)
        assert f"refs/nostr/{EVENT.id}" in list_refs(path)


async def test_b_13_5_what_is_below_prs_is_in_a_backup(tmp_path: Path) -> None:
    async with engine_in(tmp_path / "node") as engine:
        await push(engine, EVENT.id)
        assert (await engine.offer(EVENT, "user")).accepted
        made = await engine.keepers.backup.make(tmp_path / "backup", lambda _: None)
        assert made.repositories == 1
    restore_backup(tmp_path / "backup", settings_in(tmp_path / "again"), lambda _: None)
    async with engine_in(tmp_path / "again") as engine:
        look = await engine.contribution(CONTRIBUTOR.npub, "repo")
        assert look is not None
        assert [each.event_id for each in look.requests] == [EVENT.id]
