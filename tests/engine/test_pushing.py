"""Pushes with real repositories, packs and releases, without HTTP (B 4.3, 6.5-6.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import attrs
import pytest
import trio
from dulwich.object_format import SHA1
from dulwich.objects import Blob, ShaFile
from dulwich.pack import write_pack_objects
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.engine.in_hand import PushesInHand, Target
from purgatory_sync.engine.pushing import Pusher, Read
from purgatory_sync.engine.sweeping import Sweeper
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.ingest import Ingest
from purgatory_sync.git.repository import is_repository, present_oids
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import HeldAnnouncement, HeldState
from purgatory_sync.settings import HuntSettings, PushSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history, oid_of, tag_of
from ..world import NOW, World
from .test_sweeping import sweeper

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
TARGET = Target(OWNER.pubkey, "repo")
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
ID = "5" * 64
NOSTR = f"refs/nostr/{ID}"


def pusher_of(world: World, settings: PushSettings | None = None) -> Pusher:
    settings = settings or PushSettings()
    limits = HuntSettings(min_free_bytes=0, max_pack_bytes=settings.max_pack_bytes)
    return Pusher(
        world.parts,
        world.releaser,
        Ingest(limits, world.repositories.tmp),
        settings,
        world.admission.clock,
        PushesInHand(),
    )


@pytest.fixture
def pusher(world: World) -> Pusher:
    return pusher_of(world)


def pack_of(objects: Sequence[ShaFile]) -> bytes:
    with BytesIO() as file:
        write_pack_objects(file, [(item, None) for item in objects], SHA1)
        return file.getvalue()


def pieces(*data: bytes) -> Read:
    left = list(data)

    async def read() -> bytes:
        await trio.lowlevel.checkpoint()
        return left.pop(0) if left else b""

    return read


def pack(steps: Sequence[Step], *more: ShaFile) -> Read:
    return pieces(pack_of([*(o for step in steps for o in step.objects), *more]))


def state(refs: dict[str, str], at: int = NOW, author: Author = OWNER) -> Event:
    return events.state(author, "repo", refs, created_at=at)


async def refusal(pusher: Pusher, changes: dict[str, str | None], read: Read) -> str:
    with pytest.raises(PushRefused) as refused:
        await pusher.receive(TARGET, changes, read)
    return str(refused.value)


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
    assert "more than 100 bytes" in await refusal(pusher, changes, pieces(b"x" * 99, b"xx"))
    start = trio.current_time()

    async def drips() -> bytes:
        await trio.sleep(7)
        return b"x"

    assert "longer than 60 seconds" in await refusal(pusher, changes, drips)
    assert trio.current_time() - start == 60


async def test_b_6_7_a_push_that_drips_holds_no_lock(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    await world.offer(state({MAIN: step.oid}))
    data = pack_of(step.objects)
    drip = pieces(*(data[i : i + 1] for i in range(len(data))))

    async def slowly() -> bytes:
        await trio.sleep(10)
        return await drip()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, slowly)
        await trio.sleep(35)
        assert list(world.locks.in_use()) == []
        with trio.fail_after(1):
            await world.announce(MAINTAINER)
            async with world.releaser.hold("repo"):
                pass
    assert world.refs(OWNER) == {MAIN: step.oid}


async def test_b_6_7_judged_again_under_the_lock(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = state({MAIN: step.oid})
    await world.offer(event)
    first = pack([step])

    async def meanwhile_deleted() -> bytes:
        await world.offer(events.deletion(OWNER, ids=[event.id], created_at=NOW))
        return await first()

    assert "no state event" in await refusal(pusher, {MAIN: step.oid}, meanwhile_deleted)
    assert world.refs(OWNER) == {}
    assert present_oids(world.path(OWNER), [step.oid]) == frozenset()


async def test_two_pushes_of_the_same_at_once(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    await world.offer(state({MAIN: step.oid}))
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


async def test_b_4_3_a_placeholder_then_its_event(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    announcement = await world.announce(OWNER)
    (step,) = history(1)
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    name = f"refs/nostr/{event.id}"
    await pusher.receive(TARGET, {name: step.oid}, pack([step]))
    (row,) = (await world.store.load()).placeholders
    assert (row.event_id, row.oid, row.at) == (event.id, step.oid, NOW)
    assert world.refs(OWNER) == {name: step.oid}
    assert await world.held() == {announcement.id}
    assert "cannot be changed" in await refusal(pusher, {name: "1" * 40}, pieces())
    await pusher.receive(TARGET, {name: step.oid}, pieces())
    await world.offer(event)
    assert await world.served() == {announcement.id, event.id}
    assert world.refs(OWNER) == {name: step.oid}


async def test_b_4_2_a_pushed_commit_releases_the_waiting_pull_request(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    await world.offer(event)
    name = f"refs/nostr/{event.id}"
    assert "another commit" in await refusal(pusher, {name: "1" * 40}, pieces())
    await pusher.receive(TARGET, {name: step.oid}, pack([step]))
    assert event.id in await world.served()
    assert world.refs(OWNER) == {name: step.oid}
    assert not (await world.store.load()).placeholders


async def test_b_4_2_a_placeholder_names_a_commit_that_came(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    assert "is a tree" in await refusal(pusher, {NOSTR: oid_of(step.tree)}, pack([step]))
    assert "did not come" in await refusal(pusher, {NOSTR: "1" * 40}, pieces())
    assert world.refs(OWNER) == {}
    assert not (await world.store.load()).placeholders


async def test_b_6_4_what_is_hosted(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    assert await pusher.refs(TARGET) is None
    await world.announce(OWNER)
    assert await pusher.refs(TARGET) == {}
    assert await pusher.refs(Target(STRANGER.pubkey, "repo")) is None
    (step,) = history(1)
    world.give(OWNER, [step])
    await world.offer(state({MAIN: step.oid}))
    elsewhere = ["https://elsewhere.example.com/x.git"]
    await world.offer(events.announcement(OWNER, "repo", clone=elsewhere, created_at=NOW))
    assert await pusher.refs(TARGET) is None
    assert "no announcement" in await refusal(pusher, {MAIN: None}, pieces())


def sweeper_of(world: World, pusher: Pusher) -> Sweeper:
    return attrs.evolve(sweeper(world), in_hand=pusher.in_hand)


async def softly_expired(world: World, pusher: Pusher) -> HeldAnnouncement:
    await world.announce(OWNER)
    await trio.sleep(1801)
    await sweeper_of(world, pusher).sweep()
    (held,) = world.purgatory.announcements()
    assert not is_repository(world.path(OWNER))
    return held


async def test_b_2_7_an_accepted_push_revives_what_expired_softly(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    held = await softly_expired(world, pusher)
    assert await pusher.refs(TARGET) == {}
    assert "publish the state" in await refusal(pusher, {MAIN: "1" * 40}, pieces())
    (step,) = history(1)
    await pusher.receive(TARGET, {NOSTR: step.oid}, pack([step]))
    assert held.accepted_at == NOW + 1801
    (row,) = (await world.store.load()).held
    assert (row.soft_expired_at, row.accepted_at) == (None, NOW + 1801)
    assert world.refs(OWNER) == {NOSTR: step.oid}


async def test_b_2_7_a_push_that_changes_nothing_revives_too(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    held = await softly_expired(world, pusher)
    await pusher.receive(TARGET, {MAIN: None}, pieces())
    assert held.soft_expired_at is None
    assert is_repository(world.path(OWNER))


async def test_b_6_7_nothing_expires_while_its_push_is_in_hand(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = state({MAIN: step.oid})
    await world.offer(event)
    sweeper, whole = sweeper_of(world, pusher), pack([step])

    async def slowly() -> bytes:
        await trio.sleep(1750)
        return await whole()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, slowly)
        await trio.sleep(1801 + 900)
        await sweeper.sweep()
        assert isinstance(world.purgatory.get(event.id), HeldState)
    assert event.id in await world.served()
    assert pusher.in_hand == PushesInHand()


async def test_b_2_7_a_repository_stays_while_a_push_for_it_is_in_hand(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    sweeper, whole = sweeper_of(world, pusher), pack([step])

    async def slowly() -> bytes:
        await trio.sleep(1750)
        return await whole()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {NOSTR: step.oid}, slowly)
        await trio.sleep(1801 + 900)
        await sweeper.sweep()
        assert is_repository(world.path(OWNER))
    assert world.refs(OWNER) == {NOSTR: step.oid}


async def test_b_4_3_a_placeholder_ends_but_not_the_ref_of_a_pull_request(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    name = f"refs/nostr/{event.id}"
    await pusher.receive(TARGET, {name: step.oid, NOSTR: step.oid}, pack([step]))
    await world.offer(event)
    await trio.sleep(1199)
    await sweeper_of(world, pusher).sweep()
    assert set(world.refs(OWNER)) == {name, NOSTR}
    await trio.sleep(1)
    await sweeper_of(world, pusher).sweep()
    assert world.refs(OWNER) == {name: step.oid}
    assert not (await world.store.load()).placeholders
    assert len(world.purgatory.placeholders) == 0


async def test_cancelled_while_the_pack_comes_leaves_nothing(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    await world.offer(state({MAIN: step.oid}))

    async def hangs() -> bytes:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {MAIN: step.oid}, hangs)
        await wait_all_tasks_blocked()
        assert TARGET in pusher.in_hand
        nursery.cancel_scope.cancel()
    assert TARGET not in pusher.in_hand
    assert list(world.locks.in_use()) == []
    assert files_in(world.repositories.tmp) == []


def files_in(folder: Path) -> Iterable[Path]:
    return list(folder.iterdir()) if folder.exists() else []
