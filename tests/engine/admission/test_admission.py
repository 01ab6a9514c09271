"""The way in, with real repositories and a store in memory; policy's own cases are elsewhere."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import RepositoryError, StoreError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.purgatory.capacity import Load
from purgatory_sync.purgatory.entries import HeldAnnouncement, Origin
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World, is_held

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"
HELD = "purgatory: won't be served until git data arrives"


def announcing(author: Author, created_at: int) -> Event:
    """An announcement that lists us."""
    return events.announcement(
        author,
        "repo",
        clone=[f"https://grasp.example.com/{OWNER.npub}/repo.git"],
        relays=["wss://grasp.example.com"],
        created_at=created_at,
    )


async def test_n1_held_is_journaled_before_it_is_answered(
    world: World, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    rows = (await world.store.load()).held
    assert [(r.event, r.sort, r.origin, r.accepted_at) for r in rows] == [
        (announcement, "announcement", "user", NOW)
    ]


async def test_an_event_that_cannot_be_stored_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(change: Change) -> Applied:
        raise StoreError("disk full")

    monkeypatch.setattr(world.store, "apply", fails)
    event = events.announcement(
        OWNER,
        "repo",
        clone=[f"https://grasp.example.com/{OWNER.npub}/repo.git"],
        relays=["wss://grasp.example.com"],
    )
    answer = await world.offer(event)
    assert (answer.outcome, answer.message) == (
        Outcome.REFUSED,
        "error: could not be stored, try again later",
    )
    assert world.purgatory.get(event.id) is None
    assert world.purgatory.room.total == Load()


async def test_an_announcement_whose_repository_cannot_be_made_is_refused_and_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(owner: str, identifier: str, token: str) -> None:
        raise RepositoryError("read-only")

    monkeypatch.setattr(world.repositories, "create", fails)
    event = events.announcement(
        OWNER,
        "repo",
        clone=[f"https://grasp.example.com/{OWNER.npub}/repo.git"],
        relays=["wss://grasp.example.com"],
        created_at=NOW,
    )
    answer = await world.offer(event)
    assert answer.message == "error: the repository could not be made, try again later"
    assert await world.held() == set()
    assert world.purgatory.get(event.id) is None
    assert world.purgatory.room.total == Load()


@pytest.mark.parametrize("field", ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
async def test_a_tampered_event_is_refused(world: World, field: str) -> None:
    event = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW)
    other = events.state(STRANGER, "other", {}, head=MAIN, created_at=NOW - 1)
    changed = {"content": "x", "kind": 30617}.get(field, getattr(other, field))
    tampered: Event = msgspec.structs.replace(event, **{field: changed})
    answer = await world.offer(tampered)
    assert answer.outcome is Outcome.REFUSED
    assert answer.message.startswith("invalid: ")


async def test_b_1_8_what_is_held_already_is_a_duplicate_and_restarts_nothing(
    world: World,
) -> None:
    await world.announce(OWNER)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    await world.offer(state)
    entry = world.purgatory.sync_queue.get("repo")
    assert entry is not None
    due = entry.next_attempt
    answer = await world.offer(state, Origin.SYNC)
    assert answer.outcome is Outcome.DUPLICATE
    assert answer.accepted
    assert entry.next_attempt == due


@pytest.mark.parametrize(("origin", "delay"), [(Origin.USER, 180.0), (Origin.SYNC, 0.5)])
async def test_s3_first_hunt_waits_by_origin(
    world: World, origin: Origin, delay: float, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    await world.offer(events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50), origin)
    entry = world.purgatory.sync_queue.get("repo")
    assert entry is not None
    assert entry.next_attempt == trio.current_time() + delay


async def test_b_2_4_held_announcement_has_an_empty_repository(world: World) -> None:
    await world.announce(OWNER)
    assert is_repository(world.path(OWNER))
    assert world.head(OWNER) not in (None, MAIN)


async def test_b_2_5_newer_replaces_held_and_unlisted_evicts(world: World) -> None:
    first = await world.announce(OWNER, created_at=NOW - 100)
    second = await world.announce(OWNER, created_at=NOW - 90)
    assert await world.held() == {second.id}
    assert (await world.offer(first)).message.startswith("duplicate: ")
    away = events.announcement(
        OWNER,
        "repo",
        clone=["https://elsewhere.example.com/x.git"],
        relays=["wss://elsewhere.example.com"],
        created_at=NOW - 80,
    )
    answer = await world.offer(away)
    assert answer.outcome is Outcome.REFUSED
    assert await world.held() == set()
    assert not is_repository(world.path(OWNER))
    assert (await world.offer(second)).outcome is Outcome.REFUSED


async def test_b_2_8_an_announcement_brings_authority_to_what_is_held(world: World) -> None:
    await world.announce(OWNER)
    await world.announce(MAINTAINER, maintainers=[OWNER])
    steps = history(1)
    world.give(OWNER, steps)
    state = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.HELD
    await world.announce(OWNER, maintainers=[MAINTAINER], created_at=NOW - 40)
    assert state.id in await world.served()
    assert world.refs(OWNER) == {MAIN: steps[0].oid}


async def test_b_2_8_new_authority_brings_a_served_state_into_the_repository(
    world: World,
) -> None:
    await world.announce(OWNER)
    await world.announce(MAINTAINER, maintainers=[OWNER])
    ours, theirs = history(1, "ours"), history(1, "theirs")
    world.give(OWNER, ours)
    world.give(MAINTAINER, theirs)
    await world.offer(events.state(OWNER, "repo", {MAIN: ours[0].oid}, created_at=NOW - 60))
    await world.offer(events.state(MAINTAINER, "repo", {MAIN: theirs[0].oid}, created_at=NOW - 50))
    assert world.refs(OWNER) == {MAIN: ours[0].oid}
    await world.announce(OWNER, maintainers=[MAINTAINER], created_at=NOW - 40)
    assert world.refs(OWNER) == {MAIN: theirs[0].oid}


async def test_b_3_1_states_without_announcement_or_authority_are_refused(world: World) -> None:
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW)
    assert (await world.offer(state)).message == (
        "invalid: no announcement exists for this repository"
    )
    await world.announce(STRANGER)
    assert (await world.offer(state)).message.startswith(
        "restricted: author not authorized for this repository: no maintainer names you"
    )


async def test_b_4_2_a_ref_at_another_commit_is_deleted(world: World) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps[:1])
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], steps[1].oid, created_at=NOW)
    ref = f"refs/nostr/{pr.id}"
    update_refs(world.path(OWNER), {ref: steps[0].oid})
    assert (await world.offer(pr)).outcome is Outcome.HELD
    assert world.refs(OWNER) == {}


async def test_b_5_deletion_ends_what_is_held_and_it_does_not_come_back(world: World) -> None:
    await world.announce(OWNER)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    await world.offer(state)
    assert (await world.offer(events.deletion(STRANGER, ids=[state.id]))).accepted
    assert state.id in await world.held()
    request = events.deletion(OWNER, ids=[state.id], created_at=NOW - 10)
    assert (await world.offer(request)).outcome is Outcome.SERVED
    assert world.purgatory.get(state.id) is None
    assert state.id not in await world.held()
    assert (await world.offer(state)).message == "invalid: deleted by its author"


async def test_b_5_other_events_need_a_reference(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    await world.offer(events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50))
    lonely = STRANGER.sign(1, "hello", [], NOW)
    assert (await world.offer(lonely)).message == (
        "invalid: must reference an accepted repository or event"
    )
    issue = STRANGER.sign(1621, "bug", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await world.offer(issue)).outcome is Outcome.SERVED
    comment = OWNER.sign(1111, "fixed", [("E", issue.id)], NOW)
    assert (await world.offer(comment)).outcome is Outcome.SERVED
    assert {issue.id, comment.id} <= set(world.told)


async def test_b_1_9_purgatory_is_bounded_and_pushes_nothing_out(world: World) -> None:
    few = attrs.evolve(world.settings.purgatory, max_events_per_author=2)
    world.admission = attrs.evolve(
        world.admission, settings=attrs.evolve(world.settings, purgatory=few)
    )
    await world.announce(OWNER)
    first = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    second = events.state(OWNER, "repo", {MAIN: "2" * 40}, created_at=NOW - 40)
    assert (await world.offer(first)).outcome is Outcome.HELD
    assert (await world.offer(second)).message.startswith("rate-limited: ")
    assert first.id in await world.held()


@pytest.mark.parametrize("bound", ["max_events_per_author", "max_bytes_per_author"])
async def test_b_1_9_the_bound_holds_for_what_is_offered_at_once(world: World, bound: str) -> None:
    names = [f"repo-{number}" for number in range(6)]
    for name in names:
        await world.announce_group(STRANGER, OWNER, identifier=name)
    states = [events.state(OWNER, each, {MAIN: "1" * 40}, created_at=NOW) for each in names]
    size = len(encode_event(states[0]))
    most = 2 if bound == "max_events_per_author" else 2 * size
    few = attrs.evolve(world.settings.purgatory, **{bound: most})
    world.admission = attrs.evolve(
        world.admission, settings=attrs.evolve(world.settings, purgatory=few)
    )
    async with trio.open_nursery() as nursery:
        for event in states:
            nursery.start_soon(world.offer, event)
    assert world.purgatory.room.of_author(OWNER.pubkey) == Load(2, 2 * size)
    assert len({event.id for event in states} & await world.held()) == 2


async def test_b_1_9_what_cannot_be_released_needs_room_too(world: World) -> None:
    few = attrs.evolve(world.settings.purgatory, max_events_per_author=1)
    world.admission = attrs.evolve(
        world.admission, settings=attrs.evolve(world.settings, purgatory=few)
    )
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    lock = world.path(OWNER) / "packed-refs.lock"
    lock.touch()  # all objects are here, but another program writes refs
    for number in range(3):
        state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50 + number)
        answer = await world.offer(state)
        assert (answer.outcome, answer.message[:14]) == (Outcome.REFUSED, "rate-limited: ")
        assert world.purgatory.get(state.id) is None
        assert state.id not in await world.held()
        assert world.purgatory.room.of_author(OWNER.pubkey).events == 1  # the announcement
    lock.unlink()
    good = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 20)
    assert (await world.offer(good)).outcome is Outcome.SERVED


async def test_an_offer_that_is_cancelled_is_ended_all_the_same(world: World) -> None:
    await world.announce(OWNER)
    await world.announce(MAINTAINER, maintainers=[OWNER])
    theirs = history(1, "theirs")
    world.give(MAINTAINER, theirs)
    state = events.state(MAINTAINER, "repo", {MAIN: theirs[0].oid}, created_at=NOW - 50)
    await world.offer(state)
    ours = history(1, "ours")
    world.give(OWNER, ours)
    await world.offer(events.state(OWNER, "repo", {MAIN: ours[0].oid}, created_at=NOW - 60))
    assert world.refs(OWNER) == {MAIN: ours[0].oid}

    with trio.CancelScope() as scope:
        working = world.store.apply

        async def left(change: Change) -> Applied:
            applied = await working(change)
            scope.cancel()  # the client has gone
            return applied

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(world.store, "apply", left)
            newer = await world.announce(OWNER, maintainers=[MAINTAINER], created_at=NOW - 40)
    assert newer.id in await world.served()
    assert newer.id in world.told
    assert world.refs(OWNER) == {MAIN: theirs[0].oid}


async def test_a_subscriber_who_takes_too_long_does_not_lock_the_identifier(
    world: World, autojump_clock: MockClock
) -> None:
    async def hangs(event: Event) -> None:
        await trio.sleep_forever()

    world.admission = attrs.evolve(world.admission, core=attrs.evolve(world.core, notify=hangs))
    note = STRANGER.sign(10317, "", [], NOW)
    with trio.fail_after(60):
        assert (await world.offer(note)).outcome is Outcome.SERVED
    assert trio.current_time() == 10.0


async def test_b_4_2_a_ref_that_cannot_be_deleted_does_not_make_a_held_event_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)

    def fails(repository: object, unless: object) -> None:
        raise RepositoryError("another program holds git's lock")

    monkeypatch.setattr("purgatory_sync.release.pr_release.drop_refs", fails)
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], "1" * 40, created_at=NOW)
    assert (await world.offer(pr)).outcome is Outcome.HELD
    assert pr.id in await world.held()


@pytest.mark.parametrize("with_what", ["state", "announcement"])
async def test_b_2_7_a_revival_without_repository_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, with_what: str
) -> None:
    announcement = await world.announce(OWNER)
    held = world.purgatory.get(announcement.id)
    assert isinstance(held, HeldAnnouncement)
    world.purgatory.soft_expire(held, NOW)
    world.repositories.remove(OWNER.pubkey, "repo")

    def fails(owner: str, identifier: str, token: str) -> None:
        raise RepositoryError("read-only")

    monkeypatch.setattr(world.repositories, "create", fails)
    if with_what == "state":
        event = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    else:
        event = announcing(OWNER, created_at=NOW - 50)
    answer = await world.offer(event)
    assert answer.message == "error: the repository could not be made, try again later"
    assert await world.held() == {announcement.id}
    assert world.purgatory.get(announcement.id) is held
    assert held.soft_expired_at == NOW
    assert world.purgatory.get(event.id) is None


async def test_b_5_a_deletion_waits_for_what_its_target_changes(
    world: World, autojump_clock: MockClock
) -> None:
    """The target is held while the deletion waits for it; then others have its identifier."""
    await world.announce(OWNER)
    target = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    request = events.deletion(OWNER, ids=[target.id], created_at=NOW)
    seen = []

    async def work_on_it() -> None:
        async with world.releaser.hold("repo"):
            await trio.sleep(60)
            seen.append(target.id in await world.held())

    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(world.offer, target)
        await trio.sleep(1)
        nursery.start_soon(work_on_it)
        await trio.sleep(1)
        nursery.start_soon(world.offer, request)
        await trio.sleep(1)
    assert seen == [True]
    assert target.id not in await world.held()


async def test_b_5_a_deletion_waits_for_nothing_of_others(
    world: World, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    await world.core.ledger.apply(Change(save=[announcement]))
    request = events.deletion(STRANGER, ids=[announcement.id], created_at=NOW)
    outcomes = []

    async def offer() -> None:
        outcomes.append((await world.offer(request)).outcome)

    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(offer)
        await trio.sleep(1)
        assert outcomes == [Outcome.SERVED]
    assert announcement.id in await world.served()


@pytest.mark.parametrize("deletion_first", [True, False])
@pytest.mark.parametrize("by", ["e", "a"])
@pytest.mark.parametrize("kind", [30618, 10317, 30023])
async def test_b_5_a_deletion_that_comes_with_its_target_ends_it(
    world: World, deletion_first: bool, by: str, kind: int
) -> None:
    announcement = await world.announce(OWNER)
    if kind == 30618:
        target = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    else:
        await world.core.ledger.apply(Change(save=[announcement]))
        of_repository = [("a", str(OWNER.coordinate("repo"))), ("d", "x")]
        target = OWNER.sign(kind, "", of_repository if kind == 30023 else [], NOW - 50)
    assert target.address is not None
    name = target.id if by == "e" else ":".join(map(str, target.address))
    request = OWNER.sign(5, "", [(by, name)], NOW)
    both = [request, target] if deletion_first else [target, request]
    async with trio.open_nursery() as nursery:
        for event in both:
            nursery.start_soon(world.offer, event, Origin.SYNC)
    assert target.id not in await world.held()
    assert target.id not in await world.served()
    assert world.purgatory.get(target.id) is None


async def test_b_5_a_deletion_locks_what_its_target_waits_under(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target comes first, and is held while the deletion waits for it."""
    await world.announce(OWNER)
    target = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    working = world.store.apply
    locked: set[str] = set()

    async def spy(change: Change) -> Applied:
        if change.hold:
            await wait_all_tasks_blocked()
        if change.tombstones:
            for name in (target.id, "repo", "other"):
                if await is_held(world.locks, name):
                    locked.add(name)
        return await working(change)

    monkeypatch.setattr(world.store, "apply", spy)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.offer, target)
        while not await is_held(world.locks, target.id):
            await trio.lowlevel.checkpoint()
        nursery.start_soon(world.offer, events.deletion(OWNER, ids=[target.id], created_at=NOW))
    assert locked == {target.id, "repo"}
    assert target.id not in await world.held()


