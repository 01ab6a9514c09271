"""What every back end must do, told once and asked of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.errors import NaughtyScope, StoreError
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.records import NaughtyRecord, Placeholder, Tombstone
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import (
    Applied,
    Change,
    DomainRow,
    Expired,
    HeldRow,
    Journal,
    Made,
    Store,
)
from purgatory_sync.testing.events import announcement, note, pull_request, state

from .support import ALICE, BOB, OID, held


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else await open_store(tmp_path)
    yield made
    await made.aclose()


async def served(store: Store) -> list[str]:
    return [event.id for event in await store.query([Filter()], 5000)]


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.load() == Journal()
    assert await store.query([Filter()], 10) == []
    assert await store.count([Filter()]) == 0


async def test_b_9_held_events_are_journaled_and_not_served(store: Store) -> None:
    rows = (
        HeldRow(announcement(ALICE, "x"), "announcement", "user", 1.25),
        HeldRow(announcement(BOB, "ü 🦀"), "announcement", "sync", 2.0, soft_expired_at=9.5),
        HeldRow(pull_request(BOB, [ALICE.coordinate("x")], OID), "pr", "sync", 3.0),
    )
    assert await store.apply(Change(hold=rows[::-1])) == Applied()
    assert (await store.load()).held == rows
    assert await served(store) == []
    assert await store.count([Filter()]) == 0
    assert await store.served_ids([row.event.id for row in rows]) == frozenset()


async def test_b_2_7_who_made_a_repository_is_noted_and_forgotten(store: Store) -> None:
    empty, other = (
        Made(ALICE.pubkey, "ü 🦀", "1" * 32),
        Made(BOB.pubkey, "x", "2" * 32, filled=True),
    )
    await store.apply(Change(made=[other, empty], git_folder="3" * 32))
    journal = await store.load()
    assert journal.made == tuple(sorted((empty, other), key=lambda made: made.owner))
    assert journal.git_folder == "3" * 32
    filled = attrs.evolve(empty, filled=True)
    await store.apply(Change(made=[filled], forget_made=[other]))
    journal = await store.load()
    assert journal.made == (filled,)
    assert journal.git_folder == "3" * 32


async def test_holding_an_id_again_replaces_its_row(store: Store) -> None:
    event = announcement(ALICE, "x")
    await store.apply(Change(hold=[HeldRow(event, "announcement", "user", 1.0)]))
    again = HeldRow(event, "announcement", "sync", 1.0, soft_expired_at=5.0)
    await store.apply(Change(hold=[again]))
    assert (await store.load()).held == (again,)


async def test_b_1_6_held_states_never_replace_one_another(store: Store) -> None:
    older = state(ALICE, "x", {"refs/heads/main": OID}, created_at=1)
    newer = state(ALICE, "x", {"refs/heads/main": OID}, created_at=2)
    await store.apply(Change(hold=[held(older), held(newer)]))
    assert {row.event.id for row in (await store.load()).held} == {older.id, newer.id}


async def test_saving_and_unholding_are_one_change(store: Store) -> None:
    event = state(ALICE, "x", {"refs/heads/main": OID})
    await store.apply(Change(hold=[held(event)]))
    assert await store.apply(Change(save=[event], unhold=[event.id])) == Applied((event.id,))
    assert (await store.load()).held == ()
    assert await store.query([Filter()], 10) == [event]


async def test_what_is_served_and_held_is_unheld_at_start(store: Store) -> None:
    both, waiting = state(ALICE, "x", {}), state(ALICE, "y", {})
    await store.apply(Change(hold=[held(both), held(waiting)]))
    await store.apply(Change(save=[both]))
    assert (await store.load()).held == (held(waiting),)
    await store.apply(Change(delete=[both.id]))
    assert (await store.load()).held == (held(waiting),)


async def test_what_leaves_goes_before_what_comes(store: Store) -> None:
    row = held(state(ALICE, "x", {}))
    await store.apply(Change(hold=[row], unhold=[row.event.id]))
    await store.apply(Change(expire=[Expired("e" * 64, 1.0)], forget_expired=["e" * 64]))
    journal = await store.load()
    assert journal.held == (row,)
    assert journal.expired == (Expired("e" * 64, 1.0),)


async def test_b_9_expired_ids_are_remembered_and_forgotten(store: Store) -> None:
    first, second = Expired("a" * 64, 2.5), Expired("b" * 64, 1.5)
    await store.apply(Change(expire=[first, second]))
    assert (await store.load()).expired == (second, first)
    await store.apply(Change(forget_expired=[second.event_id, "c" * 64]))
    await store.apply(Change(expire=[Expired("a" * 64, 7.0)]))
    assert (await store.load()).expired == (Expired("a" * 64, 7.0),)


async def test_b_9_placeholders_are_per_repository_and_id(store: Store) -> None:
    one = Placeholder(ALICE.pubkey, "x", "a" * 64, OID, 1.0)
    other = Placeholder(BOB.pubkey, "x", "a" * 64, OID, 2.0)
    await store.apply(Change(placeholders=[one, other]))
    assert (await store.load()).placeholders == (one, other)
    await store.apply(Change(forget_placeholders=[one]))
    assert (await store.load()).placeholders == (other,)


async def test_b_9_naughty_sources_are_remembered_and_forgotten(store: Store) -> None:
    host = NaughtyRecord(NaughtyScope.HOST, "bad.example", 5.0, "name unknown")
    url = NaughtyRecord(NaughtyScope.URL, "https://git.example/x", 6.0, "404")
    await store.apply(Change(naughty=[url, host]))
    longer = NaughtyRecord(NaughtyScope.HOST, "bad.example", 50.0, "name unknown")
    await store.apply(Change(naughty=[longer]))
    assert (await store.load()).naughty == (longer, url)
    await store.apply(Change(forget_naughty=[("url", url.key), ("host", "none.example")]))
    assert (await store.load()).naughty == (longer,)


async def test_tombstones_keep_the_latest_time_and_every_author(store: Store) -> None:
    address = f"30617:{ALICE.pubkey}:x"
    await store.apply(Change(tombstones=[Tombstone(address, ALICE.pubkey, 10)]))
    await store.apply(Change(tombstones=[Tombstone(address, ALICE.pubkey, 5)]))
    await store.apply(Change(tombstones=[Tombstone("e" * 64, BOB.pubkey, 3)]))
    assert (await store.look([], 1, [address, "f" * 64]))[1] == [
        Tombstone(address, ALICE.pubkey, 10)
    ]
    assert len((await store.look([], 1, [address, "e" * 64]))[1]) == 2
    assert (await store.look([], 1, []))[1] == []


async def test_a_tombstone_does_not_keep_an_event_out(store: Store) -> None:
    """Policy judges by it; the store only remembers."""
    event = note(ALICE)
    await store.apply(Change(tombstones=[Tombstone(event.id, ALICE.pubkey, 0)]))
    assert (await store.apply(Change(save=[event]))).saved == (event.id,)


async def test_starts_and_rests_are_kept(store: Store) -> None:
    store.note_domains([DomainRow("a.example", (10.0, 12.5)), DomainRow("b.example", (), 70.0)])
    assert (await store.load()).domains == (
        DomainRow("a.example", (10.0, 12.5)),
        DomainRow("b.example", (), 70.0),
    )


async def test_the_newest_row_of_a_domain_wins(store: Store) -> None:
    store.note_domains([DomainRow("a.example", (10.0,), 30.0)])
    await store.apply(Change())
    store.note_domains([DomainRow("a.example", (11.0,), 40.0)])
    store.note_domains([DomainRow("a.example", (12.0,))])
    assert (await store.load()).domains == (DomainRow("a.example", (12.0,)),)
    store.note_domains([DomainRow("a.example")])
    assert (await store.load()).domains == ()


async def test_starts_older_than_a_minute_are_dropped(store: Store) -> None:
    store.note_domains([DomainRow("a.example", (10.0, 40.0)), DomainRow("b.example", (20.0,))])
    await store.apply(Change())
    store.note_domains([DomainRow("c.example", (15.0, 80.0))])
    assert (await store.load()).domains == (
        DomainRow("a.example", (40.0,)),
        DomainRow("c.example", (80.0,)),
    )


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


async def test_newest_first_and_lowest_id_first_on_a_tie(store: Store) -> None:
    events = [note(ALICE, str(i), created_at=100 + i // 2) for i in range(8)]
    await store.apply(Change(save=events))
    expected = sorted(events, key=lambda event: (-event.created_at, event.id))
    assert await store.query([Filter()], 100) == expected
    assert await store.query([Filter(kinds=frozenset({1}))], 3) == expected[:3]
    assert await store.query([Filter(limit=2)], 3) == expected[:2]
    assert await store.query([Filter(limit=0)], 3) == []
    assert await store.find([Filter()], 100) == [event.id for event in expected]
    assert await store.find([Filter(limit=0)], 3) == []


async def test_each_filter_has_its_own_limit(store: Store) -> None:
    ours = [note(ALICE, str(i), created_at=i) for i in range(4)]
    theirs = [note(BOB, str(i), created_at=100 + i) for i in range(4)]
    await store.apply(Change(save=[*ours, *theirs]))
    filters = [
        Filter(authors=frozenset({ALICE.pubkey}), limit=1),
        Filter(authors=frozenset({BOB.pubkey})),
        Filter(until=3, limit=2),
    ]
    found = await store.query(filters, 3)
    assert found == [theirs[3], theirs[2], theirs[1], ours[3], ours[2]]
    assert await store.find(filters, 3) == [event.id for event in found]


async def test_an_inventory_has_what_is_found_oldest_first(store: Store) -> None:
    events = [note(ALICE, str(i), created_at=100 + i // 2) for i in range(8)]
    await store.apply(Change(save=events))
    inventory = await store.inventory([Filter(), Filter(limit=1)], 6)
    kept = sorted(await store.query([Filter()], 6), key=lambda event: (event.created_at, event.id))
    assert [inventory.id_at(n).hex() for n in range(6)] == [event.id for event in kept]
    assert [inventory.bound_at(n).created_at for n in range(6)] == [e.created_at for e in kept]
    assert (len(inventory), len(await store.inventory([], 6))) == (6, 0)


async def test_no_filters_find_nothing(store: Store) -> None:
    await store.apply(Change(save=[note(ALICE)]))
    assert await store.query([], 10) == []
    assert await store.count([]) == 0


async def test_kinds_share_one_limit(store: Store) -> None:
    events = [note(ALICE, str(i), kind=1621 + i % 3, created_at=i) for i in range(9)]
    await store.apply(Change(save=events))
    found = await store.query([Filter(kinds=frozenset({1621, 1622, 1623}), limit=4)], 10)
    assert found == events[:-5:-1]


async def test_only_the_first_value_of_a_tag_counts(store: Store) -> None:
    event = note(ALICE, tags=[("e", "one", "two"), ("t",), ("E", "big"), ("long", "x")])
    await store.apply(Change(save=[event]))

    async def finds(letter: str, value: str) -> bool:
        return await store.query([Filter(tags={letter: frozenset({value})})], 10) != []

    assert await finds("e", "one")
    assert await finds("E", "big")
    assert not await finds("e", "two")
    assert not await finds("e", "big")
    assert not await finds("t", "")


async def test_all_tag_conditions_must_hold(store: Store) -> None:
    both = note(ALICE, "1", tags=[("a", "1"), ("b", "2"), ("a", "3")])
    one = note(ALICE, "2", tags=[("a", "1")])
    await store.apply(Change(save=[both, one]))
    wanted = Filter(tags={"a": frozenset({"1", "9"}), "b": frozenset({"2"})})
    assert await store.query([wanted], 10) == [both]
    assert await store.count([wanted, Filter(tags={"a": frozenset({"1"})})]) == 2


@pytest.mark.parametrize("value", ["a\x00b", "\x01", "\x00", "a\x01\x02b", "%_'\"\\", "ü🦀", ""])
async def test_any_text_can_be_asked_for(store: Store, value: str) -> None:
    event = note(ALICE, value, tags=[("t", value)])
    await store.apply(Change(save=[event, note(ALICE, tags=[("t", "a")])]))
    for values in ({value}, {value, "more"}):
        assert await store.query([Filter(tags={"t": frozenset(values)})], 10) == [event]
    target = f"30617:{ALICE.pubkey}:{value}"
    await store.apply(Change(tombstones=[Tombstone(target, ALICE.pubkey, 1)]))
    assert (await store.look([], 1, [target]))[1] == [Tombstone(target, ALICE.pubkey, 1)]


async def test_what_is_not_unicode_finds_nothing(store: Store) -> None:
    await store.apply(Change(save=[note(ALICE, tags=[("t", "x")])]))
    lone = "\ud800"
    assert await store.query([Filter(tags={"t": frozenset({lone})})], 10) == []
    assert await store.served_ids([lone]) == frozenset()
    assert (await store.look([], 1, [lone]))[1] == []


async def test_thousands_of_values_in_one_filter(store: Store) -> None:
    event = note(ALICE, tags=[("e", "f" * 64)])
    await store.apply(Change(save=[event]))
    many = frozenset(f"{i:064x}" for i in range(10_000))
    wanted = Filter(
        ids=many | {event.id},
        authors=many | {ALICE.pubkey},
        kinds=frozenset(range(10_000)),
        tags={"e": many | {"f" * 64}},
    )
    assert await store.query([wanted, wanted], 10) == [event]
    assert await store.count([wanted]) == 1
    more = [f"{i:064x}" for i in range(40_000)]
    assert await store.served_ids([*more, event.id]) == {event.id}
    assert (await store.look([], 1, [*many]))[1] == []


async def test_hundreds_of_filters(store: Store) -> None:
    events = [note(ALICE, created_at=i) for i in range(3)]
    await store.apply(Change(save=events))
    filters = [Filter(since=i % 3, until=i % 3) for i in range(600)]
    assert await store.query(filters, 10) == events[::-1]


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
