"""Last pushes and hunts are listed, and kept over a restart (B 13.17)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import open_engine
from purgatory_sync.engine.keeping.caretaker import Caretaker
from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.engine.pushes import last_seen
from purgatory_sync.engine.pushes.last_seen import LastSeen, Seen
from purgatory_sync.engine.seen_journal import SeenJournal
from purgatory_sync.errors import ResultClass, StoreError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.records import ServerNote
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from ..git.local_repos import add_pack, history, new_repository
from ..world import NOW, World
from .pushes.pushing_support import TARGET, pack, pusher_of, state
from .test_fetched_once import CountingServer
from .verifying.test_verifier import OWNER, announcement, body, settings_in

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
MAIN = "refs/heads/main"
STEPS = history(2)
HERE = RepositoryId(ALICE.pubkey, "ü 1/x")


def again(seen: LastSeen) -> LastSeen:
    """What a restart makes of what was noted."""
    later = LastSeen()
    notes = [ServerNote(k, v, NOW) for k, v in seen.take_changes().items() if v is not None]
    assert later.restore([*notes, ServerNote("hour 1", "{}", NOW)]) == [
        ServerNote("hour 1", "{}", NOW)
    ]
    return later


def test_b_13_17_what_was_seen_last_is_known_after_a_restart() -> None:
    seen = LastSeen()
    assert seen.of(*HERE_OF) == Seen()
    seen.pushed(HERE, NOW - 5.5)
    seen.hunted(HERE.identifier, NOW - 9, ResultClass.SUCCESS)
    seen.hunted(HERE.identifier, NOW, ResultClass.TIMEOUT)
    for each in (seen, again(seen)):
        assert each.of(*HERE_OF) == Seen(NOW - 5.5, NOW, ResultClass.TIMEOUT)
        assert each.of(BOB.pubkey, HERE.identifier) == Seen(None, NOW, ResultClass.TIMEOUT)


HERE_OF = HERE.owner, HERE.identifier


def test_b_13_17_what_cannot_be_read_is_forgotten() -> None:
    seen = LastSeen()
    keys = {"pushed x/y": "soon", "hunted r": "5.0 great", "hunted s": ""}
    assert seen.restore([ServerNote(k, v, NOW) for k, v in keys.items()]) == []
    assert seen.take_changes() == dict.fromkeys(keys)


def test_b_13_17_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_seen, "MOST", 3)
    seen = LastSeen()
    for n in range(5):
        seen.pushed(RepositoryId(ALICE.pubkey, str(n)), NOW)
        seen.hunted(str(n), NOW, ResultClass.NOTHING)
        changes = seen.take_changes()
    gone = {f"pushed {ALICE.pubkey}/1": None, "hunted 1": None}
    there = {f"pushed {ALICE.pubkey}/4": f"{NOW}", "hunted 4": f"{NOW} nothing"}
    assert changes == {**gone, **there}
    assert seen.take_changes() == {}


def test_b_13_17_what_is_gone_is_forgotten() -> None:
    seen = LastSeen()
    for each in (HERE, RepositoryId(BOB.pubkey, "gone")):
        seen.pushed(each, NOW)
        seen.hunted(each.identifier, NOW, ResultClass.SUCCESS)
    seen.take_changes()
    seen.keep_only({HERE})
    assert seen.take_changes() == {f"pushed {BOB.pubkey}/gone": None, "hunted gone": None}
    assert seen.of(*HERE_OF).pushed_at == NOW


async def test_b_13_17_a_push_is_noted_where_it_changed_something(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(ALICE)
    pusher = pusher_of(world)
    assert (await world.offer(state({MAIN: STEPS[-1].oid}, NOW - 50))).accepted
    caretaker = Caretaker(world.core, world.releaser, seen=pusher.seen)
    (before,) = await caretaker.list()
    await pusher.receive(TARGET, {MAIN: STEPS[-1].oid}, pack(STEPS))
    (listed,) = await caretaker.list()
    assert (before.pushed_at, listed.pushed_at) == (None, pusher.clock.now())
    assert len(pusher.seen.take_changes()) == 1
    await pusher.receive(TARGET, {MAIN: STEPS[-1].oid}, pack(STEPS))
    assert pusher.seen.take_changes() == {}, "nothing changed"


async def test_b_13_17_it_is_written_once_a_minute_and_at_the_end(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.announce(ALICE)
    seen = LastSeen()
    journal = SeenJournal(seen, world.core, clock_at(NOW))
    apply, writes, broken = world.ledger.apply, 0, True

    async def counted(change: Change) -> Applied:
        nonlocal writes
        writes += 1
        if broken:
            raise StoreError("the disk is full")
        return await apply(change)

    monkeypatch.setattr(world.ledger, "apply", counted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for n in range(50):
            seen.hunted("repo", NOW + n, ResultClass.NOTHING)
            await trio.sleep(1)
        assert writes == 0
        await trio.sleep(15)
        assert writes == 1
        broken = False
        await trio.sleep(60)
        assert writes == 2
        seen.pushed(RepositoryId(ALICE.pubkey, "repo"), NOW + 99)
        seen.pushed(RepositoryId(BOB.pubkey, "gone"), NOW + 99)
        nursery.cancel_scope.cancel()
    later = LastSeen()
    assert later.restore((await world.store.load()).server_notes) == []
    assert later.of(ALICE.pubkey, "repo") == Seen(NOW + 99, NOW + 49, ResultClass.NOTHING)
    await journal.forget_what_is_gone()
    await journal.write()
    keys = [note.key for note in (await world.store.load()).server_notes]
    assert sorted(keys) == ["hunted repo", f"pushed {ALICE.pubkey}/repo"]


@pytest.mark.skipif(shutil.which("git") is None, reason="the server is git http-backend")
async def test_b_13_17_both_are_listed_after_a_restart_and_of_a_stopped_node(
    tmp_path: Path,
) -> None:
    there = new_repository(tmp_path / "server")
    add_pack(there, STEPS[0].objects)
    update_refs(there, {MAIN: STEPS[0].oid})
    server = CountingServer(tmp_path / "server", protocol_v2=True)
    settings = settings_in(tmp_path)
    async with open_engine(settings, git_transport=server) as engine:
        announced = announcement("r", "https://elsewhere.example/npub/r.git")
        assert (await engine.offer(announced, "user")).accepted
        first = events.state(OWNER, "r", {MAIN: STEPS[0].oid}, created_at=announced.created_at)
        assert (await engine.offer(first, "user")).accepted
        await engine.explainer.hunt("r")
        with trio.fail_after(60):
            while not await engine.store.served_ids([first.id]):  # noqa: ASYNC110
                await trio.sleep(0.05)
        (hunted,) = await engine.keepers.caretaker.list()
        assert (hunted.hunt_result, hunted.pushed_at) == (ResultClass.SUCCESS, None)
        later = first.created_at + 1
        second = events.state(OWNER, "r", {MAIN: STEPS[1].oid}, created_at=later)
        assert (await engine.offer(second, "user")).accepted
        target = RepositoryId(OWNER.pubkey, "r")
        await engine.push(target, {MAIN: STEPS[1].oid}, body(STEPS[1:]))
        (pushed,) = await engine.keepers.caretaker.list()
        assert pushed.hunted_at is not None
        assert pushed.pushed_at is not None
    async with open_offline(settings, looks=True) as keepers:
        assert await keepers.caretaker.list() == (pushed,)
    async with open_engine(settings, git_transport=server) as engine:
        assert await engine.keepers.caretaker.list() == (pushed,)
