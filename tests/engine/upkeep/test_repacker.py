"""Repositories with many packs get few again beside all other work."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.upkeep import repacker as repacker_module
from purgatory_sync.engine.upkeep.repacker import LOOK_SECS, Repacker
from purgatory_sync.errors import LocalFailure
from purgatory_sync.git.disk.linking import link_objects
from purgatory_sync.git.maintenance.repacking import combine_packs, count_packs
from purgatory_sync.release.index.disk_use import DiskUse
from purgatory_sync.release.index.repositories import PROVEN_MARKER
from purgatory_sync.runtime.folders import folder_bytes
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import add_pack, history, holes
from ...world import NOW, World
from ..test_engine import Home, announce

pytestmark = pytest.mark.real

OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)
STEPS = history(8)


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repacker_module, "MANY_PACKS", 3)


def repacker(world: World) -> Repacker:
    return Repacker(world.core, world.releaser, 0)


async def fill(
    world: World, author: Author = OWNER, count: int = 5, identifier: str = "repo"
) -> Path:
    """A repository with a pack for each commit."""
    await world.announce(author, identifier)
    for step in STEPS[:count]:
        world.give(author, [step], identifier)
    return world.path(author, identifier)


async def test_b_13_11_quotas_know_what_was_repacked(world: World) -> None:
    use = DiskUse(world.repositories)
    path = await fill(world)
    use.measure(path)
    before = use.of_repository(path)
    world.repositories.changed = use.measure
    await repacker(world).look()
    assert use.of_repository(path) == folder_bytes(path / "objects") < before


async def test_many_packs_become_few_and_few_stay(world: World) -> None:
    many, few = await fill(world), await fill(world, OTHER, 3)
    repack = repacker(world)
    await repack.look()
    assert (count_packs(many), count_packs(few)) == (1, 3)
    assert holes(many, STEPS[:5]) == []
    for step in STEPS[3:6]:
        world.give(OTHER, [step])
    await repack.look()  # the next round finds what is new
    assert count_packs(few) == 1
    assert list(world.repositories.tmp.iterdir()) == []


async def test_relatives_go_on_sharing(world: World) -> None:
    path = await fill(world)
    await world.announce(OTHER, maintainers=[OWNER])
    relative = world.path(OTHER)
    link_objects([path], relative, [STEPS[4].oid])
    await repacker(world).look()
    (pack,) = (path / "objects/pack").glob("*.pack")
    (other,) = (relative / "objects/pack").glob("*.pack")
    assert pack.samefile(other)


async def test_what_is_served_stays_served_and_what_comes_is_released(world: World) -> None:
    path = await fill(world)
    state = events.state(OWNER, "repo", {"refs/heads/main": STEPS[4].oid}, created_at=NOW - 50)
    await world.offer(state)
    await repacker(world).look()
    assert count_packs(path) == 1
    assert world.refs(OWNER) == {"refs/heads/main": STEPS[4].oid}
    newer = events.state(OWNER, "repo", {"refs/heads/main": STEPS[5].oid}, created_at=NOW - 40)
    await world.offer(newer)
    world.give(OWNER, [STEPS[5]])
    await world.releaser.process("repo")
    assert world.refs(OWNER) == {"refs/heads/main": STEPS[5].oid}


async def test_it_is_done_under_the_identifiers_lock(world: World) -> None:
    path = await fill(world)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(repacker(world).look)
        with trio.fail_after(20):
            while not list(world.repositories.tmp.glob("repack-*/pack-*.idx")):  # noqa: ASYNC110
                await trio.sleep(0.01)
        await trio.sleep(0.1)
        assert count_packs(path) == 5
    assert count_packs(path) == 1


async def test_what_another_program_writes_to_is_left_alone(world: World) -> None:
    theirs = await fill(world)
    (theirs / PROVEN_MARKER).unlink()
    await repacker(world).look()
    assert count_packs(theirs) == 5


async def test_another_program_may_begin_to_write_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await fill(world)

    def combine(path: Path, tmp: Path, min_free_bytes: int) -> object:
        made = combine_packs(path, tmp, min_free_bytes)
        world.repositories.distrust(path)
        return made

    monkeypatch.setattr(repacker_module, "combine_packs", combine)
    await repacker(world).look()
    assert count_packs(path) == 5
    assert list(world.repositories.tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (LocalFailure("damaged"), "not repacked"),
        (PermissionError("not yours"), "not repacked"),
        (RuntimeError("a bug"), "repacking crashed"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_fails_holds_up_no_other_and_is_not_tried_at_once_again(
    world: World, monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    bad, good = await fill(world), await fill(world, OTHER, identifier="other")
    tried = []

    def combine(path: Path, tmp: Path, min_free_bytes: int) -> object:
        tried.append(path)
        if path == bad:
            raise failure
        return combine_packs(path, tmp, min_free_bytes)

    monkeypatch.setattr(repacker_module, "combine_packs", combine)
    repack = repacker(world)
    with capture_logs() as logs:
        for _ in range(4):
            await repack.look()
    assert sorted(tried) == sorted([bad, good])
    assert (count_packs(bad), count_packs(good)) == (5, 1)
    assert [log["packs"] for log in logs if log["event"] == said] == [5]


async def test_cancelling_leaves_everything_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await fill(world)
    async with world.releaser.hold("repo"), trio.open_nursery() as nursery:
        nursery.start_soon(repacker(world).look)
        with trio.fail_after(20):
            while not list(world.repositories.tmp.glob("repack-*/pack-*.idx")):  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert count_packs(path) == 5
    assert list(world.repositories.tmp.iterdir()) == []


async def test_where_nothing_is_there_yet_nothing_is_done(tmp_path: Path) -> None:
    await repacker(World(tmp_path / "none")).look()


async def test_a_running_engine_repacks(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    hunt = attrs.evolve(home.settings.hunt, min_free_bytes=0)
    home.settings = attrs.evolve(home.settings, hunt=hunt)
    async with home.running() as engine:
        await engine.offer(announce(OWNER), "user")
        for step in STEPS[:5]:
            add_pack(home.path(OWNER), step.objects)
        await trio.sleep(LOOK_SECS + 1)
        assert count_packs(home.path(OWNER)) == 1
