from __future__ import annotations

import contextlib
import os
import tracemalloc
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import BadPack, TooLarge
from purgatory_sync.git.pack.scan import PackScanner, Scanned
from purgatory_sync.settings import GIB, MIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import PackBuilder, blob, copying_delta, delta, history, name_of, with_trailer

LIMITS = HuntSettings(max_inflated_bytes=GIB, max_inflated_ratio=0, max_delta_depth=50)


def scan(pack: bytes, piece_bytes: int = MIB, **limits: Any) -> Scanned:
    scanner = PackScanner(attrs.evolve(LIMITS, **limits))
    passed = b""
    for at in range(0, len(pack), piece_bytes):
        passed += scanner.feed(pack[at : at + piece_bytes])
    scanned, trailer = scanner.finish()
    assert passed + trailer == pack
    return scanned


def test_what_is_in_it() -> None:
    pack = PackBuilder()
    at = pack.add(blob(bytes(1000)))
    at = pack.ofs_delta(at, delta(bytes(1000), b"1" * 300))
    pack.ofs_delta(at, delta(b"1" * 300, b"2" * 200))
    pack.ref_delta(name_of(blob(bytes(1000))), delta(bytes(1000), b"3" * 100))
    pack.ref_delta(b"\1" * 20, delta(bytes(5000), b"4" * 100))
    assert scan(pack.build()) == Scanned(
        objects=5,
        total_bytes=1000 + 300 + 200 + 100 + 100,
        largest_bytes=5000,
        named_bases=2,
        named_base_bytes=6000,
        depth=2,
    )


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_objects_of_any_size_at_the_end(size: int) -> None:
    assert scan(encode_pack([blob(b"one"), blob(b"x" * size)])).total_bytes == size + 3


def bomb() -> PackBuilder:
    pack = PackBuilder()
    at = pack.add(blob(bytes(1 << 16)))
    pack.ofs_delta(at, copying_delta(1 << 16, 1 << 13))
    return pack


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("max_objects", 1),
        ("max_object_bytes", (1 << 29) - 1),
        ("max_inflated_bytes", (1 << 29) + (1 << 16) - 1),
    ],
)
def test_each_limit(limit: str, value: int) -> None:
    scan(bomb().build(), **{limit: value + 1})
    with pytest.raises(TooLarge):
        scan(bomb().build(), **{limit: value})


def test_what_is_inflated_is_limited_by_what_has_come() -> None:
    pack = encode_pack([blob(bytes(2 * MIB)), blob(bytes(2 * MIB)), blob(bytes(2 * MIB))])
    ratio = 6 * MIB // len(pack) + 1
    assert scan(pack, max_inflated_bytes=0, max_inflated_ratio=ratio).objects == 3
    scanner = PackScanner(attrs.evolve(LIMITS, max_inflated_bytes=0, max_inflated_ratio=1))
    with pytest.raises(TooLarge, match="to inflate"):
        scanner.feed(pack[:3000])


def test_many_small_objects_end_as_soon_as_they_are_too_much() -> None:
    pack = encode_pack([blob(b"%04d" % number + bytes(4000)) for number in range(200)])
    scanner = PackScanner(attrs.evolve(LIMITS, max_inflated_bytes=100_000))
    with pytest.raises(TooLarge, match="to inflate"):
        scanner.feed(pack[: len(pack) // 2])


def test_the_whole_pack_counts_for_deltas() -> None:
    pack = PackBuilder()
    at = pack.add(blob(bytes(1 << 16)))
    pack.ofs_delta(at, copying_delta(1 << 16, 100))
    pack.add(blob(os.urandom(1 << 16)))
    content = pack.build()
    fits = 102 * (1 << 16) // len(content) + 1
    assert scan(content, 1000, max_inflated_bytes=1 << 16, max_inflated_ratio=fits).objects == 3
    with pytest.raises(TooLarge, match="in all"):
        scan(content, max_inflated_bytes=1 << 16, max_inflated_ratio=fits - 2)


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 19, 20, 21, 100, 5000])
def test_pieces_of_any_size(piece_bytes: int) -> None:
    source = PackBuilder()
    at = source.add(blob(os.urandom(300)))
    at = source.ofs_delta(at, delta(bytes(300), b"1" * 200))
    source.ref_delta(b"\1" * 20, delta(bytes(5000), b"4" * 100))
    source.ofs_delta(at, delta(b"1" * 200, b"1" * 10))
    source.add(blob(b""))
    pack = source.build()
    assert scan(pack, piece_bytes) == scan(pack)


