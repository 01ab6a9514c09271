"""What makes a repository one that lags behind what is served (B 9)."""

from __future__ import annotations

from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.release.lagging import lags, make_hosted
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import history
from ..world import NOW, World

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(3)
MAIN, DEV = "refs/heads/main", "refs/heads/dev"


async def test_b_9_a_head_that_names_another_branch_is_brought_up(world: World) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    world.give(OWNER, [step])
    event = events.state(OWNER, "repo", dict.fromkeys((MAIN, DEV), step.oid), created_at=NOW - 50)
    await world.offer(event)
    assert not await lags(world.core, "repo")
    (world.path(OWNER) / "HEAD").write_text(f"ref: {DEV}\n")
    assert await lags(world.core, "repo")
    await world.releaser.process("repo", bring_up=True)
    assert world.head(OWNER) == MAIN


async def test_b_9_a_repository_that_no_state_rules_is_made_again(world: World) -> None:
    announcement = await world.announce(OWNER)
    (step,) = history(1)
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW - 40)
    await world.offer(pr)
    world.give(OWNER, [step])
    await world.releaser.process("repo")
    assert await world.served() == {announcement.id, pr.id}
    assert not await lags(world.core, "repo")
    world.repositories.remove(OWNER.pubkey, "repo")
    assert await lags(world.core, "repo")
    await make_hosted(world.core, "repo")
    assert is_repository(world.path(OWNER))
    assert not await lags(world.core, "repo")
