from __future__ import annotations

import contextlib
import tracemalloc
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import BadPack, TooLarge
from purgatory_sync.git.pack_index import encode_index
from purgatory_sync.git.pack_reader import UnpackLimits, unpack
from purgatory_sync.git.pack_scan import Scanned, check_depth, scan_pack
from purgatory_sync.git.pack_writer import encode_pack

from .packs import PackBuilder, blob, copying_delta, delta, history, name_of, with_trailer

LIMITS = UnpackLimits(objects=2_000_000, object_bytes=1 << 29, total_bytes=1 << 30, delta_depth=50)
MIB = 1 << 20


def scan(folder: Path, pack: bytes, **limits: Any) -> Scanned:
    (folder / "x.pack").write_bytes(pack)
    return scan_pack(folder / "x.pack", attrs.evolve(LIMITS, **limits))


def test_what_is_in_it(tmp_path: Path) -> None:
    pack = PackBuilder()
    at = pack.add(blob(bytes(1000)))
    at = pack.ofs_delta(at, delta(bytes(1000), b"1" * 300))
    pack.ofs_delta(at, delta(b"1" * 300, b"2" * 200))
    pack.ref_delta(name_of(blob(bytes(1000))), delta(bytes(1000), b"3" * 100))
    pack.ref_delta(b"\1" * 20, delta(bytes(5000), b"4" * 100))
    assert scan(tmp_path, pack.build()) == Scanned(
        objects=5,
        total_bytes=1000 + 300 + 200 + 100 + 100,
        largest_bytes=5000,
        named_bases=2,
        named_base_bytes=6000,
        depth=2,
    )


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_objects_of_any_size_at_the_end(tmp_path: Path, size: int) -> None:
    assert scan(tmp_path, encode_pack([blob(b""), blob(b"x" * size)])).total_bytes == size


def bomb() -> PackBuilder:
    pack = PackBuilder()
    at = pack.add(blob(bytes(1 << 16)))
    pack.ofs_delta(at, copying_delta(1 << 16, 1 << 13))
    return pack


@pytest.mark.parametrize(
    ("limit", "value"),
    [("objects", 1), ("object_bytes", (1 << 29) - 1), ("total_bytes", (1 << 29) + (1 << 16) - 1)],
)
def test_each_limit(tmp_path: Path, limit: str, value: int) -> None:
    scan(tmp_path, bomb().build(), **{limit: value + 1})
    with pytest.raises(TooLarge):
        scan(tmp_path, bomb().build(), **{limit: value})


def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    pack = PackBuilder()
    pack.raw(3, 32 * MIB, b"", bytes(32 * MIB))
    content = pack.build()
    tracemalloc.start()
    try:
        assert scan(tmp_path, content).total_bytes == 32 * MIB
        with pytest.raises(TooLarge):
            scan(tmp_path, content, object_bytes=32 * MIB - 1)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


def test_lies_about_lengths(tmp_path: Path) -> None:
    for declared in (4, 6):
        pack = PackBuilder()
        pack.raw(3, declared, b"", b"12345")
        with pytest.raises(BadPack, match="than the pack declares"):
            scan(tmp_path, pack.build())


def test_bases_that_are_no_objects(tmp_path: Path) -> None:
    pack = PackBuilder()
    at = pack.add(blob(b"x" * 50))
    pack.ofs_delta(at + 1, delta(b"x" * 50, b"y"))
    with pytest.raises(BadPack, match="no object"):
        scan(tmp_path, pack.build())


def test_chains_by_offset(tmp_path: Path) -> None:
    pack = PackBuilder()
    at = pack.add(blob(b"x" * 50))
    for _ in range(4):
        at = pack.ofs_delta(at, delta(b"x" * 50, b"x" * 50))
    assert scan(tmp_path, pack.build(), delta_depth=4).depth == 4
    with pytest.raises(TooLarge, match="more than 3 deltas"):
        scan(tmp_path, pack.build(), delta_depth=3)


def test_bases_too_large(tmp_path: Path) -> None:
    pack = PackBuilder()
    pack.ref_delta(b"\1" * 20, delta(bytes(5001), b"4"))
    with pytest.raises(TooLarge):
        scan(tmp_path, pack.build(), object_bytes=5000)


def test_when_depth_must_be_looked_into() -> None:
    scanned = Scanned(100, 1, 1, named_bases=0, named_base_bytes=0, depth=49)
    assert not scanned.needs_depth_check(50)
    assert attrs.evolve(scanned, named_bases=1).needs_depth_check(50)
    assert not attrs.evolve(scanned, named_bases=4, depth=9).needs_depth_check(50)


def test_chains_that_go_through_names(tmp_path: Path) -> None:
    contents = [b"%030d" % i for i in range(9)]
    pack = PackBuilder()
    at = 0
    for i in range(8, 0, -1):
        instructions = delta(contents[i - 1], contents[i])
        pack.ref_delta(name_of(blob(contents[i - 1])), instructions)
    at = pack.add(blob(contents[0]))
    pack.ofs_delta(at, delta(contents[0], b"side"))
    content = pack.build()
    entries = unpack(content, LIMITS, lambda name: None).entries
    path = tmp_path / "x.pack"
    path.write_bytes(content)
    path.with_suffix(".idx").write_bytes(encode_index(entries, content[-20:]))
    check_depth(path, 8)
    with pytest.raises(TooLarge, match="more than 7"):
        check_depth(path, 7)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_no_damage_raises_anything_else(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    source = bomb()
    for object in history(1):
        source.add(object)
    body = bytearray(source.build()[:-20])
    for position, value in changes:
        body[position % len(body)] = value
    with contextlib.suppress(BadPack, TooLarge):
        scan(tmp_path, with_trailer(body))