def test_nothing_passes_that_was_not_judged() -> None:
    source = PackBuilder()
    source.add(blob(b"fine"))
    start = len(source.build()) - 20
    source.raw(3, 1 << 40, b"", b"too large, it says")
    pack = source.build()
    scanner = PackScanner(LIMITS)
    assert scanner.feed(pack[: start + 3]) == pack[:start]
    with pytest.raises(TooLarge):
        scanner.feed(pack[start + 3 :])


@pytest.mark.parametrize("cut", range(1, 60))
def test_an_end_that_does_not_come(cut: int) -> None:
    pack = encode_pack(history(1))
    scanner = PackScanner(LIMITS)
    scanner.feed(pack[:-cut])
    with pytest.raises(BadPack):
        scanner.finish()


def test_what_follows_a_pack_is_not_collected() -> None:
    scanner = PackScanner(LIMITS)
    scanner.feed(encode_pack(history(1)))
    with pytest.raises(BadPack, match="after the last object"):
        scanner.feed(b"x")


def test_streams_without_end_that_yield_nothing() -> None:
    source = PackBuilder()
    source.raw(3, 1, b"", b"x")
    pack = source.build()[:-20]
    # Empty stored blocks: bytes for ever, but never another byte of the object.
    body = pack[:13] + b"\x78\x01" + b"\0\0\0\xff\xff" * 40_000
    scanner = PackScanner(LIMITS)
    assert scanner.feed(body) == body
    with pytest.raises(BadPack, match="within an object"):
        scanner.finish()


@pytest.mark.parametrize("content", [b"", b"x"])
def test_a_million_times_the_same(content: bytes) -> None:
    one = encode_pack([blob(content)])[12:-20]
    scanner = PackScanner(LIMITS)
    with pytest.raises(BadPack, match="twice"):
        scanner.feed(b"PACK\0\0\0\2" + (1_000_000).to_bytes(4, "big") + one * 1_002)


def test_bombs_cost_no_memory() -> None:
    pack = PackBuilder()
    pack.raw(3, 32 * MIB, b"", bytes(32 * MIB))
    content = pack.build()
    tracemalloc.start()
    try:
        assert scan(content).total_bytes == 32 * MIB
        with pytest.raises(TooLarge):
            scan(content, max_object_bytes=32 * MIB - 1)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_lies_about_lengths() -> None:
    for declared in (4, 6):
        pack = PackBuilder()
        pack.raw(3, declared, b"", b"12345")
        with pytest.raises(BadPack, match="than the pack declares"):
            scan(pack.build())


def test_bases_that_are_no_objects() -> None:
    pack = PackBuilder()
    at = pack.add(blob(b"x" * 50))
    pack.ofs_delta(at + 1, delta(b"x" * 50, b"y"))
    with pytest.raises(BadPack, match="no object"):
        scan(pack.build())


def test_chains_by_offset() -> None:
    pack = PackBuilder()
    at = pack.add(blob(b"x" * 50))
    for _ in range(4):
        at = pack.ofs_delta(at, delta(b"x" * 50, b"x" * 50))
    assert scan(pack.build(), max_delta_depth=4).depth == 4
    with pytest.raises(TooLarge, match="more than 3 deltas"):
        scan(pack.build(), max_delta_depth=3)


def test_bases_too_large() -> None:
    pack = PackBuilder()
    pack.ref_delta(b"\1" * 20, delta(bytes(5001), b"4"))
    with pytest.raises(TooLarge):
        scan(pack.build(), max_object_bytes=5000)


def test_when_depth_must_be_looked_into() -> None:
    scanned = Scanned(100, 1, 1, named_bases=0, named_base_bytes=0, depth=49)
    assert not scanned.needs_depth_check(50)
    assert attrs.evolve(scanned, named_bases=1).needs_depth_check(50)
    assert not attrs.evolve(scanned, named_bases=4, depth=9).needs_depth_check(50)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_raises_anything_else(changes: list[tuple[int, int]]) -> None:
    source = bomb()
    for object in history(1):
        source.add(object)
    body = bytearray(source.build()[:-20])
    for position, value in changes:
        body[position % len(body)] = value
    with contextlib.suppress(BadPack, TooLarge):
        scan(with_trailer(body))


def test_what_came_last_is_dense_or_not() -> None:
    scanner = PackScanner(HuntSettings())
    dense = [scanner.is_dense]
    pack = encode_pack([blob(os.urandom(100_000)), blob(bytes(10_000_000))])
    for piece in (pack[:90_000], pack[90_000:]):
        scanner.feed(piece)
        dense.append(scanner.is_dense)
    assert dense == [True, False, True]
