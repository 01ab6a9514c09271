"""The operator's word that removes a repository, judged."""

from __future__ import annotations

import attrs
import pytest

from purgatory_sync.engine.keeping.caretaker import Caretaker
from purgatory_sync.errors import RepositoryError
from purgatory_sync.release.index.repository_index import RepositoryIndex
from purgatory_sync.testing.events import Author

from ...world import World

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)


def caretaker(world: World) -> Caretaker:
    return Caretaker(world.core, world.releaser)


async def test_what_is_announced_is_not_removed_under_any_settings(world: World) -> None:
    await world.announce(OWNER)
    elsewhere = RepositoryIndex(
        world.store, world.purgatory, world.repositories, "elsewhere.example.com"
    )
    core = attrs.evolve(world.core, index=elsewhere)
    with pytest.raises(RepositoryError, match="is held"):
        await Caretaker(core, world.releaser).remove(f"{OWNER.npub}/repo")
    assert world.path(OWNER).exists()


@pytest.mark.parametrize("name", ["x", f"../{OWNER.npub}/x.git", "", ".", "x.git.git"])
async def test_only_a_name_that_is_on_the_disk_is_removed(world: World, name: str) -> None:
    world.repositories.create(OWNER.pubkey, "x.git")
    with pytest.raises(RepositoryError, match="no repository"):
        await caretaker(world).remove(f"{STRANGER.npub}/{name}")
    if name == "x":
        with pytest.raises(RepositoryError, match="no repository"):
            await caretaker(world).remove(f"{OWNER.npub}/x")
    assert world.path(OWNER, "x.git").exists()


async def test_an_identifier_that_ends_in_git_is_removed_by_its_own_name(world: World) -> None:
    for identifier in ("x", "x.git"):
        world.repositories.create(OWNER.pubkey, identifier)
    await caretaker(world).remove(f"{OWNER.npub}/x.git")
    assert world.path(OWNER, "x").exists()
    assert not world.path(OWNER, "x.git").exists()
    await caretaker(world).remove(f"{OWNER.npub}/x.git")
    assert not world.path(OWNER, "x").exists()
