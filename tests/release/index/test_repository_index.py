from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.errors import StoreError
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.records import Tombstone
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...world import NOW, World

OWNER = Author.from_seed(1)


async def test_a_look_up_that_fails_or_is_cancelled_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def fails(filters: Sequence[Filter], limit: int) -> list[Event]:
        await trio.sleep(1)
        raise StoreError("gone")

    monkeypatch.setattr(world.store, "query", fails)
    with pytest.raises(StoreError):
        await world.index.data("one")
    with trio.move_on_after(0.5):
        await world.index.data("two")
    assert world.index._reading == {}


@pytest.mark.parametrize("change", ["save", "delete"])
async def test_what_changes_during_a_look_up_is_not_overlooked(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, change: str
) -> None:
    announcement = events.announcement(OWNER, "repo", created_at=NOW)
    if change == "delete":
        await world.ledger.apply(Change(save=[announcement]))
    working = world.store.query
    let_go = trio.Event()

    async def slow(filters: Sequence[Filter], limit: int) -> list[Event]:
        found = await working(filters, limit)
        await let_go.wait()
        return found

    async with trio.open_nursery() as nursery:
        with monkeypatch.context() as patch:
            patch.setattr(world.store, "query", slow)
            nursery.start_soon(world.index.data, "repo")
            await wait_all_tasks_blocked()
        if change == "save":
            await world.ledger.apply(Change(save=[announcement]))
        else:
            await world.ledger.apply(Change(delete=[announcement.id]))
        let_go.set()
    known = (await world.index.data("repo")).known
    assert list(known) == ([OWNER.pubkey] if change == "save" else [])


async def test_a_look_reads_the_identifier_in_the_same_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = events.announcement(OWNER, "repo", created_at=NOW)
    await world.ledger.apply(Change(save=[served]))
    found, _ = await world.index.look("repo", [Filter(ids=frozenset({"0" * 64}))], ())
    assert found == [served]

    assert await world.index.look("repo", [Filter(ids=frozenset({"0" * 64}))], ()) == ([], [])

    async def refuse(filters: Sequence[Filter], limit: int) -> list[Event]:
        raise AssertionError("read twice")

    monkeypatch.setattr(world.store, "query", refuse)
    assert list((await world.index.data("repo")).known) == [OWNER.pubkey]


async def test_what_changes_during_a_look_is_not_remembered_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    working, let_go = world.store.look, trio.Event()

    async def slow(
        filters: Sequence[Filter], limit: int, targets: Sequence[str]
    ) -> tuple[list[Event], list[Tombstone]]:
        found = await working(filters, limit, targets)
        await let_go.wait()
        return found

    monkeypatch.setattr(world.store, "look", slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.index.look, "repo", (), ())
        await wait_all_tasks_blocked()
        announcement = events.announcement(OWNER, "repo", created_at=NOW)
        await world.ledger.apply(Change(save=[announcement]))
        let_go.set()
    assert list((await world.index.data("repo")).known) == [OWNER.pubkey]


async def test_many_identifiers_are_read_ahead_in_one_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"r{number}" for number in range(5)]
    for name in names[:4]:
        await world.ledger.apply(Change(save=[events.announcement(OWNER, name, created_at=NOW)]))
    asked: list[Sequence[Filter]] = []
    working = world.store.query

    async def counting(filters: Sequence[Filter], limit: int) -> list[Event]:
        asked.append(filters)
        return await working(filters, limit)

    monkeypatch.setattr(world.store, "query", counting)
    await world.index.read_ahead(names)
    for name in names:
        known = (await world.index.data(name)).known
        assert list(known) == ([OWNER.pubkey] if name != "r4" else [])
    await world.index.read_ahead(names)
    assert len(asked) == 1
    assert world.index._reading == {}


async def test_what_changes_while_it_is_read_ahead_is_not_overlooked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = world.store.query

    async def slow(filters: Sequence[Filter], limit: int) -> list[Event]:
        found = await working(filters, limit)
        await world.ledger.apply(Change(save=[events.announcement(OWNER, "r", created_at=NOW)]))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "query", slow)
        await world.index.read_ahead(["r"])
    assert list((await world.index.data("r")).known) == [OWNER.pubkey]
