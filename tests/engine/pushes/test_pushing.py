"""Pushes with real repositories, packs and releases, without HTTP (B 4.3, 6.5-6.8)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import attrs
import pytest
import trio
from dulwich.objects import Blob
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.engine.pushes.receiving import Read
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.settings import HuntSettings, PushSettings
from purgatory_sync.testing import events

from ...git.local_repos import history, oid_of, tag_of
from ...world import NOW, World, is_held
from .pushing_support import (
    DEV,
    MAIN,
    MAINTAINER,
    NOSTR,
    OWNER,
    STRANGER,
    TARGET,
    awaiting,
    pack,
    pack_of,
    pieces,
    pusher_of,
    refusal,
    state,
)


async def test_b_6_8_release_has_finished_when_the_push_is_answered(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    steps = history(2)
    event = state({MAIN: steps[1].oid})
    assert (await world.offer(event)).accepted
    await pusher.receive(TARGET, {MAIN: steps[1].oid}, pack(steps))
    assert world.refs(OWNER) == {MAIN: steps[1].oid}
    assert world.head(OWNER) == MAIN
    assert await world.served() == {announcement.id, event.id}
    assert await world.held() == set()
    assert set(world.told) == {announcement.id, event.id}


async def test_b_6_5_forced_deleted_and_tagged_in_one_push(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    first, second = history(2, "first"), history(1, "second")
    await world.offer(state({MAIN: first[1].oid, DEV: first[0].oid}, NOW - 5))
    await pusher.receive(TARGET, {MAIN: first[1].oid, DEV: first[0].oid}, pack(first))
    tag = tag_of(second[0].commit)
    wanted = {MAIN: second[0].oid, "refs/tags/v1": oid_of(tag)}
    await world.offer(state(wanted))
    await pusher.receive(TARGET, {**wanted, DEV: None}, pack(second, tag))
    assert world.refs(OWNER) == wanted


async def test_b_2_6_a_push_promotes_only_whose_state_is_released(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    other = await world.announce(STRANGER)
    (step,) = history(1)
    await world.offer(state({MAIN: step.oid}))
    await pusher.receive(TARGET, {MAIN: step.oid}, pack([step]))
    assert await world.held() == {other.id}


async def test_b_3_2_a_push_of_what_is_there_already_is_accepted_and_its_pack_ignored(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    world.give(OWNER, [step])
    await world.offer(state({MAIN: step.oid}))
    assert world.refs(OWNER) == {MAIN: step.oid}
    await pusher.receive(TARGET, {MAIN: step.oid, DEV: None}, pieces(b"no", b"pack"))
    assert world.refs(OWNER) == {MAIN: step.oid}


@pytest.mark.parametrize("empty", [pieces(), pieces(pack_of([]))])
async def test_b_6_5_an_empty_or_absent_pack_when_all_objects_are_here(
    world: World, pusher: Pusher, autojump_clock: MockClock, empty: Read
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    await world.offer(state({MAIN: steps[1].oid}))
    world.give(OWNER, steps)
    await pusher.receive(TARGET, {MAIN: steps[1].oid}, empty)
    assert world.refs(OWNER) == {MAIN: steps[1].oid}


async def test_b_2_6_an_empty_push_promotes_nothing(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    await pusher.receive(TARGET, {MAIN: None}, pieces())
    assert await world.held() == {announcement.id}


async def test_b_6_7_refused_early_reads_nothing(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)

    async def never() -> bytes:
        raise AssertionError

    assert "publish the state first" in await refusal(pusher, {MAIN: "1" * 40}, never)


async def test_b_6_7_a_pack_that_lacks_objects_joins_nothing(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    event = state({MAIN: steps[1].oid})
    await world.offer(event)
    said = await refusal(pusher, {MAIN: steps[1].oid}, pack(steps[1:]))
    assert "holes" in said
    assert "unshallow" in said
    assert present_oids(world.path(OWNER), [steps[1].oid]) == frozenset()
    assert event.id in await world.held()
    # Objects that are sound but not those that the state names:
    said = await refusal(pusher, {MAIN: steps[1].oid}, pack(steps[:1]))
    assert "objects that the state names did not come" in said
    assert world.refs(OWNER) == {}
    assert not list(world.repositories.tmp.iterdir())


@pytest.mark.parametrize("data", [b"PACK", b"x" * 100, pack_of([])[:-1], pack_of([]) + b"x"])
async def test_b_6_7_what_is_no_pack(
    world: World, pusher: Pusher, autojump_clock: MockClock, data: bytes
) -> None:
    await world.announce(OWNER)
    await world.offer(state({MAIN: "1" * 40}))
    assert "the pack is refused" in await refusal(pusher, {MAIN: "1" * 40}, pieces(data))


async def test_b_6_7_the_size_and_time_of_a_push_are_limited(
    world: World, autojump_clock: MockClock
) -> None:
    pusher = pusher_of(world, PushSettings(max_pack_bytes=100, max_secs=60))
    await world.announce(OWNER)
    await world.offer(state({MAIN: "1" * 40}))
    changes: dict[str, str | None] = {MAIN: "1" * 40}
    data = pack_of([o for step in history(3) for o in step.objects])
    assert "more than 100 bytes" in await refusal(pusher, changes, pieces(data[:99], data[99:]))
    nothing: dict[str, str | None] = {MAIN: None}
    assert "more than 100 bytes" in await refusal(pusher, nothing, pieces(b"x" * 101))
    start = trio.current_time()

    async def drips() -> bytes:
        await trio.sleep(7)
        return b"x"

    assert "longer than 60 seconds" in await refusal(pusher, changes, drips)
    assert trio.current_time() - start == 60


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (HuntSettings(max_objects=2), "a pack of 3 objects; 2 are allowed"),
        (HuntSettings(max_object_bytes=20), "an object of"),
        (HuntSettings(max_inflated_bytes=20, max_inflated_ratio=0), "more than 20 bytes"),
    ],
)
async def test_b_8_4_a_pusher_reads_which_limit_and_of_no_setting_of_hunts(
    world: World, autojump_clock: MockClock, limits: HuntSettings, words: str
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    await world.offer(state({MAIN: step.oid}))
    said = await refusal(pusher_of(world, limits=limits), {MAIN: step.oid}, pack([step]))
    assert words in said
    assert "NGIT_" not in said


async def test_b_8_4_a_full_disk_refuses_a_push_without_blaming_it(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    event = state({MAIN: step.oid})
    await world.offer(event)
    full = Ingest(HuntSettings(min_free_bytes=1 << 60), world.repositories.tmp)
    said = await refusal(attrs.evolve(pusher, ingest=full), {MAIN: step.oid}, pack([step]))
    assert said == "the server could not do it now, try again later"
    assert event.id in await world.held()
    assert world.refs(OWNER) == {}
    await pusher.receive(TARGET, {MAIN: step.oid}, pack([step]))
    assert event.id in await world.served()


async def test_b_6_7_a_push_that_drips_holds_no_lock(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, _ = await awaiting(world)
    data = pack_of(step.objects)
    drip = pieces(*(data[i : i + 1] for i in range(len(data))))
    start = trio.current_time()

    async def slowly() -> bytes:
        await trio.sleep(3590 / (len(data) + 1))
        return await drip()

    async def push() -> None:
        await pusher.receive(TARGET, {MAIN: step.oid}, slowly)
        assert trio.current_time() - start == pytest.approx(3590)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push)
        for minute in range(59):
            await trio.sleep(60)
            assert not await is_held(world.locks, "repo")
            with trio.fail_after(1):
                await world.announce(MAINTAINER, created_at=NOW - 100 + minute)
                async with world.releaser.hold("repo"):
                    pass
    assert world.refs(OWNER) == {MAIN: step.oid}


async def test_b_6_7_another_push_of_the_same_overtakes_one_that_drips(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, event = await awaiting(world)
    more = Blob.from_string(b"what only the slow one brings")
    whole = pack([step], more)

    async def slowly() -> bytes:
        await trio.sleep(1700)
        return await whole()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, slowly)
        await trio.sleep(1)
        with trio.fail_after(1):
            await pusher.receive(TARGET, {MAIN: step.oid}, pack([step]))
        assert event.id in await world.served()
    assert world.refs(OWNER) == {MAIN: step.oid}
    assert not present_oids(world.path(OWNER), [oid_of(more)])  # nothing is left that needs it


async def test_b_8_5_a_hunt_is_told_of_objects_that_a_push_brings(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    event = state({MAIN: steps[1].oid, DEV: steps[0].oid})
    await world.offer(event)
    told: list[None] = []
    watch = world.purgatory.watch("repo", lambda: told.append(None))
    watch.open()
    await pusher.receive(TARGET, {NOSTR: steps[0].oid}, pack(steps[:1]))
    assert event.id in await world.held()
    assert told


async def test_b_6_7_judged_again_under_the_lock(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, event = await awaiting(world)
    first = pack([step])

    async def meanwhile_deleted() -> bytes:
        await world.offer(events.deletion(OWNER, ids=[event.id], created_at=NOW))
        return await first()

    assert "no state event" in await refusal(pusher, {MAIN: step.oid}, meanwhile_deleted)
    assert world.refs(OWNER) == {}
    assert present_oids(world.path(OWNER), [step.oid]) == frozenset()


async def test_b_6_7_refs_move_under_the_identifiers_lock(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, _ = await awaiting(world)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, pack([step]))
        await trio.sleep(60)
        assert world.refs(OWNER) == {}
        assert present_oids(world.path(OWNER), [step.oid]) == frozenset()
    assert world.refs(OWNER) == {MAIN: step.oid}


async def test_two_pushes_of_the_same_at_once(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, _ = await awaiting(world)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, pack([step]))
    assert world.refs(OWNER) == {MAIN: step.oid}


async def test_b_7_4_a_state_that_cannot_be_released_refuses_its_push(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    blob = Blob.from_string(b"no commit")
    await world.offer(state({MAIN: oid_of(blob)}))
    said = await refusal(pusher, {MAIN: oid_of(blob)}, pack([], blob))
    assert "could not be released: refs/heads/main can name a commit, not the blob" in said
    assert world.refs(OWNER) == {}


async def test_b_6_5_a_repository_that_lags_is_brought_up_by_a_push(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    world.give(OWNER, steps)
    await world.offer(state({MAIN: steps[1].oid}))
    world.repositories.remove(OWNER.pubkey, "repo")
    world.repositories.create(OWNER.pubkey, "repo")
    await pusher.receive(TARGET, {MAIN: steps[1].oid}, pack(steps))
    assert world.refs(OWNER) == {MAIN: steps[1].oid}


async def test_b_6_5_what_a_repository_that_lags_still_lacks_refuses_its_push(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    world.give(OWNER, [step])
    await world.offer(state({MAIN: step.oid}))
    world.repositories.remove(OWNER.pubkey, "repo")
    world.repositories.create(OWNER.pubkey, "repo")
    assert "push them all" in await refusal(pusher, {MAIN: step.oid}, pieces())
    assert world.refs(OWNER) == {}


async def test_b_3_4_a_push_that_brings_what_a_newer_state_waits_for_is_accepted(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    steps = history(2)
    older, newer = state({MAIN: steps[0].oid}, NOW - 5), state({MAIN: steps[1].oid})
    for event in (older, newer):
        await world.offer(event)
    await pusher.receive(TARGET, {MAIN: steps[0].oid}, pack(steps))
    assert newer.id in await world.served()
    assert world.refs(OWNER) == {MAIN: steps[1].oid}


async def test_cancelled_while_the_pack_comes_leaves_nothing(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, _ = await awaiting(world)

    async def hangs() -> bytes:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, hangs)
        await wait_all_tasks_blocked()
        assert TARGET in pusher.in_flight
        nursery.cancel_scope.cancel()
    assert TARGET not in pusher.in_flight
    assert not await is_held(world.locks, "repo")
    assert files_in(world.repositories.tmp) == []


def files_in(folder: Path) -> Iterable[Path]:
    return list(folder.iterdir()) if folder.exists() else []


async def test_b_6_4_what_is_hosted(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    assert await pusher.refs(TARGET) is None
    await world.announce(OWNER)
    assert await pusher.refs(TARGET) == {}
    assert await pusher.refs(RepositoryId(STRANGER.pubkey, "repo")) is None
    (step,) = history(1)
    world.give(OWNER, [step])
    await world.offer(state({MAIN: step.oid}))
    elsewhere = ["https://elsewhere.example.com/x.git"]
    await world.offer(events.announcement(OWNER, "repo", clone=elsewhere, created_at=NOW))
    assert await pusher.refs(TARGET) is None
    assert "no announcement" in await refusal(pusher, {MAIN: None}, pieces())


async def test_b_6_4_a_key_that_is_served_as_a_member_only_is_not_hosted(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER, maintainers=[MAINTAINER])
    beside = await world.announce(MAINTAINER, listed=False)
    assert beside.id in await world.served()
    assert await pusher.refs(RepositoryId(MAINTAINER.pubkey, "repo")) is None
