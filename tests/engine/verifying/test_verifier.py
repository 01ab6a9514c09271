"""What a verification finds, and what a repair does about it (B 13.7)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine import disk_quotas, open_engine
from purgatory_sync.engine.verifying.findings import Flaw, Verified
from purgatory_sync.engine.verifying.verifier import Verifier
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import list_refs, present_oids
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.release.index.disk_use import DiskUse
from purgatory_sync.release.index.repositories import Repositories
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.runtime.folders import folder_bytes
from purgatory_sync.settings import HuntSettings, QuotaSettings, Settings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import Step, add_pack, history, new_repository, oid_of
from ...world import NOW, World
from ..pushes.pushing_support import pack_of
from ..test_fetched_once import CountingServer

pytestmark = pytest.mark.real
OWNER, OTHER, STRANGER = Author.from_seed(1), Author.from_seed(2), Author.from_seed(3)
MAIN, TAG = "refs/heads/main", "refs/tags/v1"
NAME = f"{OWNER.npub}/repo"


def verifier(world: World) -> Verifier:
    clock = WallClock.from_system()
    return Verifier(world.store, world.core, world.releaser, clock, nullcontext)


def what(found: Verified) -> list[tuple[str, str]]:
    return [(each.where, each.what) for each in found.findings]


async def serve(world: World, steps: Sequence[Step], *owners: Author) -> None:
    """One repository each, with data; all of them rule one another."""
    for owner in owners:
        others = [each for each in owners if each != owner]
        await world.announce(owner, maintainers=others)
    for owner in owners:
        world.give(owner, steps)
    state = events.state(owners[0], "repo", {MAIN: steps[-1].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).accepted
    for owner in owners:
        assert world.refs(owner) == {MAIN: steps[-1].oid}


def replace_pack(path: Path, steps: Sequence[Step], *, without: str) -> None:
    shutil.rmtree(path / "objects/pack")
    os.mkdir(path / "objects/pack")
    add_pack(path, [each for step in steps for each in step.objects if oid_of(each) != without])


async def test_b_13_7_what_is_whole_has_no_findings(world: World) -> None:
    await serve(world, history(3), OWNER, OTHER)
    said: list[str] = []

    found = await verifier(world).verify(tell=said.append)

    assert (found.repositories, found.events, found.found) == (2, 3, 0)
    assert found.not_looked == ()
    assert said == ["the store", "3 events", "0 of 2 repositories"]


async def test_b_13_7_refs_that_are_not_the_states_are_found_and_aligned(world: World) -> None:
    steps = history(3)
    await serve(world, steps, OWNER)
    update_refs(world.path(OWNER), {MAIN: steps[0].oid, TAG: steps[0].oid})
    (world.path(OWNER) / "HEAD").write_text("ref: refs/heads/other\n")

    found = await verifier(world).verify()

    assert [each.detail.split()[0] for each in found.findings] == [MAIN, TAG, "HEAD"]
    assert what(found) == [(NAME, "refs")] * 3
    assert found.left == 3
    assert world.refs(OWNER)[MAIN] == steps[0].oid  # looking changes nothing
    repaired = await verifier(world).verify(repair=True)
    assert (repaired.found, repaired.left) == (3, 0)
    assert world.refs(OWNER) == {MAIN: steps[2].oid}
    assert (await verifier(world).verify()).found == 0


async def test_b_13_7_a_hole_is_found_and_filled_from_another_repository_here(
    world: World,
) -> None:
    steps = history(3)
    await serve(world, steps, OWNER, OTHER)
    gone = oid_of(steps[0].blob)
    replace_pack(world.path(OWNER), steps, without=gone)

    found = await verifier(world).verify()

    (finding,) = found.findings
    assert (finding.where, finding.what) == (NAME, "missing")
    assert gone in finding.detail
    assert (await verifier(world).verify(repair=True)).left == 0
    assert present_oids(world.path(OWNER), [gone])


async def test_b_13_7_what_is_nowhere_stays_a_finding_and_nothing_is_invented(
    world: World,
) -> None:
    steps = history(3)
    await serve(world, steps, OWNER)
    replace_pack(world.path(OWNER), steps, without=oid_of(steps[0].blob))

    found = await verifier(world).verify(repair=True)

    assert (found.found, found.left) == (1, 1)
    assert world.refs(OWNER) == {MAIN: steps[2].oid}
    assert "ask" in found.findings[0].remedy


async def test_b_13_7_a_repository_that_is_gone_is_found_and_made(world: World) -> None:
    await serve(world, history(2), OWNER, OTHER)
    shutil.rmtree(world.path(OTHER))

    found = await verifier(world).verify()

    assert what(found) == [(f"{OTHER.npub}/repo", "absent")]
    assert (await verifier(world).verify(repair=True)).left == 0
    assert world.refs(OTHER) == world.refs(OWNER)


async def test_b_13_7_only_what_is_named_is_looked_at(world: World) -> None:
    await serve(world, history(1), OWNER)
    await world.announce(STRANGER, "another")

    found = await verifier(world).verify([NAME])

    assert (found.repositories, found.events) == (1, 0)
    assert (await verifier(world).verify(["repo", "another"])).repositories == 2
    with pytest.raises(ConfigurationError, match="no repository nothing here"):
        await verifier(world).verify(["repo", "nothing"])


async def test_b_13_7_what_cannot_be_looked_at_is_said_and_stops_nothing(world: World) -> None:
    await serve(world, history(1), OWNER)
    await world.announce(STRANGER, "another")
    config = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = sha256\n"
    (world.path(STRANGER, "another") / "config").write_text(config)

    found = await verifier(world).verify()

    (sentence,) = found.not_looked
    assert sentence.startswith(f"{STRANGER.npub}/another: ")
    assert (found.repositories, found.found) == (2, 0)


async def test_b_13_7_a_push_that_is_going_on_is_no_finding(world: World) -> None:
    """What looks wrong without the lock is looked at again under it."""
    steps = history(2)
    await serve(world, steps, OWNER)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        update_refs(world.path(OWNER), {MAIN: steps[0].oid})
        results: list[Verified] = []

        async def look() -> None:
            results.append(await verifier(world).verify())

        nursery.start_soon(look)
        await trio.sleep(0.2)
        update_refs(world.path(OWNER), {MAIN: steps[1].oid})
    assert results[0].found == 0


async def test_b_13_7_stored_events_prove_their_ids_and_signatures(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    announced = [announcement(name, "https://elsewhere.example/r.git") for name in ("r", "s", "t")]
    async with open_engine(settings) as engine:
        for event in announced:
            assert (await engine.offer(event, "user")).accepted
    ids = [event.id for event in announced]
    with closing(sqlite3.connect(tmp_path / "relay" / DATABASE)) as connection, connection:
        change = "UPDATE held SET json = replace(json, ?, ?) WHERE id = ?"
        connection.execute(change, (announced[0].sig, announced[1].sig, ids[0]))
        connection.execute(change, ('"content":""', '"content":"x"', ids[1]))
    async with open_engine(settings) as engine:
        found = await engine.keepers.verifier.verify()
    assert found.events == 3
    assert {(each.where, each.detail) for each in found.findings} == {
        (ids[0], "signature does not fit"),
        (ids[1], "id is not the hash of the event"),
    }


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain="git.example",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
    )


async def body(steps: Sequence[Step]) -> AsyncIterator[bytes]:
    yield pack_of([each for step in steps for each in step.objects])


def announcement(name: str, *others: str) -> Event:
    clone = [f"https://git.example/{OWNER.npub}/{name}.git", *others]
    return events.announcement(OWNER, name, clone=clone, relays=["wss://git.example"])


async def test_b_13_7_what_is_missing_is_hunted_at_the_clone_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = list[DiskUse]()

    def counted(repositories: Repositories) -> DiskUse:
        uses.append(DiskUse(repositories))
        return uses[-1]

    monkeypatch.setattr(disk_quotas, "DiskUse", counted)
    steps = history(3)
    there = new_repository(tmp_path / "server")
    add_pack(there, [each for step in steps for each in step.objects])
    update_refs(there, {MAIN: steps[2].oid})
    server = CountingServer(tmp_path / "server", protocol_v2=True)
    settings = attrs.evolve(settings_in(tmp_path), quotas=QuotaSettings(max_bytes=1 << 40))
    async with open_engine(settings, git_transport=server) as engine:
        path = tmp_path / "git" / OWNER.npub / "r.git"
        announced = announcement("r", "https://elsewhere.example/npub/r.git")
        assert (await engine.offer(announced, "user")).accepted
        assert (await engine.offer(events.state(OWNER, "r", {MAIN: steps[2].oid}), "user")).accepted
        await engine.push(RepositoryId(OWNER.pubkey, "r"), {MAIN: steps[2].oid}, body(steps))
        assert list_refs(path) == {MAIN: steps[2].oid}
        replace_pack(path, steps, without=oid_of(steps[0].tree))
        found = await engine.keepers.verifier.verify(repair=True)
        assert [attrs.evolve(each, detail="") for each in found.findings] == [
            Flaw(f"{OWNER.npub}/r", "missing", "", repaired=True)
        ]
        assert (await engine.keepers.verifier.verify()).found == 0
        (use,) = uses
        assert use.total == use.of_repository(path) == folder_bytes(path / "objects")
    left = [each.name for each in (tmp_path / "git/.tmp").iterdir() if each.name[:5] == "holes"]
    assert left == []
