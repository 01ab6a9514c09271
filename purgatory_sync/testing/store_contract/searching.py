"""How a store answers filters."""

from __future__ import annotations

import pytest

from ...nostr.event import decode_event
from ...nostr.filters import Filter
from ...records import Tombstone
from ...store.protocol import Change, HeldRow, OverdueRow, Store
from ..events import note
from .rows import ALICE, BOB


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


async def test_all_that_lies_there_is_given_by_id(store: Store) -> None:
    served, waiting = [note(ALICE, str(n)) for n in range(3)], note(ALICE, "held")
    overdue = OverdueRow(note(ALICE, "overdue"), 1.0)
    held_again = OverdueRow(waiting, 1.0)  # given once
    held = [HeldRow(waiting, "pr", "user", 1.0)]
    await store.apply(Change(save=served, hold=held, overdue=[overdue, held_again]))
    ids = sorted(event.id for event in (*served, waiting, overdue.event))
    first = await store.stored("", 3)
    assert [event_id for event_id, _ in first] == ids[:3]
    rest = await store.stored(first[-1][0], 3)
    assert [event_id for event_id, _ in rest] == ids[3:]
    assert [decode_event(raw).id for _, raw in (*first, *rest)] == ids
    assert await store.check() == ()


async def test_b_5_3_what_expires_is_found_in_the_order_of_its_time(store: Store) -> None:
    never = note(ALICE, kind=1111)
    late, soon, first = (
        note(ALICE, str(at), kind=1111, tags=[("expiration", str(at))]) for at in (3000, 200, 99)
    )
    ruling = note(ALICE, kind=30617, tags=[("d", "x"), ("expiration", "1")])
    assert await store.expiring(1e9, 10) == ([], None)
    await store.apply(Change(save=[never, late, soon, first, ruling]))
    assert await store.expiring(98.9, 10) == ([], 99.0)
    assert await store.expiring(99.0, 10) == ([first.id], 200.0)
    assert await store.expiring(2999, 10) == ([first.id, soon.id], 3000.0)
    assert (await store.expiring(2999, 1))[0] == [first.id]
    assert await store.expiring(3000, 10) == ([first.id, soon.id, late.id], None)
    await store.apply(Change(delete=[first.id, late.id]))
    assert await store.expiring(1e9, 10) == ([soon.id], None)
