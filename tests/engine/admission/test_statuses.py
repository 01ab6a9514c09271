"""Who may set the status of an issue or a pull request, where the operator asks for it (B 5.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.engine.admission.admission import Answer, Outcome
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.policy.kinds.statuses import FORBIDDEN
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.settings import CurationSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World

OWNER, MEMBER, HELPER, WRITER, STRANGER = (Author.from_seed(n) for n in range(1, 6))
OPEN, CLOSED, ISSUE = 1630, 1632, 1621
MAIN = "refs/heads/main"
REPOSITORY = str(OWNER.coordinate("repo"))


async def world_in(folder: Path, lists: CurationSettings) -> tuple[World, Event]:
    """A served repository of a set with a moderator, and an issue of a stranger to it."""
    world = World(folder, lists)
    await world.announce(OWNER, roles=[("M", OWNER), ("m", MEMBER), ("o", HELPER)])
    await world.announce(MEMBER, roles=[("M", OWNER), ("m", MEMBER)])
    await world.announce(HELPER, roles=[("M", OWNER), ("o", HELPER)])
    step = history(1)[0]
    world.give(OWNER, [step])
    state = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 10)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    issue = WRITER.sign(ISSUE, "", [("a", REPOSITORY)], NOW - 5)
    assert (await world.offer(issue)).outcome is Outcome.SERVED
    return world, issue


@pytest.fixture
async def strict(tmp_path: Path) -> tuple[World, Event]:
    return await world_in(tmp_path, CurationSettings(status_authority="refuse"))


async def set_by(
    world: World, author: Author, about: Event, *more: tuple[str, ...], kind: int = CLOSED
) -> Answer:
    tags = [("e", about.id, "", "root"), ("a", REPOSITORY), *more]
    return await world.offer(author.sign(kind, "", tags, NOW))


@pytest.mark.parametrize("kind", [1630, 1631, 1632, 1633])
async def test_b_5_6_those_who_rule_and_who_wrote_the_root_set_a_status(
    strict: tuple[World, Event], kind: int
) -> None:
    world, issue = strict
    for author in (OWNER, MEMBER, HELPER, WRITER):
        assert (await set_by(world, author, issue, kind=kind)).outcome is Outcome.SERVED
    answer = await set_by(world, STRANGER, issue, kind=kind)
    assert (answer.outcome, answer.message) == (Outcome.REFUSED, FORBIDDEN)


@pytest.mark.parametrize("origin", list(Origin))
async def test_b_5_6_a_repository_of_the_strangers_own_gives_no_right(
    strict: tuple[World, Event], origin: Origin
) -> None:
    """What a status names does not count where its root is here and says whose it is."""
    world, issue = strict
    await world.announce(STRANGER)
    own = ("a", str(STRANGER.coordinate("repo")))
    tags = [own, ("e", issue.id, "", "root"), ("a", REPOSITORY)]
    answer = await world.offer(STRANGER.sign(CLOSED, "", tags, NOW), origin)
    assert answer.message == FORBIDDEN
    assert f"a:{REPOSITORY}" in answer.lacks, "it is judged again when the set changes"


async def test_b_5_6_the_marked_root_decides(strict: tuple[World, Event]) -> None:
    world, issue = strict
    other = STRANGER.sign(ISSUE, "mine", [("a", REPOSITORY)], NOW - 4)
    assert (await world.offer(other)).accepted
    tags = [("e", other.id, "", "mention"), ("e", issue.id, "", "root")]
    assert (await world.offer(STRANGER.sign(CLOSED, "", tags, NOW))).message == FORBIDDEN
    unmarked = [("e", other.id), ("e", issue.id)]
    assert (await world.offer(STRANGER.sign(CLOSED, "", unmarked, NOW))).accepted


async def test_b_5_6_without_the_root_the_named_repository_decides(
    strict: tuple[World, Event],
) -> None:
    world, _ = strict
    absent = WRITER.sign(ISSUE, "not here", [("a", REPOSITORY)], NOW - 3)
    assert (await set_by(world, MEMBER, absent)).accepted
    assert (await set_by(world, WRITER, absent)).message == FORBIDDEN


async def test_b_5_6_without_either_it_is_judged_as_other_events(
    strict: tuple[World, Event],
) -> None:
    world, issue = strict
    reply = STRANGER.sign(1111, "", [("e", issue.id)], NOW - 2)
    assert (await world.offer(reply)).accepted
    about = STRANGER.sign(CLOSED, "", [("e", reply.id, "", "root")], NOW)
    assert (await world.offer(about)).accepted


async def test_b_5_6_nothing_is_refused_unless_the_operator_asks(tmp_path: Path) -> None:
    world, issue = await world_in(tmp_path, CurationSettings())
    assert (await set_by(world, STRANGER, issue)).accepted


async def test_b_5_6_a_served_status_stays_when_its_author_leaves(
    strict: tuple[World, Event],
) -> None:
    world, issue = strict
    status = MEMBER.sign(CLOSED, "", [("e", issue.id, "", "root")], NOW - 1)
    assert (await world.offer(status)).accepted
    await world.announce(OWNER, created_at=NOW)
    filters = [Filter(ids=frozenset((status.id,)))]
    assert await world.store.query(filters, 1) == [status]
    assert (await set_by(world, MEMBER, issue, kind=OPEN)).message == FORBIDDEN
