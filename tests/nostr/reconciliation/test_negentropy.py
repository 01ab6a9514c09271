"""Reconciling sets of ids by negentropy (NIP-77)."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.nostr.reconciliation.inventory import Bound, Inventory, varint
from purgatory_sync.nostr.reconciliation.negentropy import (
    MIN_FRAME_BYTES,
    VERSION,
    Difference,
    InvalidNegentropy,
    advance,
    open_message,
    respond,
)

Events = set[tuple[int, str]]


def event(number: int, created_at: int | None = None) -> tuple[int, str]:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return (1_700_000_000 + number // 3 if created_at is None else created_at), digest


def reconcile(
    ours: Events, theirs: Events, our_bytes: int = 60_000, their_bytes: int = 60_000
) -> tuple[Difference, int, int]:
    """What the initiator learns, in how many rounds, and the longest message."""
    here, there = Inventory(ours), Inventory(theirs)
    learnt, rounds, longest = Difference(), 0, 0
    message: bytes | None = open_message(here)
    while message is not None:
        answer = respond(there, message, their_bytes)
        longest = max(longest, len(message), len(answer))
        message, more = advance(here, answer, our_bytes)
        learnt.have += more.have
        learnt.need += more.need
        rounds += 1
        assert rounds < 1_000
    return learnt, rounds, longest


def ids(events: Events) -> list[str]:
    return sorted(event_id for _, event_id in events)


def assert_reconciled(
    ours: Events, theirs: Events, our_bytes: int = 60_000, their_bytes: int = 60_000
) -> int:
    learnt, rounds, longest = reconcile(ours, theirs, our_bytes, their_bytes)
    # Where a frame was full, both sides come back to what they had settled behind that place.
    assert sorted(set(learnt.have)) == ids(ours - theirs)
    assert sorted(set(learnt.need)) == ids(theirs - ours)
    assert longest <= max(our_bytes, their_bytes)
    return rounds


def test_the_message_of_a_side_without_events() -> None:
    # Version; up to the end of time (0) with no prefix (0): ids (2), none (0).
    assert open_message(Inventory()).hex() == "6100000200"
    assert respond(Inventory(), bytes.fromhex("6100000200"), 60_000).hex() == "6100000200"
    assert advance(Inventory(), bytes.fromhex("6100000200"), 60_000) == (None, Difference())


def test_the_message_of_a_side_with_one_event() -> None:
    one = "ab" * 32
    assert open_message(Inventory([(1, one)])).hex() == "6100000201" + one
    nothing = bytes.fromhex("6100000200")
    assert advance(Inventory([(1, one)]), nothing, 60_000) == (None, Difference(have=[one]))
    answer = respond(Inventory([(1, one)]), nothing, 60_000)
    assert advance(Inventory(), answer, 60_000) == (None, Difference(need=[one]))


def test_varint() -> None:
    numbers = [0, 127, 128, 300, 16_384]
    assert [varint(each).hex() for each in numbers] == ["00", "7f", "8100", "822c", "818000"]


def test_fingerprint_is_a_hash_of_sum_and_count() -> None:
    some = ["ff" * 32, "01" + "00" * 31, "02" + "00" * 31]
    inventory = Inventory(enumerate(some))
    # All ones plus one is zero again, plus two is two; the first byte is the lowest.
    total = b"\x02" + bytes(31) + b"\x03"
    assert inventory.fingerprint(0, 3) == hashlib.sha256(total).digest()[:16]
    assert inventory.fingerprint(1, 1) == hashlib.sha256(bytes(33)).digest()[:16]


def test_inventory_orders_finds_and_parts() -> None:
    low, high = "00" * 32, "00" * 31 + "01"
    inventory = Inventory([(7, high), (5, high), (7, low), (7, low)])
    assert len(inventory) == 3
    assert [inventory.id_at(n).hex() for n in range(3)] == [high, low, high]
    assert inventory.shortest_bound(1) == Bound(7)
    assert inventory.shortest_bound(2) == Bound(7, bytes.fromhex(high))
    bounds = [Bound(5), Bound(6), Bound(7), Bound(7, b"\x00"), inventory.shortest_bound(2)]
    assert [inventory.find(bound, 0) for bound in bounds] == [0, 1, 1, 1, 2]
    assert inventory.find(Bound(2**64 - 1), 0) == 3
    assert inventory.find(Bound(5), 2) == 2
    with pytest.raises(ValueError, match="64 hex digits"):
        Inventory([(1, "ab")])


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 500, 5_000])
def test_equal_sets_take_one_round(count: int) -> None:
    same = {event(n) for n in range(count)}
    assert assert_reconciled(same, same) == 1


def test_one_missing_of_many_takes_few_small_messages() -> None:
    theirs = {event(n) for n in range(5_000)}
    learnt, rounds, longest = reconcile(theirs - {event(4_321)}, theirs)
    assert learnt == Difference(need=[event(4_321)[1]])
    assert rounds <= 3
    assert longest < 1_500


def test_many_of_one_second() -> None:
    theirs = {event(n, created_at=5) for n in range(2_000)}
    assert_reconciled({event(n, created_at=5) for n in range(500, 3_000, 3)}, theirs)


def test_frames_stay_small_and_everything_still_comes_through() -> None:
    theirs = {event(n) for n in range(3_000)}
    assert assert_reconciled(set(), theirs, MIN_FRAME_BYTES, MIN_FRAME_BYTES) > 20
    ours = {event(n) for n in range(1_000, 5_000, 2)}
    assert_reconciled(ours, theirs, MIN_FRAME_BYTES, MIN_FRAME_BYTES)
    assert_reconciled(theirs, set(), MIN_FRAME_BYTES, MIN_FRAME_BYTES)


def test_what_does_not_fit_is_one_fingerprint_from_where_it_began() -> None:
    inventory = Inventory(event(n, created_at=n // 31) for n in range(31 * 8))
    wrong = b"\x01" + bytes(16)
    # Ranges of one second each, 31 ids in each: three times 31 ids fit, a fourth time they do not.
    message = bytes([VERSION]) + b"".join(b"\x02\x00" + wrong for _ in range(8))
    answer = respond(inventory, message, MIN_FRAME_BYTES)
    listed = b"".join(
        b"\x02\x00\x02\x1f" + inventory.ids_between(31 * n, 31 * n + 31) for n in range(3)
    )
    rest = b"\x00\x00\x01" + inventory.fingerprint(31 * 3, 31 * 8)
    assert answer == bytes([VERSION]) + listed + rest


numbers = st.sets(st.integers(0, 400), max_size=300)


@settings(max_examples=40, deadline=None)
@given(numbers, numbers, st.integers(1, 50), st.sampled_from([MIN_FRAME_BYTES, 60_000]))
def test_any_two_sets_reconcile(
    ours: set[int], theirs: set[int], times: int, max_bytes: int
) -> None:
    assert_reconciled(
        {event(n, created_at=n % times) for n in ours},
        {event(n, created_at=n % times) for n in theirs},
        max_bytes,
        max_bytes,
    )


def test_other_versions() -> None:
    assert respond(Inventory(), b"\x62anything", 60_000) == bytes([VERSION])
    for nothing in (b"", b"\x00", b"\x70"):
        with pytest.raises(InvalidNegentropy, match="begins with its version"):
            respond(Inventory(), nothing, 60_000)
    with pytest.raises(InvalidNegentropy, match="another version"):
        advance(Inventory(), b"\x60", 60_000)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("6100", "ends too early"),
        ("61000002", "ends too early"),
        ("6100000201", "ends too early"),
        ("61000002ffffffffffffffff7f", "ends too early"),
        ("610000010102", "ends too early"),
        ("61" + "ff" * 11, "too large"),
        ("610021" + "00" * 33 + "00", "longer than an id"),
        ("61000003", "unknown kind"),
        ("61" + "0501ff00" + "01010000", "out of order"),
    ],
)
def test_nonsense_is_refused(message: str, why: str) -> None:
    inventory = Inventory([event(1)])
    with pytest.raises(InvalidNegentropy, match=why):
        respond(inventory, bytes.fromhex(message), 60_000)
    with pytest.raises(InvalidNegentropy, match=why):
        advance(inventory, bytes.fromhex(message), 60_000)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else(message: bytes) -> None:
    inventory = Inventory([event(n) for n in range(100)])
    with suppress(InvalidNegentropy):
        assert len(respond(inventory, bytes([VERSION]) + message, MIN_FRAME_BYTES)) < 4_097
