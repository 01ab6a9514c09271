from __future__ import annotations

import tracemalloc
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import BadPack
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.reader import (
    Resolve,
    Unpacked,
    UnpackLimits,
    Unsure,
    object_name,
    unpack,
)
from purgatory_sync.testing.packs import encode_pack

from ..packs import PackBuilder, blob, copying_delta, delta, history, name_of, varint, with_trailer

LIMITS = UnpackLimits(objects=20, object_bytes=10_000, total_bytes=50_000, delta_depth=5)
OLD, NEW = blob(b"old " * 40), blob(b"new " * 40)


def nothing(name: bytes) -> GitObject | None:
    return None


def unpacked(pack: bytes, resolve: Resolve = nothing, **limits: int) -> Unpacked:
    return unpack(pack, attrs.evolve(LIMITS, **limits), resolve)


def test_names_are_those_of_git() -> None:
    assert object_name(3, b"").hex() == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert object_name(2, b"").hex() == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_whole_objects() -> None:
    objects = history(2)
    result = unpacked(encode_pack(objects))
    assert result.objects == {name_of(object): object for object in objects}
    assert [entry.name for entry in result.entries] == [name_of(object) for object in objects]
    assert result.entries[0].offset == 12
    assert result.bases == {}


def test_deltas_by_offset_and_by_name_before_and_after_their_base() -> None:
    third = blob(b"third " * 30)
    pack = PackBuilder()
    pack.ref_delta(name_of(NEW), delta(NEW.data, third.data))
    base = pack.add(OLD)
    pack.ofs_delta(base, delta(OLD.data, NEW.data))
    result = unpacked(pack.build())
    assert set(result.objects.values()) == {OLD, NEW, third}
    assert len(result.entries) == 3


def test_a_base_of_the_repository() -> None:
    pack = PackBuilder()
    pack.ref_delta(name_of(OLD), delta(OLD.data, NEW.data))
    result = unpacked(pack.build(), {name_of(OLD): OLD}.get)
    assert result.bases == {name_of(OLD): OLD}
    assert result.objects == {name_of(NEW): NEW}
    with pytest.raises(BadPack, match="neither"):
        unpacked(pack.build())


def chain(length: int) -> bytes:
    pack = PackBuilder()
    content = b"%030d" % 0
    at = pack.add(blob(content))
    for i in range(length):
        new = b"%030d" % (i + 1)
        at = pack.ofs_delta(at, delta(content, new))
        content = new
    return pack.build()


def bomb() -> bytes:
    pack = PackBuilder()
    base = pack.add(blob(bytes(1 << 16)))
    pack.ofs_delta(base, copying_delta(1 << 16, 1 << 14))
    return pack.build()


@pytest.mark.parametrize(
    ("pack", "limit"),
    [
        (encode_pack([blob(bytes([i])) for i in range(4)]), {"objects": 3}),
        (encode_pack([blob(bytes(101))]), {"object_bytes": 100}),
        (encode_pack([blob(bytes(60)), blob(bytes(41))]), {"total_bytes": 100}),
        (chain(6), {"delta_depth": 5}),
        (bomb(), {"object_bytes": 1 << 29, "total_bytes": 1 << 29}),
        (bomb(), {"object_bytes": 1 << 20}),
    ],
    ids=["objects", "object", "total", "depth", "delta result", "delta result in all"],
)
def test_beyond_a_limit_another_judge_decides(pack: bytes, limit: dict[str, Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Unsure):
            unpacked(pack, **limit)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_at_the_limits_all_is_well() -> None:
    assert len(unpacked(chain(5)).objects) == 6
    assert len(unpacked(encode_pack([blob(bytes(100))]), total_bytes=100).objects) == 1
    pack = PackBuilder()
    pack.ref_delta(name_of(OLD), delta(OLD.data, NEW.data))
    resolve = {name_of(OLD): OLD}.get
    assert len(unpacked(pack.build(), resolve, total_bytes=320).objects) == 1
    with pytest.raises(Unsure):
        unpacked(pack.build(), resolve, total_bytes=319)


@pytest.mark.parametrize("declared", [5, 7])
def test_lengths_that_do_not_hold(declared: int) -> None:
    pack = PackBuilder()
    pack.raw(3, declared, b"", b"123456")
    with pytest.raises(BadPack, match="than the pack declares"):
        unpacked(pack.build())


@pytest.mark.parametrize("kind", [0, 5])
def test_unknown_types(kind: int) -> None:
    pack = PackBuilder()
    pack.raw(kind, 1, b"", b"1")
    with pytest.raises(BadPack, match="unknown type"):
        unpacked(pack.build())


def test_sizes_beyond_all_limits() -> None:
    with pytest.raises(BadPack, match="beyond all limits"):
        unpacked(with_trailer(b"PACK\0\0\0\2\0\0\0\1" + b"\xbf" + b"\xff" * 10 + b"\x01" * 30))
    pack = PackBuilder()
    pack.ofs_delta(pack.add(OLD), varint(160) + b"\xff" * 11)
    with pytest.raises(BadPack, match="beyond all limits"):
        unpacked(pack.build())


def test_n4_each_base_is_looked_up_once_however_many_are_nowhere() -> None:
    """A small pack of deltas, half of whose bases are nowhere, took 20 s of work."""
    here = [blob(b"here %d" % number) for number in range(5)]
    known, asked = {name_of(each): each for each in here}, []
    pack = PackBuilder()
    for number in range(5):
        pack.ref_delta(bytes([number]) * 20, delta(b"gone", b"gone %d" % number))
    for each in here:
        pack.ref_delta(name_of(each), delta(each.data, each.data + b" too"))

    def resolve(name: bytes) -> GitObject | None:
        asked.append(name)
        return known.get(name)

    with pytest.raises(BadPack, match="neither in the pack nor in the repository"):
        unpacked(pack.build(), resolve)
    assert sorted(asked) == sorted({*known, *(bytes([number]) * 20 for number in range(5))})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(12, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(0, 60),
)
def test_no_damage_raises_anything_else(changes: list[tuple[int, int]], cut: int) -> None:
    source = PackBuilder()
    for object in history(2):
        at = source.add(object)
    source.ofs_delta(at, delta(object.data, object.data.replace(b"m\n", b"n\n")))
    source.ref_delta(name_of(OLD), delta(OLD.data, NEW.data))
    body = bytearray(source.build()[: -20 - cut])
    for position, value in changes:
        body[12 + position % (len(body) - 12)] = value
    try:
        result = unpacked(with_trailer(body), {name_of(OLD): OLD}.get)
    except (BadPack, Unsure):
        return
    assert all(name == object_name(*object) for name, object in result.objects.items())
