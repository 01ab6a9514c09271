"""The operator's word that takes out a repository, an author or one event (B 13.8)."""

from __future__ import annotations

import pytest

from purgatory_sync.engine.keeping.purging import Purged, Purger
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.purgatory.overdue import Kept
from purgatory_sync.store.protocol import Change, OverdueRow
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from ...git.local_repos import MADE_UP, history
from ...world import NOW, World

pytestmark = pytest.mark.real
OWNER, OTHER, STRANGER = Author.from_seed(1), Author.from_seed(2), Author.from_seed(3)
MAIN = "refs/heads/main"
STEPS = history(2)


async def purge(world: World, name: str, *, execute: bool = True) -> Purged:
    purger = Purger(world.store, world.core, world.releaser, clock_at(NOW))
    return await purger.purge(name, execute=execute)


async def serve(world: World, owner: Author = OWNER) -> set[str]:
    """A repository with data; returns the ids of its announcement and state."""
    announced = await world.announce(owner)
    world.give(owner, STEPS)
    state = events.state(owner, "repo", {MAIN: STEPS[1].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).accepted
    assert {announced.id, state.id} <= await world.served()
    return {announced.id, state.id}


async def test_b_13_8_without_execute_nothing_changes(world: World) -> None:
    ids = await serve(world)

    told = await purge(world, f"{OWNER.npub}/repo", execute=False)

    assert (told.executed, told.repositories) == (False, (f"{OWNER.npub}/repo",))
    assert (told.served, told.held, set(told.event_ids)) == (2, 0, ids)
    assert await world.served() == ids
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}


async def test_b_13_8_a_repository_goes_with_what_its_owner_signed_of_it(world: World) -> None:
    ids = await serve(world)
    others = await serve(world, OTHER)
    issue = events.note(
        STRANGER, kind=1621, tags=[("a", f"30617:{OWNER.pubkey}:repo")], created_at=NOW - 10
    )
    assert (await world.offer(issue)).accepted

    told = await purge(world, f"{OWNER.npub}/repo")

    assert set(told.event_ids) == ids
    assert await world.served() == {issue.id} | others
    assert not world.path(OWNER).exists()
    assert world.refs(OTHER) == {MAIN: STEPS[1].oid}
    assert [each.owner for each in (await world.store.load()).made] == [OTHER.pubkey]


async def test_b_13_8_an_author_goes_with_all_that_is_held_too(world: World) -> None:
    await serve(world)
    waiting = events.state(OWNER, "repo", {MAIN: MADE_UP}, created_at=NOW - 5)
    await world.announce(OWNER, "second")
    assert (await world.offer(waiting)).accepted

    told = await purge(world, OWNER.npub)

    assert (told.served, told.held) == (2, 2)
    assert len(told.repositories) == 2
    assert (await world.served(), await world.held()) == (set(), set())
    assert not world.path(OWNER).parent.exists()


@pytest.mark.parametrize("by", ["event", "repository", "author"])
async def test_b_13_8_what_expired_is_not_looked_for_again(world: World, by: str) -> None:
    await serve(world)
    late = events.state(OWNER, "repo", {MAIN: MADE_UP}, created_at=NOW - 5)
    await world.store.apply(Change(overdue=[OverdueRow(late, NOW - 4)]))
    world.purgatory.overdue.add(Kept.of(late, ("repo",), NOW - 4, NOW))

    name = {"event": late.id, "repository": f"{OWNER.npub}/repo", "author": OWNER.npub}[by]
    assert late.id in (await purge(world, name)).event_ids

    assert (await world.store.load()).overdue == ()
    assert late.id not in world.purgatory.overdue


async def test_b_13_8_without_its_newest_state_the_one_before_rules(world: World) -> None:
    await serve(world)
    newer = events.state(OTHER, "repo", {MAIN: STEPS[0].oid}, created_at=NOW - 5)
    await world.announce(OWNER, maintainers=[OTHER], created_at=NOW - 40)
    await world.announce(OTHER, maintainers=[OWNER], created_at=NOW - 40)
    assert (await world.offer(newer)).accepted
    assert world.refs(OWNER) == {MAIN: STEPS[0].oid}

    await purge(world, newer.id)

    assert newer.id not in await world.served()
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}


async def test_b_13_8_a_pull_request_goes_with_its_ref(world: World) -> None:
    await serve(world)
    pr = events.pull_request(
        STRANGER, [RepositoryId(OWNER.pubkey, "repo")], STEPS[0].oid, created_at=NOW - 10
    )
    assert (await world.offer(pr)).accepted
    assert f"refs/nostr/{pr.id}" in world.refs(OWNER)

    await purge(world, pr.id)

    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}


@pytest.mark.parametrize("name", ["x", f"{OTHER.npub}", f"{OTHER.npub}/repo", "1" * 64, ""])
async def test_b_13_8_what_names_nothing_is_a_sentence(world: World, name: str) -> None:
    ids = await serve(world)
    with pytest.raises(ConfigurationError, match=r"names nothing|nothing of"):
        await purge(world, name)
    assert await world.served() == ids
