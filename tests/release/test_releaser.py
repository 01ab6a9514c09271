from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import RepositoryError, StoreError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.purgatory.entries import HeldState, Origin
from purgatory_sync.release.commit import TELL_SECS, Core, ReleaseReport, tell
from purgatory_sync.release.state_release import release_state
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import add_pack, history, tag_of
from ..world import NOW, World, is_held

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"


async def test_b_7_2_state_is_released_when_its_objects_are_here(world: World) -> None:
    announcement = await world.announce(OWNER)
    steps = history(3)
    tag = tag_of(steps[0].commit)
    state = events.state(
        OWNER,
        "repo",
        {"refs/heads/dev": steps[1].oid, MAIN: steps[2].oid, "refs/tags/v1": tag.id.decode()},
        head="refs/heads/dev",
        created_at=NOW - 50,
    )
    answer = await world.offer(state)
    assert (answer.outcome, answer.message) == (
        Outcome.HELD,
        "purgatory: won't be served until git data arrives",
    )
    assert await world.held() == {announcement.id, state.id}
    assert await world.served() == set()

    add_pack(world.path(OWNER), [tag, *(o for s in steps for o in s.objects)])
    result = await world.releaser.process_newly_available_git_data(world.path(OWNER), frozenset())

    assert result.states_released == (state.id,)
    assert result.announcements_released == (announcement.id,)
    assert result.repos_synced == 1
    assert world.refs(OWNER) == {
        "refs/heads/dev": steps[1].oid,
        MAIN: steps[2].oid,
        "refs/tags/v1": tag.id.decode(),
    }
    assert world.head(OWNER) == "refs/heads/dev"
    assert await world.served() == {announcement.id, state.id}
    assert await world.held() == set()
    assert world.told == [announcement.id, state.id]
    assert not world.purgatory.has_pending_events("repo")


async def test_b_7_1_is_idempotent(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    await world.offer(events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50))
    told = list(world.told)
    result = await world.releaser.process("repo")
    assert (result.states_released, result.repos_synced, world.told) == ((), 0, told)


