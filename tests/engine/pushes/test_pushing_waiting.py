"""Pushes and what waits: placeholders, soft expiry, what is in hand (B 4.3, 2.7, 6.7)."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.pushes.in_flight import PushesInFlight
from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.engine.upkeep.sweep import Sweeper
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.purgatory.entries import HeldAnnouncement, HeldState
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing import events

from ...git.local_repos import history, oid_of
from ...world import NOW, World
from ..upkeep.test_sweep import sweeper
from .pushing_support import (
    MAIN,
    MAINTAINER,
    NOSTR,
    OWNER,
    STRANGER,
    TARGET,
    awaiting,
    pack,
    pieces,
    refusal,
)


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


async def test_b_4_3_a_placeholder_that_is_journaled_has_its_ref_though_the_push_is_cancelled(
    world: World, pusher: Pusher, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    apply = world.store.apply
    with trio.CancelScope() as scope:

        async def cancelled_after(change: Change) -> Applied:
            applied = await apply(change)
            if change.placeholders:
                scope.cancel()
            return applied

        monkeypatch.setattr(world.store, "apply", cancelled_after)
        await pusher.receive(TARGET, {NOSTR: step.oid}, pack([step]))
    assert scope.cancel_called
    assert len((await world.store.load()).placeholders) == 1
    assert len(world.purgatory.placeholders) == 1
    assert world.refs(OWNER) == {NOSTR: step.oid}


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


async def test_b_4_3_placeholders_are_bounded(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    for author in (OWNER, MAINTAINER):
        await world.announce(author)
    bounds = attrs.evolve(world.purgatory.settings, max_placeholders_per_repository=2, max_events=3)
    world.purgatory.settings = bounds
    (step,) = history(1)
    names = [f"refs/nostr/{digit * 64}" for digit in "123456"]

    async def push(*pushed: str, target: RepositoryId = TARGET) -> str:
        try:
            await pusher.receive(target, dict.fromkeys(pushed, step.oid), pack([step]))
        except PushRefused as error:
            return str(error)
        return ""

    full = "too many refs/nostr/<event id> wait for their events here: publish the event first"
    assert await push(*names[:3]) == full
    assert world.refs(OWNER) == {}
    assert await push(names[0]) == await push(names[0], names[1]) == ""
    assert await push(names[2]) == full
    assert await push(names[1]) == ""
    other = RepositoryId(MAINTAINER.pubkey, "repo")
    assert await push(names[0], target=other) == ""
    assert await push(names[3], target=other) == full
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    await world.offer(event)
    assert await push(f"refs/nostr/{event.id}") == ""
    await trio.sleep(1200)
    await sweeper(world).sweep()
    assert len(world.purgatory.placeholders) == 0
    assert await push(names[4]) == ""


async def test_b_4_2_a_placeholder_names_a_commit_that_came(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    assert "is a tree" in await refusal(pusher, {NOSTR: oid_of(step.tree)}, pack([step]))
    assert "did not come" in await refusal(pusher, {NOSTR: "1" * 40}, pieces())
    assert world.refs(OWNER) == {}
    assert not (await world.store.load()).placeholders


def sweeper_of(world: World, pusher: Pusher) -> Sweeper:
    return attrs.evolve(sweeper(world), in_flight=pusher.in_flight)


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


async def test_b_2_7_what_was_deleted_meanwhile_is_not_revived(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    held = await softly_expired(world, pusher)
    said: list[str] = []

    async def pushed() -> None:
        said.append(await refusal(pusher, {NOSTR: "1" * 40}, pieces()))

    deletion = events.deletion(OWNER, ids=[held.event_id], created_at=NOW)
    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        for each in (partial(world.offer, deletion), pushed):
            nursery.start_soon(each)
            await trio.sleep(1)
    assert said
    assert await world.held() == set()
    assert not is_repository(world.path(OWNER))


async def test_b_6_7_nothing_expires_while_its_push_is_in_hand(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    step, event = await awaiting(world)
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
    assert pusher.in_flight == PushesInFlight()


async def test_b_6_7_nor_does_a_pull_request(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    await world.offer(event)
    sweeper, whole = sweeper_of(world, pusher), pack([step])

    async def slowly() -> bytes:
        await trio.sleep(1750)
        return await whole()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pusher.receive, TARGET, {f"refs/nostr/{event.id}": step.oid}, slowly)
        await trio.sleep(1801 + 900)
        await sweeper.sweep()
        assert world.purgatory.get(event.id) is not None
    assert event.id in await world.served()


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


async def test_b_4_2_a_ref_that_replaced_a_wrong_placeholder_stays(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    right, wrong = history(1)[0], history(1, "wrong")[0]
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], right.oid, created_at=NOW)
    name = f"refs/nostr/{event.id}"
    await pusher.receive(TARGET, {name: wrong.oid}, pack([wrong]))
    await world.offer(event)
    assert world.refs(OWNER) == {}
    await pusher.receive(TARGET, {name: right.oid}, pack([right]))
    assert event.id in await world.served()
    await trio.sleep(1200)
    await sweeper_of(world, pusher).sweep()
    assert world.refs(OWNER) == {name: right.oid}
    assert len(world.purgatory.placeholders) == 0


async def test_b_2_7_a_repository_stays_while_a_placeholder_waits_in_it(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW)
    await trio.sleep(1750)
    await pusher.receive(TARGET, {f"refs/nostr/{event.id}": step.oid}, pack([step]))
    await trio.sleep(1100)
    await sweeper_of(world, pusher).sweep()
    await world.offer(event)
    assert event.id in await world.served()
    assert world.refs(OWNER) == {f"refs/nostr/{event.id}": step.oid}


async def test_b_2_7_a_placeholder_without_its_event_keeps_no_repository(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    await trio.sleep(1750)
    await pusher.receive(TARGET, {NOSTR: step.oid}, pack([step]))
    await trio.sleep(1200)
    for _ in range(2):
        await sweeper_of(world, pusher).sweep()
    assert not is_repository(world.path(OWNER))


async def test_b_4_3_a_placeholder_after_a_wrong_one_has_its_own_20_minutes(
    world: World, pusher: Pusher, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    wrong, other = history(1, "wrong")[0], history(1, "other")[0]
    event = events.pull_request(STRANGER, [OWNER.coordinate("repo")], "1" * 40, created_at=NOW)
    name = f"refs/nostr/{event.id}"
    await pusher.receive(TARGET, {name: wrong.oid}, pack([wrong]))
    await world.offer(event)
    await world.offer(STRANGER.sign(5, "", [("e", event.id)], NOW))
    await trio.sleep(600)
    await pusher.receive(TARGET, {name: other.oid}, pack([other]))
    await trio.sleep(1199)
    await sweeper_of(world, pusher).sweep()
    assert world.refs(OWNER) == {name: other.oid}
    await trio.sleep(1)
    await sweeper_of(world, pusher).sweep()
    assert world.refs(OWNER) == {}
