"""What leaves takes its authority along: the state that rules then is what the refs say (B 3.4)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import history
from ..world import NOW, World
from .upkeep.test_sweep import sweeper

OWNER, MAINTAINER, DEPUTY = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"
OLD, NEW = history(1, "old")[0], history(1, "new")[0]


async def ruled_by_the_newer(world: World, by: Author) -> tuple[Event, Event]:
    """An older state of the owner and a newer one of another key, both served; returns them."""
    world.give(OWNER, [OLD, NEW])
    older = events.state(OWNER, "repo", {MAIN: OLD.oid}, created_at=NOW - 60)
    newer = events.state(by, "repo", {MAIN: NEW.oid}, created_at=NOW - 50)
    for each in (older, newer):
        assert (await world.offer(each)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {MAIN: NEW.oid}
    return older, newer


@pytest.mark.parametrize("by", ["e", "a"])
async def test_b_3_4_a_state_that_is_deleted_rules_no_more(world: World, by: str) -> None:
    await world.announce_group(OWNER, MAINTAINER)
    older, newer = await ruled_by_the_newer(world, MAINTAINER)
    target = newer.id if by == "e" else f"30618:{MAINTAINER.pubkey}:repo"
    await world.offer(MAINTAINER.sign(5, "", [(by, target)], NOW))
    assert world.refs(OWNER) == {MAIN: OLD.oid}
    await world.offer(OWNER.sign(5, "", [("e", older.id)], NOW))
    assert world.refs(OWNER) == {MAIN: OLD.oid}, "without a state nothing moves"


async def test_b_3_4_an_announcement_that_is_deleted_authorises_no_key(world: World) -> None:
    """The owner names a maintainer, whose announcement names a deputy."""
    await world.announce(OWNER, maintainers=[MAINTAINER])
    theirs = await world.announce(MAINTAINER, maintainers=[OWNER, DEPUTY], listed=False)
    await world.announce(DEPUTY, maintainers=[MAINTAINER], listed=False)
    await ruled_by_the_newer(world, DEPUTY)
    await world.offer(MAINTAINER.sign(5, "", [("e", theirs.id)], NOW))
    assert world.refs(OWNER) == {MAIN: OLD.oid}


@pytest.mark.parametrize("ends", ["forgotten", "deleted"])
async def test_b_2_7_an_announcement_that_is_held_no_more_authorises_no_key(
    world: World, autojump_clock: MockClock, ends: str
) -> None:
    """The maintainer's waits softly expired, and is forgotten where no served owner needs it."""
    await world.announce(OWNER, maintainers=[MAINTAINER])
    theirs = await world.announce(MAINTAINER, maintainers=[OWNER])
    await trio.sleep(1801)
    await sweeper(world).sweep()
    refused = events.state(MAINTAINER, "repo", {MAIN: NEW.oid}, created_at=NOW - 50)
    assert world.purgatory.get(theirs.id) is not None
    if ends == "deleted":
        await world.offer(MAINTAINER.sign(5, "", [("e", theirs.id)], NOW))
    else:
        await trio.sleep(24 * 3600)
        await sweeper(world).sweep()
    assert theirs.id not in await world.held() | await world.served()
    assert (await world.offer(refused)).outcome is Outcome.REFUSED
