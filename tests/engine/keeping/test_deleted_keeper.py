"""Repositories that were deleted stay for a time, and come back with an announcement (B 13.10)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import attrs
import pytest

from purgatory_sync.engine.keeping import deleted_keeper
from purgatory_sync.engine.keeping.caretaker import Caretaker
from purgatory_sync.engine.keeping.deleted_keeper import DeletedKeeper, retiring
from purgatory_sync.engine.keeping.purging import Purger
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.repository import create_bare, list_refs
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.push import NOSTR
from purgatory_sync.release.index.disk_use import DiskUse
from purgatory_sync.release.index.retained_repositories import RetainedRepositories
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.folders import make_folder
from purgatory_sync.settings import KeepingSettings
from purgatory_sync.store.protocol import Change, Made
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from ...git.local_repos import history
from ...world import NOW, World

pytestmark = pytest.mark.real
OWNER, OTHER, STRANGER = Author.from_seed(1), Author.from_seed(2), Author.from_seed(3)
MAIN = "refs/heads/main"
STEPS = history(2)
DAY = 86_400.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path / "git", retires=lambda: NOW)


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    there = Path("/dev/shm")
    if not there.is_dir() or there.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk here")
    folder = Path(tempfile.mkdtemp(dir=there))
    yield folder
    shutil.rmtree(folder)


def keeper(world: World, *, later: float = 0.0, **settings: object) -> DeletedKeeper:
    keeping = KeepingSettings(**settings)  # type: ignore[arg-type]
    return DeletedKeeper(world.core, world.releaser, clock_at(NOW + later), keeping, 0)


def kept(world: World) -> list[tuple[str, str, int]]:
    found = RetainedRepositories(world.repositories).all()
    return [(each.owner, each.identifier, each.at) for each in found]


async def serve(world: World, owner: Author = OWNER, at: int = NOW - 100) -> Event:
    """A repository with data; returns its announcement."""
    announced = await world.announce(owner, created_at=at)
    if not world.refs(owner):
        world.give(owner, STEPS)
    state = events.state(owner, "repo", {MAIN: STEPS[1].oid}, created_at=at + 1)
    assert (await world.offer(state)).accepted
    assert announced.id in await world.served()
    return announced


def delete(event: Event) -> Event:
    return events.deletion(OWNER, ids=[event.id], created_at=NOW - 50)


def delist(event: Event) -> Event:
    return events.announcement(OWNER, "repo", created_at=NOW - 50)


def make_private(event: Event) -> Event:
    tags = [*event.tags, ("private",)]
    return OWNER.sign(kinds.ANNOUNCEMENT, "", tags, NOW - 50)


@pytest.mark.parametrize("end", [delete, delist, make_private])
async def test_b_13_10_what_nothing_announces_leaves_its_place_and_comes_back(
    world: World, end: Callable[[Event], Event]
) -> None:
    announced = await serve(world)
    await serve(world, OTHER)
    refs = world.refs(OWNER)

    await world.offer(end(announced))

    assert not world.path(OWNER).exists()
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)]
    assert world.refs(OTHER) == refs, "what others have is whole"
    again = await world.announce(OWNER, created_at=NOW - 10)
    assert (kept(world), world.refs(OWNER)) == ([], refs)
    assert not world.repositories.is_ours_alone(world.path(OWNER)), "its objects are proven anew"
    assert await world.held() >= {again.id} or again.id in await world.served()
    state = events.state(OWNER, "repo", {MAIN: STEPS[0].oid}, created_at=NOW - 5)
    assert (await world.offer(state)).accepted
    assert {again.id, state.id} <= await world.served(), "nothing had to come again"


async def test_b_13_10_they_leave_when_their_time_is_over(world: World) -> None:
    await world.offer(delete(await serve(world)))
    assert await keeper(world, later=90 * DAY - 1).let_go() == 0
    assert await keeper(world, later=200 * DAY, deleted_retention_days=300.0).let_go() == 0
    assert await keeper(world, later=90 * DAY).let_go() == 1
    assert kept(world) == []
    assert world.ledger.all_made() == []
    await world.announce(OWNER, created_at=NOW - 10)
    assert world.refs(OWNER) == {}, "a new one"


async def test_b_13_10_what_this_store_does_not_know_stays(world: World) -> None:
    create_bare(world.path(OWNER, "found"), world.repositories.tmp)
    RetainedRepositories(world.repositories).put(OWNER.pubkey, "found", NOW - 1000)
    assert await keeper(world, later=900 * DAY).let_go() == 0
    found = attrs.evolve(keeper(world), min_free_bytes=1 << 60)
    assert await found.evict() == 0
    assert kept(world) == [(OWNER.pubkey, "found", NOW - 1000)]


async def test_b_13_10_what_was_found_is_not_moved(world: World) -> None:
    create_bare(world.path(OWNER), world.repositories.tmp)
    await world.offer(delete(await serve(world)))
    await keeper(world).retire_unannounced()
    assert world.path(OWNER).exists()
    assert kept(world) == []


async def test_b_13_10_never_keeps_all_at_its_place(world: World) -> None:
    clock = clock_at(NOW)
    assert retiring(KeepingSettings(deleted_retention_days=float("inf")), clock) is None
    assert retiring(KeepingSettings(), clock) is not None
    world = World(world.repositories.git_data)
    await world.offer(delete(await serve(world)))
    await keeper(world).retire_unannounced()
    assert world.path(OWNER).exists()


async def test_b_13_10_a_start_ends_what_a_crash_or_an_older_version_left(tmp_path: Path) -> None:
    world = World(tmp_path / "git")
    await world.offer(delete(await serve(world)))
    await world.announce(OTHER)
    world.core = attrs.evolve(world.core, retires=lambda: NOW)
    await keeper(world).retire_unannounced()
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)]
    assert world.path(OTHER).exists()


async def test_b_13_10_a_clock_that_was_ahead_keeps_none_for_ever(world: World) -> None:
    await world.offer(delete(await serve(world)))
    assert await keeper(world, later=-900 * DAY).let_go() == 0
    assert kept(world) == [(OWNER.pubkey, "repo", int(NOW - 900 * DAY))]


async def test_b_13_10_the_oldest_leave_first_where_space_is_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for author, at in ((OWNER, NOW), (OTHER, NOW - 500)):
        await serve(world, author)
        RetainedRepositories(world.repositories).put(author.pubkey, "repo", at)
    free = iter([5, 20, 20])
    monkeypatch.setattr(deleted_keeper, "free_bytes", lambda _: next(free))
    short = attrs.evolve(keeper(world), min_free_bytes=10)
    assert await short.evict() == 1
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)]
    assert await short.evict() == 0


async def test_b_13_10_refs_of_pull_requests_deleted_meanwhile_do_not_come_back(
    world: World,
) -> None:
    announced = await serve(world)
    stays, goes = (
        events.pull_request(
            STRANGER, [RepositoryId(OWNER.pubkey, "repo")], step.oid, created_at=NOW - 90
        )
        for step in STEPS
    )
    for each in (stays, goes):
        assert (await world.offer(each)).accepted
    await world.offer(delete(announced))
    await world.offer(events.deletion(STRANGER, ids=[goes.id], created_at=NOW - 20))
    (retained,) = RetainedRepositories(world.repositories).all()
    assert f"{NOSTR}{goes.id}" in list_refs(retained.retained.path)
    await world.announce(OWNER, created_at=NOW - 10)
    assert {f"{NOSTR}{stays.id}": STEPS[0].oid, MAIN: STEPS[1].oid} == world.refs(OWNER)


async def test_b_5_2_who_vanishes_takes_deleted_repositories_with_him(world: World) -> None:
    await world.offer(delete(await serve(world)))
    await world.offer(events.vanish(OWNER, created_at=NOW - 5))
    assert kept(world) == []
    assert world.ledger.all_made() == []


async def test_b_13_8_a_purge_keeps_repositories_for_a_time_or_not(world: World) -> None:
    purger = Purger(world.store, world.core, world.releaser, clock_at(NOW))
    name = f"{OWNER.npub}/repo"
    create_bare(world.path(OWNER), world.repositories.tmp)  # found, which the word takes out, too
    await serve(world)
    assert (await purger.purge(name, execute=False)).kept
    assert (await purger.purge(name, execute=True)).kept
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)]
    (listed,) = await Caretaker(world.core, world.releaser).deleted()
    assert (listed.npub, listed.identifier, listed.leaves_at) == (
        OWNER.npub,
        "repo",
        NOW + 90 * DAY,
    )
    assert listed.size > 0
    with pytest.raises(ConfigurationError, match="--at-once"):
        await purger.purge(name, execute=True)
    purged = await purger.purge(name, execute=True, at_once=True)
    assert (purged.repositories, purged.kept) == ((name,), False)
    assert (kept(world), world.ledger.all_made()) == ([], [])
    await serve(world)
    await purger.purge(name, execute=True, at_once=True)
    assert not world.path(OWNER).exists()
    assert kept(world) == []


async def purge(world: World) -> None:
    purger = Purger(world.store, world.core, world.releaser, clock_at(NOW))
    await purger.purge(f"{OWNER.npub}/repo", execute=True)


@pytest.mark.parametrize("crash", [False, True])
async def test_b_13_10_what_was_found_counts_as_found_when_a_purge_took_it_out_and_it_came_back(
    world: World, crash: bool
) -> None:
    create_bare(world.path(OWNER), world.repositories.tmp)
    await serve(world)
    if crash:  # after the transaction: it is where it was
        world.core = attrs.evolve(world.core, retires=None)
        object.__setattr__(world.admission, "core", world.core)
        purger = Purger(world.store, world.core, world.releaser, clock_at(NOW))
        doomed = [RepositoryId(OWNER.pubkey, "repo")]
        await world.ledger.apply(Change(made=await purger._leaving(doomed, at_once=False)))
        for each in await world.served():
            await world.ledger.apply(Change(delete=[each]))
        assert world.path(OWNER).exists()
        world.core = attrs.evolve(world.core, retires=lambda: NOW)
        object.__setattr__(world.admission, "core", world.core)
    else:
        await purge(world)
        assert kept(world) == [(OWNER.pubkey, "repo", NOW)]

    announced = await serve(world, at=NOW - 45)
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}
    (listed,) = await Caretaker(world.core, world.releaser).list()
    assert not listed.made
    await world.offer(delete(announced))
    await keeper(world).retire_unannounced()
    assert world.path(OWNER).exists(), "it stays at its place"
    assert kept(world) == []
    assert await keeper(world, later=900 * DAY).let_go() == 0
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}


async def test_b_13_8_what_was_found_and_purged_leaves_when_its_time_is_over(
    world: World,
) -> None:
    create_bare(world.path(OWNER), world.repositories.tmp)
    await serve(world)
    await purge(world)
    assert await keeper(world, later=90 * DAY - 1).let_go() == 0
    assert await keeper(world, later=90 * DAY).let_go() == 1


async def test_b_13_10_a_purge_does_not_forget_who_made_a_repository(world: World) -> None:
    await serve(world)
    note = world.ledger.made(OWNER.pubkey, "repo")
    assert note is not None
    await purge(world)
    announced = await serve(world, at=NOW - 45)
    assert world.ledger.made(OWNER.pubkey, "repo") == attrs.evolve(note, filled=True)
    await world.offer(delete(announced))
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)]


async def test_b_13_10_what_this_store_does_not_know_is_found_when_it_comes_back(
    world: World,
) -> None:
    create_bare(world.path(OWNER), world.repositories.tmp)
    RetainedRepositories(world.repositories).put(OWNER.pubkey, "repo", NOW - 1000)
    await world.store.apply(Change(made=[Made(OWNER.pubkey, "repo", "")]))  # an acceptance (2.2 b)
    world.ledger.restore_made((await world.store.load()).made)
    await world.offer(delete(await serve(world)))
    assert world.path(OWNER).exists()
    assert kept(world) == []


async def test_b_13_10_what_was_put_there_for_an_acceptance_is_found(world: World) -> None:
    await world.store.apply(Change(made=[Made(OWNER.pubkey, "repo", "")]))  # served without one
    world.ledger.restore_made((await world.store.load()).made)
    create_bare(world.path(OWNER), world.repositories.tmp)
    await world.offer(delete(await serve(world)))
    await keeper(world).retire_unannounced()
    assert world.path(OWNER).exists()
    assert kept(world) == []


async def test_b_13_10_two_of_one_name_on_two_disks_both_leave(
    world: World, other_disk: Path
) -> None:
    await world.offer(delete(await serve(world)))
    world.path(OWNER).parent.symlink_to(other_disk)  # the first cannot be brought back

    announced = await serve(world, at=NOW - 40)

    note = world.ledger.made(OWNER.pubkey, "repo")
    assert note is not None
    assert world.repositories.is_noted(world.path(OWNER), note)
    gone = events.deletion(OWNER, ids=[announced.id], created_at=NOW - 5)
    await world.offer(gone)
    assert kept(world) == [(OWNER.pubkey, "repo", NOW)] * 2
    listed = await Caretaker(world.core, world.releaser).deleted()
    assert [each.leaves_at for each in listed] == [NOW + 90 * DAY] * 2
    assert await keeper(world, later=90 * DAY).let_go() == 2
    assert (kept(world), world.ledger.all_made()) == ([], [])


async def test_b_13_10_one_that_is_kept_leaves_although_another_of_its_name_stayed_empty(
    world: World, other_disk: Path
) -> None:
    await world.offer(delete(await serve(world)))
    world.path(OWNER).parent.symlink_to(other_disk)
    announced = await world.announce(OWNER, created_at=NOW - 40)
    await world.offer(events.deletion(OWNER, ids=[announced.id], created_at=NOW - 5))
    assert not world.path(OWNER).exists()
    assert await keeper(world, later=90 * DAY).let_go() == 1
    assert (kept(world), world.ledger.all_made()) == ([], [])


async def test_b_13_10_space_is_looked_for_where_it_is_short(
    world: World, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(world.repositories.git_data)
    world.path(OTHER).parent.symlink_to(other_disk)
    for author, at in ((OWNER, NOW - 500), (OTHER, NOW)):
        await serve(world, author)
        RetainedRepositories(world.repositories).put(author.pubkey, "repo", at)
    short_disk = other_disk.stat().st_dev  # noqa: ASYNC240
    monkeypatch.setattr(
        deleted_keeper, "free_bytes", lambda p: 5 if p.stat().st_dev == short_disk else 20
    )
    short = attrs.evolve(keeper(world), min_free_bytes=10)
    assert await short.evict() == 1
    assert kept(world) == [(OWNER.pubkey, "repo", NOW - 500)], "the older is on another disk"


async def test_b_13_11_quotas_know_one_that_was_dated_anew(world: World) -> None:
    use = DiskUse(world.repositories)
    world.repositories.changed = use.measure
    await world.offer(delete(await serve(world)))
    before = use.of_owner(world.path(OWNER))
    assert before > 0
    await keeper(world, later=-900 * DAY).let_go()
    assert use.of_owner(world.path(OWNER)) == before
    (one,) = RetainedRepositories(world.repositories).all()
    assert use.of_repository(one.retained.path) == before


async def test_a_deleted_repository_is_removed_by_the_operators_word(world: World) -> None:
    await world.offer(delete(await serve(world)))
    await Caretaker(world.core, world.releaser).remove(f"{OWNER.npub}/repo")
    assert (kept(world), world.ledger.all_made()) == ([], [])