async def test_b_5_a_ends_one_of_many_of_that_kind(world: World) -> None:
    announcement = await world.announce(OWNER)
    await world.core.ledger.apply(Change(save=[announcement]))
    named = [("a", str(OWNER.coordinate("repo")))]
    papers = [OWNER.sign(30023, "", [*named, ("d", str(n))], NOW + n) for n in range(5)]
    for paper in papers:
        assert (await world.offer(paper)).outcome is Outcome.SERVED
    await world.offer(OWNER.sign(5, "", [("a", f"30023:{OWNER.pubkey}:0")], NOW + 9))
    assert {paper.id for paper in papers[1:]} <= await world.served()
    assert papers[0].id not in await world.served()


async def test_a_held_announcement_costs_one_read_and_one_transaction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note that its repository is made goes with its row in the journal."""
    asked: list[str] = []
    for name in ("query", "look", "apply", "served_ids"):
        working = getattr(world.store, name)

        def counting(*args: Any, working: Any = working, name: str = name) -> Any:
            asked.append(name)
            return working(*args)

        monkeypatch.setattr(world.store, name, counting)
    await world.announce(OWNER)
    assert asked == ["look", "query", "apply"], "a look of the store in memory is a query"
    made = world.ledger.made(OWNER.pubkey, "repo")
    assert made is not None
    assert world.repositories.was_made(world.path(OWNER), made.token)
    assert world.path(OWNER).exists()
