from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from purgatory_sync.errors import BadPack, NotClosed
from purgatory_sync.git.disk.object_reader import StoredObjects
from purgatory_sync.git.ingest.connectivity import check_closure, complete_oids
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.git.pack.index import encode_index
from purgatory_sync.git.pack.reader import Unpacked, UnpackLimits, Unsure, unpack
from purgatory_sync.testing.packs import encode_pack

from ..pack.objects_git_judges import LONG_LINES
from ..packs import blob, commit, history, make_repository, name_of, oid_of, tag, tree, write_loose

LIMITS = UnpackLimits(1000, 1 << 20, 1 << 24, 10)


def unpacked(*objects: GitObject) -> Unpacked:
    return unpack(encode_pack(objects), LIMITS, lambda name: None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r.git")


class Counting(StoredObjects):
    """Counts look-ups of single objects."""

    looked_up = 0

    def kind(self, name: bytes) -> int | None:
        self.looked_up += 1
        return super().kind(name)


def wide(count: int, changed: GitObject) -> GitObject:
    files = [(b"100644", b"%04d" % i, blob(b"%d" % i)) for i in range(count)]
    return tree((b"100644", b"0", changed), *files)


def test_unchanged_entries_of_a_stored_tree_need_no_look_up(repository: Path) -> None:
    old_inner, new_inner = wide(200, blob(b"old")), wide(200, blob(b"new"))
    old_root, new_root = (tree((b"40000", b"inner", inner)) for inner in (old_inner, new_inner))
    before = commit(old_root)
    after = commit(new_root, before)
    write_loose(repository, [before, old_root, old_inner])
    stored = Counting(repository)
    with stored:
        check_closure(unpacked(after, new_root, new_inner, blob(b"new")), stored)
        assert stored.looked_up == 0
        with pytest.raises(NotClosed):
            check_closure(unpacked(new_root, new_inner, blob(b"new")), stored)


def test_attributes_that_are_here_are_judged_under_their_new_name(repository: Path) -> None:
    root = tree((b"100644", b".gitattributes", LONG_LINES))
    write_loose(repository, [LONG_LINES])
    with StoredObjects(repository) as stored:
        with pytest.raises(Unsure):
            check_closure(unpacked(root), stored)
        with pytest.raises(Unsure):
            check_closure(unpacked(root, LONG_LINES), stored)


def test_one_name_as_two_types(repository: Path) -> None:
    content = blob(b"x")
    root = tree((b"100644", b"a", content), (b"40000", b"b", content))
    with StoredObjects(repository) as stored, pytest.raises(BadPack, match="two different types"):
        check_closure(unpacked(content, root), stored)


def test_complete_histories(repository: Path) -> None:
    objects = [*history(5), tag(history(5)[-1]), tag(tag(history(5)[-1]))]
    write_loose(repository, objects)
    oids = [oid_of(object) for object in objects]
    assert complete_oids(repository, oids) == set(oids)
    assert complete_oids(repository, []) == set()


@pytest.mark.parametrize("missing", range(9))
def test_what_leads_to_a_hole_is_incomplete(repository: Path, missing: int) -> None:
    objects = history(3)
    write_loose(repository, [object for i, object in enumerate(objects) if i != missing])
    links = {0: {0, 1, 2, 5, 8}, 1: {1, 2, 5, 8}, 2: {2, 5, 8}}
    broken = {i + missing // 3 * 3 for i in links[missing % 3]}
    expected = {oid_of(object) for i, object in enumerate(objects) if i not in broken}
    assert complete_oids(repository, [oid_of(object) for object in objects]) == expected
    assert complete_oids(repository, [oid_of(object) for object in objects[::-1]]) == expected


def test_another_type_than_said_is_a_hole(repository: Path) -> None:
    content = blob(b"x")
    as_file = tree((b"100644", b"a", content))
    as_folder = tree((b"40000", b"a", content))
    tip, bad = commit(as_file), commit(as_folder)
    write_loose(repository, [content, as_file, as_folder, tip, bad])
    oids = [oid_of(object) for object in (tip, bad, as_folder, as_file)]
    assert complete_oids(repository, oids) == {oids[0], oids[3]}


def test_submodules_are_not_followed(repository: Path) -> None:
    root = tree((b"160000", b"m", b"\x11" * 20))
    tip = commit(root)
    write_loose(repository, [root, tip])
    assert complete_oids(repository, [oid_of(tip)]) == {oid_of(tip)}


def test_damage_and_what_is_no_name_count_as_missing(repository: Path) -> None:
    tip = history(1)[-1]
    write_loose(repository, history(1)[:2])
    write_loose(repository, [blob(b"")], name_of(tip))
    file = repository / "objects" / oid_of(tip)[:2] / oid_of(tip)[2:]
    file.write_bytes(b"damage")
    wants = [oid_of(tip), "x" * 40, "a" * 64, ""]
    assert complete_oids(repository, wants) == set()


def test_no_repository_is_complete_in_nothing(tmp_path: Path) -> None:
    assert complete_oids(tmp_path / "none", [oid_of(blob(b""))]) == set()


def test_long_histories_do_not_recurse(repository: Path) -> None:
    objects = history(1200)
    pack = encode_pack(objects)
    stem = repository / "objects" / "pack" / "pack-x"
    stem.with_suffix(".pack").write_bytes(pack)
    entries = unpack(pack, attrs.evolve(LIMITS, objects=4000), lambda name: None).entries
    stem.with_suffix(".idx").write_bytes(encode_index(entries, pack[-20:]))
    tip = oid_of(objects[-1])
    assert complete_oids(repository, [tip]) == {tip}
