"""Sentences of B 2.6 and 7 that the tests of the releaser do not prove one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.git.disk.alignment import Alignment, align_refs
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history
from ..world import NOW, World

OWNER, MAINTAINER, STRANGER, OTHER = (Author.from_seed(n) for n in (1, 2, 3, 4))
MAIN, MASTER, DEV = "refs/heads/main", "refs/heads/master", "refs/heads/dev"


def state(refs: dict[str, str], at: int = NOW - 50, head: str | None = None) -> Event:
    return events.state(OWNER, "repo", refs, head=head, created_at=at)


def request(step: Step, author: Author = STRANGER) -> Event:
    return events.pull_request(author, [OWNER.coordinate("repo")], step.oid, created_at=NOW - 40)


async def test_b_2_6_a_pull_request_promotes_whose_repository_got_its_objects(world: World) -> None:
    mine, other = await world.announce(OWNER), await world.announce(STRANGER)
    steps = history(1)
    pr = request(steps[0])
    await world.offer(pr)
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert await world.served() == {mine.id, pr.id}
    assert await world.held() == {other.id}


async def test_b_2_6_no_other_repository_is_promoted(world: World) -> None:
    mine, other = await world.announce(OWNER), await world.announce(STRANGER)
    steps = history(1)
    world.give(OWNER, steps)
    world.give(STRANGER, steps)
    assert (await world.offer(state({MAIN: steps[0].oid}))).outcome is Outcome.SERVED
    assert mine.id in await world.served()
    assert await world.held() == {other.id}
    assert world.refs(STRANGER) == {}


async def test_b_7_1_announcements_and_their_event_are_one_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcement = await world.announce(OWNER)
    steps = history(1)
    event = state({MAIN: steps[0].oid})
    await world.offer(event)
    world.give(OWNER, steps)
    changes: list[Change] = []
    apply = world.store.apply

    async def spy(change: Change) -> object:
        changes.append(change)
        return await apply(change)

    monkeypatch.setattr(world.store, "apply", spy)
    await world.releaser.process("repo")
    (change,) = changes
    assert [each.id for each in change.save] == list(change.unhold) == [announcement.id, event.id]
    assert world.told == [announcement.id, event.id]


async def test_b_7_1_states_come_before_pull_requests(world: World) -> None:
    announcement = await world.announce(OWNER)
    steps = history(1)
    pr, event = request(steps[0]), state({MAIN: steps[0].oid})
    await world.offer(pr)
    await world.offer(event)
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert world.told == [announcement.id, event.id, pr.id]
    assert await world.held() == set()


async def test_b_7_1_new_oids_are_a_hint_and_no_condition(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    event = state({MAIN: steps[0].oid})
    await world.offer(event)
    world.give(OWNER, steps)
    path = world.path(OWNER)
    for hint in (frozenset[str](), frozenset({"9" * 40})):
        await world.releaser.process_newly_available_git_data(path, hint)
        assert event.id in await world.served()


@pytest.mark.parametrize(
    ("names", "said", "head"),
    [
        ([DEV, MAIN], DEV, DEV),
        ([DEV, MASTER, MAIN], None, MAIN),
        ([DEV, MASTER], None, MASTER),
        ([DEV, "refs/heads/a"], None, DEV),
        ([DEV, MAIN], "refs/heads/gone", MAIN),
        (["refs/tags/v1", DEV], "refs/tags/v1", DEV),
    ],
)
async def test_b_7_2_head(world: World, names: list[str], said: str | None, head: str) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    event = state(dict.fromkeys(names, steps[0].oid), head=said)
    assert (await world.offer(event)).outcome is Outcome.SERVED
    assert world.head(OWNER) == head


async def test_b_7_2_refs_of_pull_requests_are_untouched(world: World) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps)
    nostr = {f"refs/nostr/{'a' * 64}": steps[0].oid}
    update_refs(world.path(OWNER), nostr)
    await world.offer(state({MAIN: steps[1].oid, DEV: steps[0].oid}))
    await world.offer(state({MAIN: steps[1].oid}, NOW - 40))
    assert world.refs(OWNER) == {MAIN: steps[1].oid, **nostr}


@pytest.mark.parametrize("what", ["pull request", "state"])
async def test_b_7_1_what_was_gathered_for_one_event_releases_others(
    world: World, what: str
) -> None:
    """The objects are in a repository that does not count for the state that is judged first."""
    await world.announce(OTHER, maintainers=[MAINTAINER])
    await world.announce(MAINTAINER, maintainers=[OTHER, OWNER], listed=False)
    await world.announce(OWNER, maintainers=[OTHER])
    data = await world.index.data("repo")
    assert OWNER.pubkey in data.maintainer_set(OTHER.pubkey)
    assert OTHER.pubkey not in data.maintainer_set(OWNER.pubkey), "it does not name her itself"
    steps = history(1)
    first = events.state(OTHER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    if what == "state":
        second = events.state(OWNER, "repo", {DEV: steps[0].oid}, created_at=NOW - 50)
    else:
        second = events.pull_request(
            STRANGER, [OWNER.coordinate("repo")], steps[0].oid, created_at=NOW - 50
        )
    for each in (first, second):
        assert (await world.offer(each)).outcome is Outcome.HELD
    # Both are served already, so that no promotion makes it judge again.
    served = [held.event for held in world.purgatory.announcements()]
    await world.ledger.apply(Change(save=served, unhold=[each.id for each in served]))
    for each in served:
        world.purgatory.remove_announcement(each.id)
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert {first.id, second.id} <= await world.served()
    assert await world.held() == set()


async def test_b_7_1_what_was_gathered_under_another_identifier_is_looked_at_soon(
    world: World, autojump_clock: MockClock
) -> None:
    for identifier in ("repo", "fork"):
        await world.announce(OWNER, identifier)
    steps = history(1)
    named = [OWNER.coordinate("repo"), OWNER.coordinate("fork")]
    await world.offer(events.pull_request(STRANGER, named, steps[0].oid, created_at=NOW - 40))
    await world.offer(events.state(OWNER, "fork", {MAIN: steps[0].oid}, created_at=NOW - 50))
    assert world.purgatory.sync_queue.due(1) == ()
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert world.purgatory.sync_queue.due(1) == ("fork",)


async def lacking_what_rules(world: World) -> list[Step]:
    """A state that is served for the sake of an owner who has left with the objects."""
    await world.announce_group(OWNER, MAINTAINER)
    steps = history(1)
    world.give(OWNER, steps)
    ruling = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    assert (await world.offer(ruling)).outcome is Outcome.SERVED
    await world.offer(OWNER.sign(5, "", [("a", str(OWNER.coordinate("repo")))], NOW))
    announcement = await world.announce(MAINTAINER, created_at=NOW - 40)
    assert announcement.id in await world.held()
    return steps


async def test_b_3_4_a_pull_request_may_bring_what_the_ruling_state_lacked(world: World) -> None:
    steps = await lacking_what_rules(world)
    world.give(MAINTAINER, steps)
    pr = events.pull_request(STRANGER, [MAINTAINER.coordinate("repo")], steps[0].oid)
    assert (await world.offer(pr)).outcome is Outcome.SERVED
    assert not await world.held()
    assert world.refs(MAINTAINER) == dict.fromkeys((MAIN, f"refs/nostr/{pr.id}"), steps[0].oid)


async def test_b_3_4_a_pull_request_may_bring_it_from_under_another_identifier(
    world: World,
) -> None:
    steps = await lacking_what_rules(world)
    await world.announce(MAINTAINER, "fork")
    world.give(MAINTAINER, steps, "fork")
    both = [MAINTAINER.coordinate("fork"), MAINTAINER.coordinate("repo")]
    pr = events.pull_request(STRANGER, both, steps[0].oid)
    assert (await world.offer(pr)).outcome is Outcome.SERVED
    assert not await world.held()
    assert world.refs(MAINTAINER) == dict.fromkeys((MAIN, f"refs/nostr/{pr.id}"), steps[0].oid)


async def test_b_7_2_symbolic_values_are_not_in_the_map(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    event = state({MAIN: steps[0].oid, DEV: f"ref: {MAIN}"})
    assert (await world.offer(event)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {MAIN: steps[0].oid}


async def test_b_7_2_heads_and_tags_are_set_in_one_update(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps)
    await world.offer(state({MAIN: steps[0].oid, DEV: steps[0].oid, "refs/tags/v1": steps[0].oid}))
    calls: list[dict[str, str]] = []

    def spy(path: Path, refs: dict[str, str], head: str | None) -> Alignment:
        calls.append(dict(refs))
        return align_refs(path, refs, head)

    monkeypatch.setattr("purgatory_sync.release.repository_sync.align_refs", spy)
    wanted = {MAIN: steps[1].oid, "refs/heads/new": steps[0].oid}
    await world.offer(state(wanted, NOW - 40))
    assert calls == [wanted]
    assert world.refs(OWNER) == wanted


async def test_b_7_2_nothing_is_moved_where_an_object_is_missing(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    event = state({MAIN: steps[0].oid, DEV: "2" * 40})
    assert (await world.offer(event)).outcome is Outcome.HELD
    assert world.refs(OWNER) == {}


async def test_b_7_3_an_update_of_a_pull_request_has_a_ref_of_its_own(world: World) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps)
    pr = request(steps[0])
    update = events.pull_request_update(
        STRANGER, [OWNER.coordinate("repo")], steps[1].oid, pr, created_at=NOW - 30
    )
    for event in (pr, update):
        assert (await world.offer(event)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {
        f"refs/nostr/{pr.id}": steps[0].oid,
        f"refs/nostr/{update.id}": steps[1].oid,
    }
