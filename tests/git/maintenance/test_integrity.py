"""Whether all that refs reach is here and unharmed: the same answers in process and by git."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.maintenance import integrity
from purgatory_sync.git.maintenance.integrity import Integrity, judge_objects

from ..local_repos import (
    MADE_UP,
    add_loose,
    add_pack,
    history,
    new_repository,
    oid_of,
    tag_of,
)

pytestmark = pytest.mark.real
MAIN = "refs/heads/main"


@pytest.fixture(params=["in process", "by git"])
def judged_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "by git":
        monkeypatch.setattr(integrity, "SMALL_OBJECTS", 0)
    return str(request.param)


def judge(path: Path, *tips: str) -> Integrity:
    return judge_objects(path, tips, path.parent.parent / ".tmp")


@pytest.mark.usefixtures("judged_by")
def test_a_whole_repository_has_no_flaw(tmp_path: Path) -> None:
    path, steps = new_repository(tmp_path), history(3)
    tag = tag_of(steps[1].commit)
    add_pack(path, [*steps[0].objects, *steps[1].objects])
    add_loose(path, [*steps[2].objects, tag])
    update_refs(path, {MAIN: steps[2].oid, "refs/tags/v1": oid_of(tag)})

    assert judge(path, steps[2].oid, oid_of(tag)) == Integrity()


@pytest.mark.usefixtures("judged_by")
@pytest.mark.parametrize("what", ["blob", "tree", "commit"])
def test_what_is_missing_deep_in_history_is_named(tmp_path: Path, what: str) -> None:
    path, steps = new_repository(tmp_path), history(3)
    gone = oid_of(getattr(steps[0], what))
    objects = [each for step in steps for each in step.objects if oid_of(each) != gone]
    add_pack(path, objects)
    update_refs(path, {MAIN: steps[2].oid})

    found = judge(path, steps[2].oid)

    assert found.missing == (gone,)
    assert not found.damaged


@pytest.mark.usefixtures("judged_by")
def test_a_tip_that_no_ref_has_is_looked_for(tmp_path: Path) -> None:
    path, steps = new_repository(tmp_path), history(1)
    add_pack(path, steps[0].objects)
    update_refs(path, {MAIN: steps[0].oid})

    assert judge(path, steps[0].oid, MADE_UP).missing == (MADE_UP,)


@pytest.mark.usefixtures("judged_by")
@pytest.mark.parametrize("suffix", ["pack", "idx"])
def test_one_bit_that_rotted_in_a_pack_is_found(tmp_path: Path, suffix: str) -> None:
    path, steps = new_repository(tmp_path), history(2)
    stem = add_pack(path, [each for step in steps for each in step.objects])
    update_refs(path, {MAIN: steps[1].oid})
    file = path / f"objects/pack/{stem}.{suffix}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    os.chmod(file, 0o600)
    file.write_bytes(content)

    (sentence,) = judge(path, steps[1].oid).damaged

    assert f"{stem}.pack" in sentence
    assert "does not hold" in sentence


def test_a_loose_commit_with_other_bytes_is_damage(tmp_path: Path) -> None:
    path, steps = new_repository(tmp_path), history(2)
    add_loose(path, [each for step in steps for each in step.objects])
    update_refs(path, {MAIN: steps[1].oid})
    one, other = (path / f"objects/{step.oid[:2]}/{step.oid[2:]}" for step in steps)
    os.chmod(one, 0o600)
    one.write_bytes(other.read_bytes())

    (sentence,) = judge(path, steps[1].oid).damaged

    assert sentence == f"{steps[0].oid}: this commit has other bytes than its name says"


def test_without_git_a_large_one_cannot_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "SMALL_OBJECTS", 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    path, steps = new_repository(tmp_path), history(1)
    add_pack(path, steps[0].objects)

    with pytest.raises(RepositoryError, match="git is not installed"):
        judge(path, steps[0].oid)
