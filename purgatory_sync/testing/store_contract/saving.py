"""What a store does with events that it is told to serve or to delete."""

from __future__ import annotations

import pytest
import trio

from ...errors import StoreError
from ...nostr.filters import Filter
from ...store.protocol import Applied, Change, Store
from ..events import announcement, note, state
from .rows import ALICE, BOB, served


async def test_saving_again_is_nothing_new(store: Store) -> None:
    event = note(ALICE)
    assert await store.apply(Change(save=[event])) == Applied((event.id,))
    assert await store.apply(Change(save=[event])) == Applied()
    assert await served(store) == [event.id]


async def test_regular_events_stand_side_by_side(store: Store) -> None:
    events = [note(ALICE, str(i), created_at=i, kind=1621) for i in range(3)]
    assert len((await store.apply(Change(save=events))).saved) == 3


@pytest.mark.parametrize("kind", [0, 3, 10317])
async def test_b_1_6_a_newer_replaceable_event_replaces(store: Store, kind: int) -> None:
    old, new = note(ALICE, "old", kind=kind, created_at=1), note(ALICE, kind=kind, created_at=2)
    of_bob = note(BOB, kind=kind, created_at=1)
    await store.apply(Change(save=[old, of_bob]))
    assert await store.apply(Change(save=[new])) == Applied((new.id,), (old.id,))
    assert await served(store) == [new.id, of_bob.id]
    assert await store.apply(Change(save=[old])) == Applied()
    assert await served(store) == [new.id, of_bob.id]


async def test_b_1_6_addressable_events_are_replaced_by_identifier(store: Store) -> None:
    x1, x2 = announcement(ALICE, "x", created_at=1), announcement(ALICE, "x", created_at=2)
    y1, state1 = announcement(ALICE, "y", created_at=1), state(ALICE, "x", {}, created_at=1)
    without_d = note(ALICE, kind=30617, created_at=1)
    with_empty_d = note(ALICE, kind=30617, tags=[("d", "")], created_at=2)
    await store.apply(Change(save=[x1, y1, state1, without_d]))
    applied = await store.apply(Change(save=[x2, with_empty_d]))
    assert applied == Applied((x2.id, with_empty_d.id), (x1.id, without_d.id))
    assert set(await served(store)) == {x2.id, with_empty_d.id, y1.id, state1.id}


async def test_b_1_6_on_a_tie_the_lowest_id_wins(store: Store) -> None:
    low, middle, high = sorted(
        (announcement(ALICE, "x", clone=[f"https://{i}.example/x"]) for i in range(3)),
        key=lambda event: event.id,
    )
    await store.apply(Change(save=[middle]))
    assert await store.apply(Change(save=[high])) == Applied()
    assert await store.apply(Change(save=[low])) == Applied((low.id,), (middle.id,))
    assert await served(store) == [low.id]


async def test_versions_within_one_change(store: Store) -> None:
    one, two, three = (announcement(ALICE, "x", created_at=i) for i in (1, 2, 3))
    await store.apply(Change(save=[one]))
    assert await store.apply(Change(save=[two, three])) == Applied((three.id,), (one.id,))
    assert await served(store) == [three.id]


async def test_ephemeral_events_are_not_kept(store: Store) -> None:
    event = note(ALICE, kind=20_001)
    assert await store.apply(Change(save=[event])) == Applied()
    assert await served(store) == []


async def test_deleted_events_are_no_longer_found(store: Store) -> None:
    gone, stays = note(ALICE, "1", tags=[("t", "x")]), note(ALICE, "2", tags=[("t", "x")])
    await store.apply(Change(save=[gone, stays]))
    await store.apply(Change(delete=[gone.id, "f" * 64]))
    assert await store.query([Filter(tags={"t": frozenset({"x"})})], 10) == [stays]
    assert await store.served_ids([gone.id, stays.id]) == {stays.id}


async def test_after_a_deletion_an_older_version_can_be_served(store: Store) -> None:
    old, new = announcement(ALICE, "x", created_at=1), announcement(ALICE, "x", created_at=2)
    await store.apply(Change(save=[new]))
    assert await store.apply(Change(delete=[new.id], save=[old])) == Applied((old.id,))
    assert await served(store) == [old.id]


async def test_concurrent_changes_are_all_done(store: Store) -> None:
    events = [note(ALICE, str(i), created_at=i) for i in range(50)]
    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(store.apply, Change(save=[event]))
    assert await store.query([Filter()], 100) == events[::-1]


async def test_a_cancelled_change_is_not_done(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.apply(Change(save=[note(ALICE)]))
    assert scope.cancelled_caught
    assert await served(store) == []


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.aclose()
    await store.aclose()
    for use in (
        lambda: store.apply(Change()),
        store.load,
        lambda: store.query([Filter()], 1),
        lambda: store.count([Filter()]),
        lambda: store.served_ids([]),
        lambda: store.look([], 1, []),
    ):
        with pytest.raises(StoreError, match="the store is closed"):
            await use()
