"""B 5.1 where the engine has its part: the lists reach policy, and what was held before ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.upkeep.list_enforcement import end_what_is_blocked
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.policy.rules.position_words import why_no_authority
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.release.index.held_rows import row_of
from purgatory_sync.settings import CurationSettings
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, SERVICE, World

OWNER, OTHER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"


def take(world: World, lists: CurationSettings) -> None:
    world.index.use_lists(lists)


def state(author: Author = OWNER, identifier: str = "repo") -> Event:
    return events.state(author, identifier, {MAIN: "1" * 40}, created_at=NOW - 50)


@pytest.mark.parametrize("origin", list(Origin))
async def test_b_5_1_what_is_blocked_is_neither_held_nor_hunted(
    world: World, origin: Origin
) -> None:
    await world.announce(OWNER)
    take(world, CurationSettings(repository_blacklist=(f"{OWNER.npub}/repo",)))
    answer = await world.offer(state(), origin)
    assert (answer.outcome, answer.message[:9]) == (Outcome.REFUSED, "blocked: ")
    assert world.purgatory.sync_queue.get("repo") is None
    take(world, CurationSettings())
    assert (await world.offer(state(), origin)).outcome is Outcome.HELD


async def test_b_2_2_b_a_co_maintainer_beside_the_whitelist_gets_no_repository(
    world: World,
) -> None:
    take(world, CurationSettings(repository_whitelist=(f"{OWNER.npub}/repo",)))
    await world.announce(OWNER, maintainers=[OTHER])
    await world.announce(OTHER, maintainers=[OWNER])
    assert is_repository(world.path(OWNER))
    assert not is_repository(world.path(OTHER))
    steps = history(1)
    world.give(OWNER, steps)
    released = events.state(OTHER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    assert (await world.offer(released)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {MAIN: steps[0].oid}


async def hold_much(world: World) -> dict[str, Event]:
    """Two repositories with a state and a pull request each."""
    found = {}
    for author, name in ((OWNER, "repo"), (OTHER, "other")):
        found[f"{name} announcement"] = await world.announce(author, name)
        found[f"{name} state"] = state(author, name)
        found[f"{name} pr"] = events.pull_request(
            STRANGER, [author.coordinate(name)], "2" * 40, created_at=NOW
        )
        for each in ("state", "pr"):
            assert (await world.offer(found[f"{name} {each}"])).outcome is Outcome.HELD
    return found


@pytest.mark.parametrize(
    ("lists", "ended"),
    [
        (CurationSettings(), []),
        (CurationSettings(repository_blacklist=("elsewhere",)), []),
        (CurationSettings(repository_blacklist=("repo",)), ["announcement", "state", "pr"]),
        (CurationSettings(event_blacklist=(OWNER.npub,)), ["announcement", "state", "pr"]),
        (CurationSettings(repository_whitelist=("other",)), ["announcement", "state", "pr"]),
    ],
)
async def test_b_5_1_what_was_held_and_is_blocked_now_ends_at_the_start(
    world: World, lists: CurationSettings, ended: list[str]
) -> None:
    found = await hold_much(world)
    take(world, lists)
    await end_what_is_blocked(world.core, world.releaser, SERVICE)
    left = {event.id for event in found.values()} - {found[f"repo {each}"].id for each in ended}
    assert await world.held() == left
    assert {each.id for each in found.values() if world.purgatory.get(each.id)} == left
    assert world.purgatory.has_pending_events("repo") is not bool(ended)
    assert is_repository(world.path(OWNER)) is not bool(ended)
    assert is_repository(world.path(OTHER, "other"))


async def test_b_2_10_what_was_held_and_is_private_ends_at_the_start(world: World) -> None:
    """A former version held it."""
    plain = await world.announce(OWNER)
    tags = [*plain.tags, ("private", "true")]
    private = Announcement.parse(OWNER.sign(30617, "", tags, NOW - 10))
    held = world.purgatory.add_announcement(private, Origin.USER, NOW)
    await world.ledger.apply(Change(hold=[row_of(held)], unhold=[plain.id]))
    await end_what_is_blocked(world.core, world.releaser, SERVICE)
    assert await world.held() == set()
    assert not is_repository(world.path(OWNER))


async def test_b_5_1_what_a_blacklisted_stranger_sent_ends_alone(world: World) -> None:
    found = await hold_much(world)
    take(world, CurationSettings(event_blacklist=(STRANGER.npub,)))
    await end_what_is_blocked(world.core, world.releaser, SERVICE)
    gone = {found["repo pr"].id, found["other pr"].id}
    assert await world.held() == {event.id for event in found.values()} - gone


async def test_b_5_1_what_is_served_stays_served_beside_a_held_version_that_ends(
    world: World,
) -> None:
    """A start with another domain, mistyped or meant, takes nothing that is served."""
    await world.announce(OWNER, maintainers=[OTHER])
    accepts = await world.announce(OTHER, maintainers=[OWNER], listed=False, created_at=NOW - 50)
    newer = await world.announce(OTHER, maintainers=[OWNER], created_at=NOW - 40)
    assert await world.index.serves(accepts.id)
    assert newer.id in await world.held()
    await end_what_is_blocked(world.core, world.releaser, "elsewhere.example.com")
    assert newer.id not in await world.held()
    assert await world.index.serves(accepts.id)


@pytest.mark.parametrize(
    "lists",
    [
        CurationSettings(event_blacklist=(OTHER.npub,)),
        CurationSettings(repository_blacklist=(OTHER.npub,)),
        CurationSettings(repository_blacklist=(f"{OTHER.npub}/repo",)),
    ],
)
async def test_b_5_1_who_is_blacklisted_is_a_member_of_nothing(
    tmp_path: Path, lists: CurationSettings
) -> None:
    """What he announced stays served, and rules nothing from the start on that knows the list."""
    world = World(tmp_path)
    await world.announce(OWNER, maintainers=[OTHER])
    accepts = await world.announce(OTHER, maintainers=[OWNER, STRANGER])
    beyond = await world.announce(STRANGER, maintainers=[OTHER], listed=False)
    old, new = history(2)
    world.give(OWNER, [old, new])
    for author, step, at in ((OWNER, old, -60), (OTHER, new, -50)):
        event = events.state(author, "repo", {MAIN: step.oid}, created_at=NOW + at)
        assert (await world.offer(event)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == world.refs(OTHER) == {MAIN: new.oid}
    again = World(tmp_path, lists)
    for event in await world.store.query([Filter()], 100):
        await again.ledger.apply(Change(save=[event]))
    data = await again.index.data("repo")
    assert data.maintainer_set(OWNER.pubkey) == {OWNER.pubkey}
    assert data.maintainer_set(OTHER.pubkey) == frozenset()
    assert why_no_authority(OTHER.pubkey, data) == (
        "the operator of this service takes nothing more of this repository"
    )
    await again.releaser.process("repo", bring_up=True)
    assert again.refs(OWNER) == {MAIN: old.oid}
    assert again.refs(OTHER) == {MAIN: new.oid}, "they stay as they are"
    assert {accepts.id, beyond.id} <= await again.served()
    assert data.owners_authorising(STRANGER.pubkey) == (STRANGER.pubkey,), "whom only he names"