async def test_b_3_2_state_whose_objects_are_here_is_released_with_its_ok(world: World) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps)
    first = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    assert (await world.offer(first)).outcome is Outcome.SERVED
    back = events.state(OWNER, "repo", {"refs/heads/old": steps[0].oid}, created_at=NOW - 40)
    assert (await world.offer(back)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {"refs/heads/old": steps[0].oid}
    assert world.head(OWNER) == "refs/heads/old"


async def test_b_3_6_objects_are_gathered_from_all_repositories_concerned(world: World) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    await world.announce(MAINTAINER, maintainers=[OWNER])
    ours, theirs = history(1, "ours"), history(1, "theirs")
    world.give(OWNER, ours)
    world.give(MAINTAINER, theirs)
    refs = {MAIN: ours[0].oid, "refs/heads/dev": theirs[0].oid}
    state = events.state(OWNER, "repo", refs, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == refs
    assert world.refs(MAINTAINER) == refs


async def test_b_3_6_a_strangers_repository_does_not_count(world: World) -> None:
    await world.announce(OWNER)
    await world.announce(STRANGER)
    steps = history(1)
    world.give(STRANGER, steps)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.HELD


async def test_b_3_4_outdated_state_is_saved_and_moves_no_ref(world: World) -> None:
    await world.announce_group(OWNER, MAINTAINER)
    steps = history(2)
    world.give(OWNER, steps)
    newer = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    older = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    await world.offer(newer)
    assert (await world.offer(older)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == {MAIN: steps[1].oid}
    assert older.id in await world.served()


async def test_b_1_6_held_state_is_dropped_when_its_author_has_a_newer_served_one(
    world: World,
) -> None:
    await world.announce(OWNER)
    steps, later = history(1), history(1, "later")
    older = events.state(OWNER, "repo", {MAIN: later[0].oid}, created_at=NOW - 60)
    newer = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    await world.offer(older)
    await world.offer(newer)
    world.give(OWNER, steps)
    result = await world.releaser.process("repo")
    assert result.states_released == (newer.id,)
    await world.releaser.process("repo")
    assert older.id not in await world.held()
    assert older.id not in await world.served()
    assert world.purgatory.get(older.id) is None


async def test_b_1_6_what_its_author_replaced_goes_with_the_release(world: World) -> None:
    await world.announce_group(OWNER, MAINTAINER)
    steps = history(2)
    world.give(OWNER, steps[:1])
    await world.offer(events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 70))
    older = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 60)
    others = events.state(MAINTAINER, "repo", {MAIN: "1" * 40}, created_at=NOW - 65)
    newer = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    newest = events.state(OWNER, "repo", {MAIN: "2" * 40}, created_at=NOW - 40)
    for each in (older, others, newer, newest):
        assert (await world.offer(each)).outcome is Outcome.HELD
    world.give(OWNER, steps)
    result = await world.releaser.process("repo")
    assert result.states_released == (newer.id,)
    assert await world.held() == {others.id, newest.id}
    assert world.purgatory.get(older.id) is None
    assert older.id not in await world.served()


async def test_b_7_1_oldest_first(world: World) -> None:
    await world.announce_group(OWNER, MAINTAINER)
    steps = history(2)
    newer = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    older = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    await world.offer(newer)
    await world.offer(older)
    world.give(OWNER, steps)
    result = await world.releaser.process("repo")
    assert result.states_released == (older.id, newer.id)
    assert world.refs(OWNER) == {MAIN: steps[1].oid}


async def test_b_7_2_unauthorised_at_release_stays_held(world: World) -> None:
    await world.announce_group(OWNER, MAINTAINER)
    steps = history(1)
    state = events.state(MAINTAINER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    await world.offer(state)
    await world.announce(OWNER, created_at=NOW - 40)
    world.give(OWNER, steps)
    result = await world.releaser.process("repo")
    assert result.states_released == ()
    assert state.id in await world.held()
    assert world.refs(OWNER) == {}


async def test_b_7_4_one_failure_is_recorded_and_blocks_no_other(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    blob = steps[0].blob.id.decode()
    wrong = events.state(OWNER, "repo", {MAIN: blob}, created_at=NOW - 60)
    pr = events.pull_request(
        STRANGER, [OWNER.coordinate("repo")], steps[0].oid, created_at=NOW - 50
    )
    await world.offer(wrong)
    await world.offer(pr)
    world.give(OWNER, steps)
    result = await world.releaser.process("repo")
    assert (result.states_released, result.prs_released) == ((), (pr.id,))
    assert list(result.errors) == [wrong.id]
    held = world.purgatory.get(wrong.id)
    assert held is not None
    assert held.error == result.errors[wrong.id]
    assert wrong.id in await world.held()


async def test_b_3_5_empty_state_deletes_refs_but_promotes_nothing(world: World) -> None:
    await world.announce(OWNER)
    empty = events.state(OWNER, "repo", {}, created_at=NOW - 30)
    assert (await world.offer(empty)).outcome is Outcome.HELD
    assert await world.served() == set()
    steps = history(1)
    world.give(OWNER, steps)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    assert empty.id in await world.served()
    assert world.refs(OWNER) == {}


async def test_b_2_6_co_maintainer_who_only_announces_is_filled_and_promoted(
    world: World,
) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    steps = history(2)
    world.give(OWNER, steps)
    await world.offer(events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50))
    announcement = await world.announce(MAINTAINER, maintainers=[OWNER])
    assert announcement.id in await world.served()
    assert world.refs(MAINTAINER) == {MAIN: steps[1].oid}
    assert world.told[-1] == announcement.id


async def test_b_3_5_an_announcement_that_brings_a_state_without_refs(world: World) -> None:
    for author in (OWNER, MAINTAINER):
        named = [OWNER, STRANGER] if author is MAINTAINER else []
        await world.announce(author, maintainers=named)
        steps = history(1, author.npub)
        world.give(author, steps)
        await world.offer(events.state(author, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50))
    await world.offer(events.state(MAINTAINER, "repo", {}, created_at=NOW - 40))
    assert list(world.refs(OWNER)) == [MAIN]
    await world.announce(OWNER, maintainers=[MAINTAINER], created_at=NOW - 30)
    assert world.refs(OWNER) == {}
    only_announces = await world.announce(STRANGER, maintainers=[MAINTAINER])
    assert only_announces.id in await world.held()


async def test_b_7_3_pull_request_is_released_in_every_repository_concerned(world: World) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    await world.announce(MAINTAINER, maintainers=[OWNER])
    await world.announce(STRANGER)
    steps = history(1)
    pr = events.pull_request(
        STRANGER, [OWNER.coordinate("repo")], steps[0].oid, created_at=NOW - 50
    )
    assert (await world.offer(pr)).outcome is Outcome.HELD
    world.give(MAINTAINER, steps)
    result = await world.releaser.process("repo")
    assert result.prs_released == (pr.id,)
    expected = {f"refs/nostr/{pr.id}": steps[0].oid}
    assert world.refs(OWNER) == world.refs(MAINTAINER) == expected
    assert world.refs(STRANGER) == {}
    assert len(result.announcements_released) == 2


async def test_b_4_2_only_a_commit_releases_a_pull_request(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    pr = events.pull_request(
        STRANGER, [OWNER.coordinate("repo")], steps[0].tree.id.decode(), created_at=NOW - 50
    )
    answer = await world.offer(pr)
    assert (answer.outcome, answer.message) == (
        Outcome.REFUSED,
        f"invalid: {steps[0].tree.id.decode()} is a tree, not a commit",
    )
    assert world.refs(OWNER) == {}


async def test_a_failed_transaction_leaves_the_event_held_and_heals(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    steps = history(1)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50)
    await world.offer(state)
    world.give(OWNER, steps)

    async def fails(change: Change) -> Applied:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "apply", fails)
        result = await world.releaser.process("repo")
    assert result.errors == {state.id: "disk full"}
    assert world.told == []
    assert world.purgatory.get(state.id) is not None
    assert (await world.releaser.process("repo")).states_released == (state.id,)


async def test_b_3_6_data_of_another_program_counts_only_with_all_its_history(
    world: World,
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.repositories.distrust(world.path(OWNER))
    world.give(OWNER, steps[1:])
    state = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.HELD
    assert (await world.releaser.process("repo")).states_released == ()
    world.give(OWNER, steps[:1])
    assert (await world.releaser.process("repo")).states_released == (state.id,)


async def test_b_7_4_a_crash_is_recorded_and_blocks_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    older = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    newer = events.state(OWNER, "repo", {MAIN: steps[1].oid}, created_at=NOW - 50)
    await world.offer(older)
    await world.offer(newer)
    world.give(OWNER, steps)

    async def crashes(core: Core, entry: HeldState, report: ReleaseReport) -> None:
        if entry.event_id == older.id:
            raise ZeroDivisionError
        await release_state(core, entry, report)

    with monkeypatch.context() as patch:
        patch.setattr("purgatory_sync.release.releaser.release_state", crashes)
        result = await world.releaser.process("repo")
    assert result.states_released == (newer.id,)
    assert result.errors == {older.id: "internal error: ZeroDivisionError"}


async def test_b_7_4_the_error_goes_when_it_is_no_longer_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 60)
    await world.offer(state)
    held = world.purgatory.get(state.id)
    assert held is not None

    async def fails(core: Core, entry: HeldState, report: ReleaseReport) -> None:
        raise RepositoryError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("purgatory_sync.release.releaser.release_state", fails)
        await world.releaser.process("repo")
    assert held.error == "the disk is full"
    await world.releaser.process("repo")
    assert held.error is None


async def test_b_2_8_a_damaged_repository_keeps_no_other_from_being_aligned(world: World) -> None:
    owners = sorted((OWNER, MAINTAINER), key=lambda author: author.pubkey)
    for owner in owners:
        await world.announce(owner)
        steps = history(1, owner.pubkey)
        world.give(owner, steps)
        await world.offer(events.state(owner, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60))
    first, second = owners
    update_refs(world.path(second), {MAIN: None})
    update_refs(world.path(second), {"refs/heads/wrong": history(1, second.pubkey)[0].oid})
    (world.path(first) / "config").write_bytes(b"[extensions]\n\tobjectformat = sha256\n")
    await world.releaser.process("repo", bring_up=True)
    assert set(world.refs(second)) == {MAIN}


async def test_b_6_7_what_comes_while_a_lock_is_awaited_is_locked_too(
    world: World, autojump_clock: MockClock
) -> None:
    coordinates = [OWNER.coordinate("repo"), OWNER.coordinate("other")]
    event = events.pull_request(STRANGER, coordinates, "1" * 40, created_at=NOW)

    async def waits() -> None:
        async with world.releaser.hold("repo"):
            assert await is_held(world.locks, "repo")
            assert await is_held(world.locks, "other")

    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(waits)
        await wait_all_tasks_blocked()
        world.purgatory.add_pr(PullRequest.parse(event), Origin.USER, NOW)
    assert not await is_held(world.locks, "repo")
    assert not await is_held(world.locks, "other")


async def test_b_7_2_a_subscriber_that_takes_for_ever_holds_no_release_up(
    world: World, autojump_clock: MockClock
) -> None:
    async def takes_for_ever(event: Event) -> None:
        await trio.sleep_forever()

    start = trio.current_time()
    with trio.fail_after(2 * TELL_SECS):
        await tell(takes_for_ever, events.note(OWNER))
    assert trio.current_time() - start == TELL_SECS


async def test_b_2_8_owners_whom_one_state_rules_are_aligned_by_one_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the state needs is looked for once, however many repositories it rules (B 3.7)."""
    members = [Author.from_seed(20 + n) for n in range(6)]
    await world.announce(OWNER, maintainers=members)
    for member in members:
        await world.announce(member, maintainers=[OWNER])
    steps = history(2)
    world.give(OWNER, steps)
    await world.offer(events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 50))
    everybody = [OWNER, *members]
    assert all(world.refs(each) == {MAIN: steps[0].oid} for each in everybody)
    for each in everybody:
        update_refs(world.path(each), {MAIN: steps[1].oid} if each is OWNER else {MAIN: None})
    looks: list[object] = []
    here = world.repositories.here

    def look(asked: Mapping[str, tuple[Sequence[Path], Collection[str]]]) -> object:
        looks.append(asked)
        return here(asked)

    monkeypatch.setattr(world.repositories, "here", look)
    await world.releaser.process("repo", bring_up=True)
    assert all(world.refs(each) == {MAIN: steps[0].oid} for each in everybody)
    assert len(looks) == 1


async def test_b_2_8_one_that_cannot_be_aligned_keeps_no_other_from_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [Author.from_seed(20 + n) for n in range(3)]
    await world.announce(OWNER, maintainers=members)
    for member in members:
        await world.announce(member, maintainers=[OWNER])
    (step,) = history(1)
    world.give(OWNER, [step])
    await world.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 50))
    for each in members:
        update_refs(world.path(each), {MAIN: None})
    broken = world.path(members[1])
    gather = world.repositories.gather

    def refuse(sources: object, target: object, oids: object) -> object:
        if target == broken:
            raise RepositoryError("the disk refuses")
        return gather(sources, target, oids)  # type: ignore[arg-type]

    monkeypatch.setattr(world.repositories, "gather", refuse)
    await world.releaser.process("repo", bring_up=True)
    assert [world.refs(each) for each in members] == [{MAIN: step.oid}, {}, {MAIN: step.oid}]
