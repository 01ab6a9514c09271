from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.object_lookup import ObjectLookup, existing, is_oid
from purgatory_sync.git.disk.object_reader import StoredObjects

from ..local_repos import MADE_UP, add_loose, add_pack, history, new_repository, oid_of, tag_of


def test_object_names_are_40_lower_case_hex_digits() -> None:
    assert is_oid("0123456789abcdef" * 2 + "01234567")
    for text in ("", "a" * 39, "a" * 41, "A" * 40, "g" * 40, "a" * 40 + "\n", "a" * 64):
        assert not is_oid(text)


def test_packed_and_loose_objects_exist(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    packed, loose = history(2)
    add_pack(path, packed.objects)
    add_loose(path, loose.objects)
    wanted = [packed.oid, loose.oid, MADE_UP, "junk", ""]
    assert existing(path, wanted) == {packed.oid, loose.oid}


def test_a_pack_without_index_is_not_there_yet(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    name = add_pack(path, step.objects)
    index = path / "objects" / "pack" / f"{name}.idx"
    content = index.read_bytes()
    index.unlink()
    assert existing(path, [step.oid]) == frozenset()
    index.write_bytes(content)
    assert existing(path, [step.oid]) == {step.oid}


def test_a_miss_is_believed_after_a_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    looks: list[bytes] = []
    glance = StoredObjects.glance

    def joined_after_the_first_look(self: StoredObjects, name: bytes) -> bool:
        found = glance(self, name)
        looks.append(name)
        if len(looks) == 1:
            add_pack(path, step.objects)
        return found

    monkeypatch.setattr(StoredObjects, "glance", joined_after_the_first_look)
    assert existing(path, [step.oid]) == {step.oid}
    assert len(looks) == 2


def test_what_joins_while_a_lookup_is_open_is_found(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    with ObjectLookup(path) as lookup:
        assert lookup.kind(step.oid) is None
        add_pack(path, step.objects)
        assert lookup.kind(step.oid) == "commit"


@pytest.mark.parametrize("add", [add_pack, add_loose])
def test_types_and_what_tags_name(tmp_path: Path, add: object) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    tag = tag_of(step.commit)
    outer = tag_of(tag, "v1-signed")
    assert callable(add)
    add(path, [*step.objects, tag, outer])
    with ObjectLookup(path) as lookup:
        kinds = {
            item.type_name.decode(): lookup.kind(oid_of(item)) for item in [*step.objects, tag]
        }
        assert all(name == kind for name, kind in kinds.items())
        assert len(kinds) == 4
        assert lookup.kind("junk") is None
        assert lookup.peel(oid_of(outer)) == (step.oid, "commit")
        assert lookup.peel(oid_of(step.tree)) == (oid_of(step.tree), "tree")
        assert lookup.peel(MADE_UP) is None
        assert lookup.commit_time(step.oid) == 1_700_000_000
        assert lookup.commit_time(MADE_UP) == 0


def test_a_tag_whose_target_is_missing_names_nothing(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    tag = tag_of(step.commit)
    add_pack(path, [tag])
    with ObjectLookup(path) as lookup:
        assert lookup.kind(oid_of(tag)) == "tag"
        assert lookup.peel(oid_of(tag)) is None


def test_a_damaged_loose_object_counts_as_missing(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    add_loose(path, step.objects)
    file = path / "objects" / step.oid[:2] / step.oid[2:]
    file.chmod(0o644)
    file.write_bytes(b"garbage")
    with ObjectLookup(path) as lookup:
        assert lookup.kind(step.oid) is None
        assert lookup.peel(step.oid) is None
        assert lookup.commit_time(step.oid) == 0


def test_a_damaged_index_is_said(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    index = path / "objects" / "pack" / f"{add_pack(path, step.objects)}.idx"
    index.chmod(0o644)
    index.write_bytes(b"garbage")
    with pytest.raises(RepositoryError, match="git fsck"):
        existing(path, [step.oid])
    with pytest.raises(RepositoryError, match="git fsck"):
        ObjectLookup(path)
