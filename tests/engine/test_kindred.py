"""Repositories of one origin share what is public of them, and nothing else (B 8.13)."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.engine.context import RealSyncContext
from purgatory_sync.engine.kindred import kindred_of
from purgatory_sync.errors import AttemptFailed
from purgatory_sync.git.disk.repository import list_refs, present_oids
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.observer import SilentObserver
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import CurationSettings
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, add_pack, history
from ..world import NOW, SERVICE, World

OWNER, FORKER, OTHER = (Author.from_seed(n) for n in range(1, 4))
MIRROR = "https://mirror.example.com/repo.git"
MAIN = "refs/heads/main"
WANTED = "1" * 40


async def refused(address: str, port: int) -> None:
    raise ConnectionRefusedError


async def resolved(host: str) -> list[str]:
    return ["198.41.0.4"]


def announced(author: Author, name: str, commit: str | None, *more: tuple[str, ...]) -> Event:
    plain = events.announcement(
        author,
        name,
        clone=[f"https://{SERVICE}/{author.npub}/{name}.git", MIRROR],
        relays=[f"wss://{SERVICE}"],
    )
    claim = [("r", commit, "euc")] if commit else []
    return author.sign(30617, "", [*plain.tags, *claim, *more], NOW - 100)


async def serve(world: World, author: Author, name: str, steps: list[Step], commit: str) -> None:
    """A repository with data, whose announcement claims a commit."""
    assert (await world.offer(announced(author, name, commit))).accepted
    world.give(author, steps, name)
    state = events.state(author, name, {MAIN: steps[-1].oid}, created_at=NOW - 60)
    assert (await world.offer(state)).message == ""


async def want(world: World, author: Author, name: str, commit: str | None) -> Path:
    """A repository without data whose state waits; ask a server that refuses every connection."""
    assert (await world.offer(announced(author, name, commit))).accepted
    await world.offer(events.state(author, name, {MAIN: WANTED}, created_at=NOW - 50))
    return await ask(world, author, name)


async def ask(world: World, author: Author, name: str) -> Path:
    gate = Gate(resolve=resolved, connect=refused)  # type: ignore[arg-type]
    client = GitClient(world.settings.hunt, gate, world.repositories.tmp)
    clock = world.admission.clock
    context = RealSyncContext(world.core, world.releaser, client, clock, SERVICE)
    path = world.path(author, name)
    with pytest.raises(AttemptFailed):
        await context.fetch_oids(path, MIRROR, frozenset({WANTED}), SilentObserver())
    return path


@pytest.mark.parametrize("name", ["repo", "fork"])
async def test_b_8_13_what_is_public_of_the_same_origin_is_linked(world: World, name: str) -> None:
    steps = history(3)
    await serve(world, OWNER, "repo", steps, steps[0].oid)
    path = await want(world, FORKER, name, steps[0].oid)

    assert present_oids(path, [steps[2].oid])
    assert list_refs(path) == {}
    assert (await world.index.data(name)).maintainer_set(FORKER.pubkey) == {FORKER.pubkey}


async def test_b_8_13_only_packs_that_refs_need(world: World) -> None:
    steps, hidden = history(2), history(1, "hidden")
    await serve(world, OWNER, "repo", steps, steps[0].oid)
    add_pack(world.path(OWNER), hidden[0].objects)
    path = await want(world, FORKER, "fork", steps[0].oid)

    assert present_oids(path, [steps[1].oid])
    assert not present_oids(path, [hidden[0].oid])


async def test_b_8_13_a_pack_with_what_no_ref_reaches_is_not_lent(world: World) -> None:
    """Its author could publish a state that names what was public once."""
    steps, hidden = history(2), history(1, "hidden")
    assert (await world.offer(announced(OWNER, "repo", steps[0].oid))).accepted
    add_pack(world.path(OWNER), [o for step in (*steps, *hidden) for o in step.objects])
    state = events.state(OWNER, "repo", {MAIN: steps[-1].oid}, created_at=NOW - 60)
    assert (await world.offer(state)).message == ""
    path = await want(world, FORKER, "fork", steps[0].oid)

    assert not present_oids(path, [hidden[0].oid, steps[1].oid])


async def test_b_8_13_what_comes_later_is_lent_later(world: World) -> None:
    steps = history(3)
    await serve(world, OWNER, "repo", steps[:2], steps[0].oid)
    path = await want(world, FORKER, "fork", steps[0].oid)
    add_pack(world.path(OWNER), steps[2].objects)
    state = events.state(OWNER, "repo", {MAIN: steps[2].oid}, created_at=NOW - 40)
    assert (await world.offer(state)).message == ""

    await ask(world, FORKER, "fork")
    assert present_oids(path, [steps[2].oid])


@pytest.mark.parametrize("claim", [None, "2" * 40])
async def test_b_8_13_another_claim_or_none_gains_nothing(world: World, claim: str | None) -> None:
    steps = history(2)
    await serve(world, OWNER, "repo", steps, steps[0].oid)
    path = await want(world, FORKER, "fork", claim)

    assert not present_oids(path, [steps[1].oid])


async def test_b_8_13_who_claims_a_commit_and_has_it_not_lends_nothing(world: World) -> None:
    steps = history(2)
    await serve(world, OWNER, "repo", steps, "2" * 40)
    path = await want(world, FORKER, "fork", "2" * 40)

    assert not present_oids(path, [steps[1].oid])


async def test_b_8_13_what_is_held_lends_nothing(world: World) -> None:
    steps = history(2)
    assert (await world.offer(announced(OWNER, "repo", steps[0].oid))).accepted
    world.give(OWNER, steps)
    path = await want(world, FORKER, "fork", steps[0].oid)

    assert not present_oids(path, [steps[1].oid])


async def test_b_8_13_nor_what_was_deleted_though_it_lies_on_the_disk(world: World) -> None:
    steps = history(2)
    await serve(world, OWNER, "repo", steps, steps[0].oid)
    (event,) = await world.store.query([Filter(kinds=frozenset({30617}))], 10)
    request = OWNER.sign(5, "", [["e", event.id]], NOW)
    assert (await world.offer(request)).accepted
    assert world.path(OWNER).is_dir()
    path = await want(world, FORKER, "fork", steps[0].oid)

    assert not present_oids(path, [steps[1].oid])


async def test_b_8_13_nor_what_is_private_or_on_a_list(world: World) -> None:
    steps = history(2)
    await serve(world, OWNER, "repo", steps, steps[0].oid)
    assert (await world.offer(announced(FORKER, "fork", steps[0].oid))).accepted
    target, public = RepositoryId(FORKER.pubkey, "fork"), RepositoryId(OWNER.pubkey, "repo")
    assert await kindred_of(target, world.index, world.repositories) == [public]

    world.index.use_lists(CurationSettings(event_blacklist=(OWNER.npub,)))
    assert await kindred_of(target, world.index, world.repositories) == []
    world.index.use_lists(CurationSettings())
    private = OWNER.sign(
        30617, "", [*announced(OWNER, "repo", steps[0].oid).tags, ("private", "true")], NOW
    )
    await world.ledger.apply(Change(save=[private]))
    assert await kindred_of(target, world.index, world.repositories) == []


async def test_b_8_13_at_most_four_lend(world: World) -> None:
    steps = history(2)
    for number in range(6):
        await serve(world, OWNER, f"r{number}", steps, steps[0].oid)
    assert (await world.offer(announced(FORKER, "fork", steps[0].oid))).accepted
    target = RepositoryId(FORKER.pubkey, "fork")

    assert len(await kindred_of(target, world.index, world.repositories)) == 4
