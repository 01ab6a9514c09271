from __future__ import annotations

import os
import zlib
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from purgatory_sync.errors import LocalFailure
from purgatory_sync.git.disk import object_reader
from purgatory_sync.git.disk.object_reader import StoredObjects, TooBigToRead
from purgatory_sync.git.pack.format import BLOB, COMMIT, EntryHeader, GitObject, read_entry_header
from purgatory_sync.git.pack.index import encode_index
from purgatory_sync.git.pack.reader import UnpackLimits, unpack
from purgatory_sync.testing.packs import encode_pack

from ..packs import (
    PackBuilder,
    blob,
    copying_delta,
    delta,
    history,
    make_repository,
    name_of,
    write_loose,
)

LIMITS = UnpackLimits(100, 1 << 20, 1 << 21, 100)


def add_pack(repository: Path, pack: bytes) -> Path:
    index = encode_index(unpack(pack, LIMITS, lambda name: None).entries, pack[-20:])
    path = repository / "objects" / "pack" / f"pack-{pack[-20:].hex()}.pack"
    path.write_bytes(pack)
    path.with_suffix(".idx").write_bytes(index)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r.git")


def test_loose_objects(repository: Path) -> None:
    objects = history(1)
    write_loose(repository, objects)
    with StoredObjects(repository) as stored:
        for object in objects:
            assert stored.kind(name_of(object)) == object.kind
            assert stored.glance(name_of(object))
            assert stored.read(name_of(object), 1000) == object


def test_packed_objects_and_deltas_of_both_sorts(repository: Path) -> None:
    first, second, third = (blob(b"%d\n" % i * 50) for i in range(3))
    pack = PackBuilder()
    pack.ref_delta(name_of(second), delta(second.data, third.data))
    at = pack.add(first)
    pack.ofs_delta(at, delta(first.data, second.data))
    add_pack(repository, pack.build())
    with StoredObjects(repository) as stored:
        for object in (first, second, third):
            assert stored.kind(name_of(object)) == BLOB
            assert stored.read(name_of(object), 1000) == object


def test_incompressible_objects(repository: Path) -> None:
    big = blob(os.urandom(200_000))
    empty = blob(b"")
    add_pack(repository, encode_pack([big, empty]))
    write_loose(repository, [blob(os.urandom(100_000) + b"x")])
    with StoredObjects(repository) as stored:
        assert stored.read(name_of(big), 200_000) == big
        assert stored.read(name_of(empty), 0) == empty


def test_nothing_larger_than_allowed_is_read(repository: Path) -> None:
    base, small, large, loose = blob(b"b" * 300), blob(b"s" * 10), blob(b"l" * 200), blob(b"o" * 99)
    pack = PackBuilder()
    at = pack.add(base)
    pack.ofs_delta(at, delta(base.data, small.data))
    pack.add(large)
    add_pack(repository, pack.build())
    write_loose(repository, [loose])
    with StoredObjects(repository) as stored:
        for object, limit in ((small, 299), (large, 199), (loose, 98)):
            with pytest.raises(TooBigToRead):
                stored.read(name_of(object), limit)
            assert stored.read(name_of(object), limit + 1) == object


def test_deltas_that_make_more_than_allowed_are_not_applied(repository: Path) -> None:
    base = blob(bytes(1 << 16))
    pack = PackBuilder()
    pack.ofs_delta(pack.add(base), copying_delta(1 << 16, 3))
    add_pack(repository, pack.build())
    with StoredObjects(repository) as stored:
        with pytest.raises(TooBigToRead):
            stored.read(name_of(blob(bytes(3 << 16))), (3 << 16) - 1)
        assert stored.read(name_of(blob(bytes(3 << 16))), 3 << 16) == blob(bytes(3 << 16))


