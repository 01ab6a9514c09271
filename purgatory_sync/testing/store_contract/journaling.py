"""What a store remembers of held events, servers, deletions and repositories."""

from __future__ import annotations

import attrs

from ...errors import NaughtyScope
from ...nostr.filters import Filter
from ...records import ListEntry, NaughtyRecord, Placeholder, ServerNote, Tombstone, Upload
from ...store.protocol import (
    Applied,
    Change,
    DomainRow,
    Expired,
    HeldRow,
    Journal,
    Made,
    OverdueRow,
    Store,
)
from ..events import announcement, note, pull_request, state
from .rows import ALICE, BOB, OID, held, served


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
        Made(BOB.pubkey, "x", "2" * 32, filled=True, ending=True),
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


async def test_b_8_12_an_overdue_event_is_kept_until_it_is_served_deleted_or_forgotten(
    store: Store,
) -> None:
    rows = [OverdueRow(state(ALICE, name, {}), 9.0 - n) for n, name in enumerate("abc")]
    await store.apply(Change(overdue=rows))
    journal = await store.load()
    assert journal.overdue == tuple(rows[::-1])
    assert journal.held == ()
    assert await served(store) == []
    await store.apply(Change(save=[rows[0].event]))
    assert (await store.load()).overdue == (rows[2], rows[1])
    await store.apply(Change(delete=[rows[1].event.id]))
    assert (await store.load()).overdue == (rows[2],)
    await store.apply(Change(overdue=[attrs.evolve(rows[2], since=1.0)]))
    assert [row.since for row in (await store.load()).overdue] == [1.0]
    await store.apply(Change(forget_overdue=[rows[2].event.id]))
    assert (await store.load()).overdue == ()


async def test_b_12_5_uploads_are_kept_until_their_events_come(store: Store) -> None:
    one = Upload(ALICE.pubkey, "ü 🦀", "1" * 64, OID, 9.5, 1 << 40, "2001:db8::/64")
    two = Upload(BOB.pubkey, "x", "1" * 64, OID, 2.0)
    await store.apply(Change(uploads=[one, two]))
    assert (await store.load()).uploads == (two, one)
    later = attrs.evolve(two, at=11.0)
    await store.apply(Change(uploads=[later], forget_uploads=[one]))
    assert (await store.load()).uploads == (later,)


async def test_b_8_3_what_was_learnt_of_servers_is_noted_and_forgotten(store: Store) -> None:
    one, two = ServerNote("habit https a 443", "slow", 9.5), ServerNote("ü", "{}", 2.0)
    await store.apply(Change(server_notes=[one, two]))
    assert (await store.load()).server_notes == (two, one)
    newer = attrs.evolve(one, text="in order", at=1.0)
    await store.apply(Change(server_notes=[newer], forget_server_notes=["ü", "not there"]))
    assert (await store.load()).server_notes == (newer,)


async def test_b_5_5_what_the_operator_listed_is_kept_and_forgotten(store: Store) -> None:
    spam, other = (
        ListEntry("repository-blacklist", "ü 🦀", "spam", 9.5),
        ListEntry("event-blacklist", ALICE.npub, "", 2.0),
    )
    await store.apply(Change(list_entries=[spam, other]))
    assert (await store.load()).list_entries == (other, spam)
    newer = attrs.evolve(spam, reason="", at=1.0)
    gone = [(other.name, other.entry), (spam.name, "not there"), (other.name, spam.entry)]
    await store.apply(Change(list_entries=[newer], forget_list_entries=gone))
    assert (await store.load()).list_entries == (newer,)


async def test_b_13_1_the_key_of_the_service_is_remembered(store: Store) -> None:
    assert (await store.load()).service_key is None
    await store.apply(Change(service_key=ALICE.pubkey))
    await store.apply(Change(git_folder="3" * 32))
    journal = await store.load()
    assert (journal.service_key, journal.git_folder) == (ALICE.pubkey, "3" * 32)
    await store.apply(Change(service_key=BOB.pubkey))
    assert (await store.load()).service_key == BOB.pubkey


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


async def test_b_2_2_tombstones_that_end_are_forgotten_and_no_others(store: Store) -> None:
    address, other = f"30617:{ALICE.pubkey}:x", f"30617:{BOB.pubkey}:x"
    for_ever, week = Tombstone("e" * 64, BOB.pubkey, 3), Tombstone(address, ALICE.pubkey, 10, 70.5)
    await store.apply(Change(tombstones=[for_ever, week, Tombstone(other, BOB.pubkey, 5)]))
    assert (await store.look([], 1, [address]))[1] == [week]
    await store.apply(Change(tombstones=[Tombstone(address, ALICE.pubkey, 9, 80.5)]))
    assert (await store.look([], 1, [address]))[1] == [Tombstone(address, ALICE.pubkey, 10, 80.5)]
    await store.apply(Change(tombstones=[Tombstone(other, BOB.pubkey, 7, 20.0)]))
    await store.apply(Change(tombstones_ended=80.0))
    assert len((await store.look([], 1, [address, other, "e" * 64]))[1]) == 3
    await store.apply(Change(tombstones_ended=80.5))
    assert (await store.look([], 1, [address, other, "e" * 64]))[1] == sorted(
        [Tombstone(other, BOB.pubkey, 7), for_ever], key=lambda each: each.target
    )


async def test_b_5_4_the_last_use_of_a_tombstone_is_kept(store: Store) -> None:
    target = "e" * 64
    for used, expected in ((None, None), (5.0, 5.0), (None, 5.0), (3.0, 5.0), (9.5, 9.5)):
        await store.apply(Change(tombstones=[Tombstone(target, ALICE.pubkey, 1, used=used)]))
        (found,) = (await store.look([], 1, [target]))[1]
        assert found.used == expected


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
