"""Profiles and relay lists of those who take part here (B 15.1)."""

from __future__ import annotations

import attrs
import pytest

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.nostr.event import Event
from purgatory_sync.policy.kinds.profiles import TOO_LARGE
from purgatory_sync.policy.rules.references import UNREFERENCED
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World

OWNER, WRITER, STRANGER, REPLIER = (Author.from_seed(n) for n in range(1, 5))
PROFILE, RELAYS = 0, 10002


def said_by(author: Author, kind: int = RELAYS, content: str = "", at: int = NOW) -> Event:
    return author.sign(kind, content, [["r", "wss://relay.example"]], at)


@pytest.fixture
async def place(world: World) -> World:
    """A served repository, an issue, and a reply to it."""
    await world.announce(OWNER)
    step = history(1)[0]
    world.give(OWNER, [step])
    state = events.state(OWNER, "repo", {"refs/heads/main": step.oid}, created_at=NOW - 10)
    issue = WRITER.sign(1621, "", [("a", str(OWNER.coordinate("repo")))], NOW - 5)
    reply = REPLIER.sign(1111, "", [("E", issue.id), ("e", issue.id)], NOW - 5)
    for event in (state, issue, reply):
        assert (await world.offer(event)).outcome is Outcome.SERVED
    return world


@pytest.mark.parametrize("author", [OWNER, WRITER, REPLIER])
@pytest.mark.parametrize("kind", [PROFILE, RELAYS])
@pytest.mark.parametrize("origin", [Origin.USER, Origin.SYNC])
async def test_b_15_1_of_participants_they_are_served(
    place: World, author: Author, kind: int, origin: Origin
) -> None:
    event = said_by(author, kind)
    assert (await place.offer(event, origin)).outcome is Outcome.SERVED
    assert event.id in await place.served()


@pytest.mark.parametrize("kind", [PROFILE, RELAYS])
async def test_b_15_1_the_newest_of_each_kind(place: World, kind: int) -> None:
    old, new = said_by(WRITER, kind, "old", NOW - 1), said_by(WRITER, kind, "new")
    for event in (old, new, said_by(WRITER, kind, "older", NOW - 2)):
        await place.offer(event)
    served = await place.served()
    assert new.id in served
    assert old.id not in served


@pytest.mark.parametrize("kind", [PROFILE, RELAYS])
async def test_b_15_1_of_others_they_are_refused(place: World, kind: int) -> None:
    tags = [["p", STRANGER.pubkey], ["a", str(OWNER.coordinate("repo"))]]
    issue = WRITER.sign(1621, "about a stranger", tags, NOW)
    assert (await place.offer(issue)).accepted
    assert (await place.offer(said_by(STRANGER, kind))).message == UNREFERENCED


async def test_b_15_1_a_grasp_list_and_a_reaction_make_nobody_a_participant(place: World) -> None:
    for event in (
        STRANGER.sign(10317, "", [["g", "wss://x.example"]], NOW),
        STRANGER.sign(7, "+", [["a", str(OWNER.coordinate("repo"))]], NOW),
    ):
        assert (await place.offer(event)).accepted
    assert (await place.offer(said_by(STRANGER))).message == UNREFERENCED


async def test_b_15_1_nor_does_what_is_held(world: World) -> None:
    await world.announce(OWNER)
    assert (await world.offer(said_by(OWNER))).message == UNREFERENCED


async def test_b_15_1_they_have_64_kib_and_anchor_nothing(place: World) -> None:
    assert (await place.offer(said_by(WRITER, PROFILE, "x" * 66_000))).message == TOO_LARGE
    profile = said_by(WRITER, PROFILE, "x" * 60_000)
    assert (await place.offer(profile)).accepted
    spam = STRANGER.sign(1, "spam", [["e", profile.id]], NOW)
    assert (await place.offer(spam)).message == UNREFERENCED


async def test_b_15_1_where_it_is_off_they_are_refused(place: World) -> None:
    admission = place.admission
    off = attrs.evolve(admission, snapshots=attrs.evolve(admission.snapshots, plus=False))
    assert (await off.offer(said_by(WRITER), Origin.USER)).message == UNREFERENCED
