"""What is known of an identifier is gathered once, and anew after each change (B 3.1, 3.7)."""

from __future__ import annotations

from purgatory_sync.nostr.authority.repository_data import Standing
from purgatory_sync.purgatory.entries import HeldAnnouncement, Origin
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing.events import Author

from ...world import NOW, World

OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)


async def standing(world: World, author: Author = OWNER) -> tuple[Standing, bool] | None:
    known = (await world.index.data("repo")).known.get(author.pubkey)
    return None if known is None else (known.standing, known.has_repository)


async def test_it_is_the_same_object_until_something_changes(world: World) -> None:
    await world.announce(OWNER)
    first = await world.index.data("repo")
    assert await world.index.data("repo") is first
    await world.announce(OTHER, "elsewhere")
    assert await world.index.data("repo") is first
    await world.announce(OTHER)
    assert await world.index.data("repo") is not first


async def test_each_change_of_what_is_held_is_seen(world: World) -> None:
    event = await world.announce(OWNER)
    assert await standing(world) == (Standing.HELD, True)
    held = world.purgatory.get(event.id)
    assert isinstance(held, HeldAnnouncement)
    world.purgatory.soft_expire(held, NOW)
    assert await standing(world) == (Standing.SOFT_EXPIRED, False)
    world.purgatory.revive_announcement(held, NOW)
    assert await standing(world) == (Standing.HELD, True)
    world.purgatory.remove_announcement(event.id)
    assert await standing(world) is None
    world.purgatory.add_announcement(held.announcement, Origin.USER, NOW)
    assert await standing(world) == (Standing.HELD, True)


async def test_a_held_one_that_gave_way_to_another_owners_is_gone(world: World) -> None:
    """The group of the identifier begins anew, and so must not its number."""
    event, other = await world.announce(OWNER), await world.announce(OTHER, "x")
    assert await standing(world) is not None
    held, beside = world.purgatory.get(event.id), world.purgatory.get(other.id)
    assert isinstance(held, HeldAnnouncement)
    assert isinstance(beside, HeldAnnouncement)
    world.purgatory.remove_announcement(event.id)
    newer = await world.announce(OTHER)
    assert await standing(world) is None
    assert await standing(world, OTHER) is not None
    assert newer.id in await world.held()


async def test_repositories_that_come_and_go_are_seen(world: World) -> None:
    event = await world.announce(OWNER)
    await world.ledger.apply(Change(save=[event], unhold=[event.id]))
    world.purgatory.remove_announcement(event.id)
    for _ in range(2):
        assert await standing(world) == (Standing.SERVED, True)
        world.repositories.remove(OWNER.pubkey, "repo")
        assert await standing(world) == (Standing.SERVED, False)
        world.repositories.create(OWNER.pubkey, "repo")
    await world.ledger.apply(Change(delete=[event.id]))
    assert await standing(world) is None
