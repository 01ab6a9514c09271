"""The operator's limits of disk space (B 13.11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from purgatory_sync.engine.disk_quotas import Quotas
from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.errors import NoRoom, OverQuota, PushRefused, ResultClass
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.observer import SilentObserver
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import HuntSettings, QuotaSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history
from ..world import NOW, World
from .pushes.pushing_support import MAIN, OWNER, TARGET, pack, pack_of, pusher_of
from .test_context import MIRROR, context

pytestmark = pytest.mark.real
OTHER = Author.from_seed(9)
STEPS = history(2)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path / "git", retires=lambda: NOW)


async def limited(world: World, **limits: int) -> Quotas:
    quotas = await Quotas.of(QuotaSettings(**limits), world.repositories)
    assert quotas is not None
    snapshots = attrs.evolve(world.admission.snapshots, refuses_new=quotas.refuses_new)
    world.admission = attrs.evolve(world.admission, snapshots=snapshots)
    return quotas


def pusher(world: World, quotas: Quotas) -> Pusher:
    settings = HuntSettings(min_free_bytes=0)
    return attrs.evolve(
        pusher_of(world), ingest=Ingest(settings, world.repositories.tmp, room=quotas)
    )


async def push(world: World, quotas: Quotas, steps: list[Step], at: int = NOW - 50) -> None:
    state = events.state(OWNER, "repo", {MAIN: steps[-1].oid}, created_at=at)
    assert (await world.offer(state)).accepted
    await pusher(world, quotas).receive(TARGET, {MAIN: steps[-1].oid}, pack(steps))


def bytes_of(world: World, author: Author = OWNER) -> int:
    return sum(each.stat().st_size for each in world.path(author).glob("objects/pack/*"))


async def test_b_13_11_nothing_is_counted_without_a_limit(world: World) -> None:
    assert await Quotas.of(QuotaSettings(), world.repositories) is None


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("repository_max_bytes", "this repository has"),
        ("max_bytes_per_author", "the repositories of its owner have"),
        ("max_bytes", "all repositories have"),
    ],
)
async def test_b_13_11_a_push_beyond_a_limit_is_refused_and_nothing_goes(
    world: World, limit: str, words: str
) -> None:
    await world.announce(OWNER)
    await push(world, await limited(world, **{limit: 10_000}), STEPS[:1])
    used = bytes_of(world)
    assert used > 0
    quotas = await limited(world, **{limit: used + 50})
    with pytest.raises(PushRefused, match=f"{words} {used} bytes here, .* {used + 50} are the"):
        await push(world, quotas, STEPS[1:], NOW - 40)
    assert world.refs(OWNER) == {MAIN: STEPS[0].oid}
    assert (quotas._received, bytes_of(world)) == ({}, used)
    await push(world, await limited(world, **{limit: used * 3}), STEPS[1:], NOW - 40)
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}


async def test_b_13_11_what_is_received_counts_once_when_it_is_proven(world: World) -> None:
    await world.announce(OWNER)
    size = len(pack_of([each for step in STEPS for each in step.objects]))
    quotas = await limited(world, max_bytes=size + 10)
    await push(world, quotas, STEPS)
    assert world.refs(OWNER) == {MAIN: STEPS[-1].oid}
    assert quotas._received == {}


async def test_b_13_11_what_only_moves_refs_is_taken(world: World) -> None:
    await world.announce(OWNER)
    await push(world, await limited(world, max_bytes=10_000), STEPS)
    quotas = await limited(world, max_bytes=1)
    state = events.state(OWNER, "repo", {MAIN: STEPS[0].oid}, created_at=NOW - 40)
    assert (await world.offer(state)).accepted
    await pusher(world, quotas).receive(TARGET, {MAIN: STEPS[0].oid}, pack([]))
    assert world.refs(OWNER) == {MAIN: STEPS[0].oid}


async def test_b_13_11_what_is_being_received_counts(world: World) -> None:
    await world.announce(OWNER)
    quotas = await limited(world, max_bytes_per_author=1_000)
    one, two = object(), object()
    quotas.require(one, world.path(OWNER), 600)
    quotas.require(two, world.path(OTHER), 600)
    with pytest.raises(OverQuota, match="600 bytes here, 401 more came, 1000 are the most"):
        quotas.require(object(), world.path(OWNER, "second"), 401)
    quotas.require(one, world.path(OWNER), 1_000)
    quotas.give_back(one)
    quotas.require(object(), world.path(OWNER, "second"), 401)


async def test_b_13_11_counts_follow_what_comes_and_goes(world: World) -> None:
    quotas = await limited(world, max_bytes=1 << 30)
    announced = await world.announce(OWNER)
    await push(world, quotas, STEPS)
    await world.announce(OTHER, maintainers=[OWNER])
    await world.announce(OWNER, maintainers=[OTHER], created_at=NOW - 60)
    path, use = world.path(OWNER), quotas.use
    assert use.of_repository(path) == use.of_owner(path) == bytes_of(world)
    assert use.count_of_owner(path) == 1
    assert use.total == bytes_of(world) + bytes_of(world, OTHER)
    newest = events.deletion(
        OWNER, ids=[announced.id], addresses=[f"30617:{OWNER.pubkey}:repo"], created_at=NOW - 20
    )
    await world.offer(newest)
    assert (use.of_repository(path), use.count_of_owner(path)) == (0, 0)
    assert use.of_owner(path) > 0, "what was deleted is still on the disk"
    before = (use.total, use.of_owner(path))
    await trio.to_thread.run_sync(use.measure_all)
    assert (use.total, use.of_owner(path)) == before
    await world.announce(OWNER, created_at=NOW - 10)
    assert (use.of_repository(path), use.count_of_owner(path)) == (bytes_of(world), 1)


async def test_b_13_11_new_announcements_are_refused_and_others_not(world: World) -> None:
    await world.announce(OWNER)
    await limited(world, repositories_max_per_author=1)
    other = await offer(world, OWNER, "second")
    assert other == "rate-limited: its author has 1 repositories here, 1 are the most"
    await world.announce(OWNER, created_at=NOW - 20)
    await world.announce(OTHER)
    world.give(OWNER, STEPS)
    await limited(world, max_bytes=10)
    full = "rate-limited: the repositories here use all the disk space that is for them"
    assert await offer(world, Author.from_seed(5), "third") == full
    await world.announce(OWNER, created_at=NOW - 10)


async def offer(world: World, author: Author, identifier: str) -> str:
    event = events.announcement(
        author,
        identifier,
        clone=[f"https://grasp.example.com/{author.npub}/{identifier}.git"],
        relays=["wss://grasp.example.com"],
        created_at=NOW - 30,
    )
    return (await world.offer(event)).message


async def test_b_13_11_a_hunt_stops_before_a_server_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    asked = []

    async def too_large(self: GitClient, repository: Path, *_: Any) -> None:
        asked.append(repository)
        raise OverQuota("this repository has 0 bytes here, 900 more came, 500 are the most", 900)

    monkeypatch.setattr(GitClient, "fetch_oids", too_large)
    ctx = context(world)
    ctx.quotas = await limited(world, repository_max_bytes=500)
    for expected, oids in ((1, "1"), (1, "1"), (2, "2")):
        with pytest.raises(OverQuota) as caught:
            await ctx.fetch_oids(
                world.path(OWNER), MIRROR, frozenset({oids * 40}), SilentObserver()
            )
        assert len(asked) == expected, "what did not fit is not fetched again"
    assert caught.value.result is ResultClass.QUOTA
    ctx.quotas.settings = QuotaSettings(repository_max_bytes=900)
    with pytest.raises(OverQuota):
        await ctx.fetch_oids(world.path(OWNER), MIRROR, frozenset({"1" * 40}), SilentObserver())
    assert len(asked) == 3, "there is room now"
    world.give(OWNER, STEPS)
    ctx.quotas = await limited(world, max_bytes=1)
    with pytest.raises(NoRoom):
        await ctx.fetch_oids(world.path(OWNER), MIRROR, frozenset({"3" * 40}), SilentObserver())
    assert len(asked) == 3
