"""The hunt's door to the real world: where objects go, what is linked before a server is asked."""

from __future__ import annotations

import pytest

from purgatory_sync.engine.context import RealSyncContext
from purgatory_sync.errors import AttemptFailed
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.observer import SilentObserver
from purgatory_sync.hunt.source_choice import survey
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history
from ..world import NOW, SERVICE, World

# In the order of their keys, so that what goes by that order is known.
BETWEEN = Author.from_seed(3)
FIRST, SECOND = sorted((Author.from_seed(1), Author.from_seed(2)), key=lambda author: author.pubkey)
MAIN = "refs/heads/main"
MIRROR = "https://mirror.example.com/repo.git"


async def refused(address: str, port: int) -> None:
    raise ConnectionRefusedError


async def resolved(host: str) -> list[str]:
    return ["198.41.0.4"]


def context(world: World) -> RealSyncContext:
    gate = Gate(resolve=resolved, connect=refused)  # type: ignore[arg-type]
    client = GitClient(world.settings.hunt, gate, world.repositories.tmp)
    return RealSyncContext(world.core, world.releaser, client, world.admission.clock, SERVICE)


async def announce(world: World, author: Author, *maintainers: Author) -> None:
    event = events.announcement(
        author,
        "repo",
        clone=[f"https://{SERVICE}/{author.npub}/repo.git", MIRROR],
        relays=[f"wss://{SERVICE}"],
        maintainers=maintainers,
        created_at=NOW - 100,
    )
    assert (await world.offer(event)).accepted


async def hold(world: World, author: Author, oid: str) -> Event:
    state = events.state(author, "repo", {MAIN: oid}, created_at=NOW - 50)
    await world.offer(state)
    return state


async def fill(world: World, author: Author, steps: list[Step]) -> None:
    """Objects with a ref that names them."""
    world.give(author, steps)
    state = events.state(author, "repo", {MAIN: steps[-1].oid}, created_at=NOW - 60)
    assert (await world.offer(state)).message == ""


async def ask(world: World, author: Author, oid: str) -> None:
    """Ask a server that refuses every connection."""
    with pytest.raises(AttemptFailed):
        await context(world).fetch_oids(
            world.path(author), MIRROR, frozenset({oid}), SilentObserver()
        )


async def test_b_8_8_one_url_of_two_strangers_is_asked_for_each_of_them(world: World) -> None:
    await announce(world, FIRST)
    await announce(world, SECOND)
    one, two = await hold(world, FIRST, "1" * 40), await hold(world, SECOND, "2" * 40)
    ctx = context(world)
    seen = await survey(ctx, "repo")
    assert seen is not None
    targets = {next(iter(s.event_ids)): ctx.find_target_repo(seen.data, s) for s in seen.sources}
    assert targets == {one.id: world.path(FIRST), two.id: world.path(SECOND)}


async def test_b_8_8_the_target_concerns_every_event_of_the_source(world: World) -> None:
    await announce(world, SECOND, BETWEEN)
    await world.announce(BETWEEN, maintainers=[SECOND, FIRST], listed=False)
    await announce(world, FIRST, SECOND)
    # The first's state concerns both repositories, the second's only its own, for the first does
    # not name the key that named it.
    await hold(world, FIRST, "1" * 40)
    await hold(world, SECOND, "2" * 40)
    ctx = context(world)
    seen = await survey(ctx, "repo")
    assert seen is not None
    (source,) = (each for each in seen.sources if each.url == MIRROR)
    assert source.oids == {"1" * 40, "2" * 40}
    assert source.owner == FIRST.pubkey
    assert ctx.find_target_repo(seen.data, source) == world.path(SECOND)


async def test_what_a_repository_concerned_has_is_linked_before_a_server_is_asked(
    world: World,
) -> None:
    await announce(world, FIRST, SECOND)
    await announce(world, SECOND, FIRST)
    steps = history(2)
    await fill(world, FIRST, steps)
    world.repositories.remove(SECOND.pubkey, "repo")
    world.repositories.create(SECOND.pubkey, "repo")
    await hold(world, SECOND, "1" * 40)
    await ask(world, SECOND, "1" * 40)
    assert present_oids(world.path(SECOND), [steps[1].oid])


async def test_nothing_is_linked_from_a_stranger(world: World) -> None:
    await announce(world, FIRST)
    await announce(world, SECOND)
    steps = history(2)
    await fill(world, FIRST, steps)
    await hold(world, SECOND, "1" * 40)
    await ask(world, SECOND, "1" * 40)
    assert not present_oids(world.path(SECOND), [steps[1].oid])


async def test_n3_a_damaged_repository_beside_it_stops_no_hunt(world: World) -> None:
    await announce(world, FIRST, SECOND)
    await announce(world, SECOND, FIRST)
    await fill(world, FIRST, history(1))
    await hold(world, SECOND, "1" * 40)
    (world.path(FIRST) / "config").write_bytes(b"[extensions]\n\tobjectformat = sha256\n")
    await ask(world, SECOND, "1" * 40)