@pytest.mark.parametrize("order", [1, -1], ids=["base first", "tip first"])
def test_n4_each_object_of_a_long_chain_costs_a_part_of_the_chain(
    order: int, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The objects of one chain of 4,000, which fit into 100 KB, took a minute to read."""
    objects = [blob(b"%d\n" % number) for number in range(1000)]
    pack = PackBuilder()
    at = pack.add(objects[0])
    for base, result in pairwise(objects):
        at = pack.ofs_delta(at, delta(base.data, result.data))
    limits = attrs.evolve(LIMITS, objects=1000, delta_depth=1000)
    built = pack.build()
    index = encode_index(unpack(built, limits, lambda name: None).entries, built[-20:])
    folder = repository / "objects" / "pack"
    (folder / "pack-a.pack").write_bytes(built)
    (folder / "pack-a.idx").write_bytes(index)
    steps = 0

    def counted(data: bytes, offset: int) -> EntryHeader:
        nonlocal steps
        steps += 1
        return read_entry_header(data, offset)

    monkeypatch.setattr(object_reader, "read_entry_header", counted)
    with StoredObjects(repository) as opened:
        for object in objects[::order]:
            assert opened.kind(name_of(object)) == BLOB
            assert opened.read(name_of(object), 100) == object
    assert steps < len(objects) * 200


def test_what_is_kept_of_chains_is_bounded(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_reader, "_KEPT_BYTES", 100)
    monkeypatch.setattr(object_reader, "_KEPT_EVERY", 1)
    objects = [blob(b"%d" % number * 15) for number in range(50)]
    pack = PackBuilder()
    at = pack.add(objects[0])
    for base, result in pairwise(objects):
        at = pack.ofs_delta(at, delta(base.data, result.data))
    add_pack(repository, pack.build())
    with StoredObjects(repository) as opened:
        for object in (*objects[::-1], *objects):
            assert opened.read(name_of(object), 100) == object
            assert opened._kept.weight == sum(len(o.data) for o in opened._kept.values())
            assert opened._kept.weight <= 100


def test_a_miss_is_believed_at_the_second_look(repository: Path) -> None:
    packed, loose = history(2)[:2]
    with StoredObjects(repository) as stored:
        assert stored.kind(name_of(packed)) is None
        add_pack(repository, encode_pack([packed]))
        write_loose(repository, [loose])
        assert not stored.glance(name_of(packed))
        assert stored.kind(name_of(packed)) == packed.kind
        assert stored.read(name_of(loose), 1000) == loose


def test_packs_that_go_stay_readable_once_open(repository: Path) -> None:
    object = history(1)[2]
    path = add_pack(repository, encode_pack([object]))
    with StoredObjects(repository) as stored:
        assert stored.kind(name_of(object)) == COMMIT
        path.unlink()
        path.with_suffix(".idx").unlink()
        assert stored.read(name_of(object), 1000) == object
    with StoredObjects(repository) as stored:
        assert stored.read(name_of(object), 1000) is None


def test_a_pack_that_went_before_it_was_opened_is_no_hit(repository: Path) -> None:
    object = history(1)[2]
    path = add_pack(repository, encode_pack([object]))
    with StoredObjects(repository) as stored:
        path.unlink()
        assert stored.kind(name_of(object)) is None


def test_half_a_pack_is_not_there(repository: Path) -> None:
    object = history(1)[2]
    add_pack(repository, encode_pack([object])).with_suffix(".idx").unlink()
    with StoredObjects(repository) as stored:
        assert stored.kind(name_of(object)) is None


def test_no_repository_has_nothing(tmp_path: Path) -> None:
    with StoredObjects(tmp_path / "none") as stored:
        assert stored.kind(b"x" * 20) is None


@pytest.mark.parametrize("content", [b"", b"garbage", b"x\x9c\x03\0\0\0\0\1"])
def test_damaged_loose_objects_are_our_failure(repository: Path, content: bytes) -> None:
    object = blob(b"x")
    write_loose(repository, [object])
    (file,) = (repository / "objects" / name_of(object).hex()[:2]).iterdir()
    file.write_bytes(content)
    with StoredObjects(repository) as stored, pytest.raises(LocalFailure, match="git fsck"):
        stored.read(name_of(object), 100)


def test_damaged_packs_are_our_failure(repository: Path) -> None:
    object = blob(b"some content " * 20)
    path = add_pack(repository, encode_pack([object]))
    content = path.read_bytes()
    for damaged in (content[:20], content[:12] + bytes(60), b""):
        path.write_bytes(damaged)
        with StoredObjects(repository) as stored, pytest.raises(LocalFailure, match="git fsck"):
            stored.read(name_of(object), 1000)
    path.with_suffix(".idx").write_bytes(b"no index")
    with pytest.raises(LocalFailure, match="git fsck"):
        StoredObjects(repository)


def test_a_loose_object_that_lies_about_its_size(repository: Path) -> None:
    name = name_of(GitObject(BLOB, b"12"))
    write_loose(repository, [GitObject(BLOB, b"12")])
    (file,) = (repository / "objects" / name.hex()[:2]).iterdir()
    file.write_bytes(zlib.compress(b"blob 3\x0012"))
    with StoredObjects(repository) as stored, pytest.raises(LocalFailure):
        stored.read(name, 100)
