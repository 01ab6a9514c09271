from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk import linking
from purgatory_sync.git.disk.linking import link_objects
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import present_oids

from ..local_repos import (
    MADE_UP,
    Step,
    add_loose,
    add_pack,
    git,
    history,
    holes,
    killed_at,
    new_repository,
    oid_of,
    tag_of,
)


@pytest.fixture
def steps() -> list[Step]:
    return history(4)


@pytest.fixture
def source(tmp_path: Path, steps: list[Step]) -> Path:
    """One commit a pack, joined in the order of the commits; the pack names are in another."""
    path = new_repository(tmp_path, "source")
    for i, step in enumerate(steps):
        add_pack(path, step.objects, time_secs=1000 + i)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return new_repository(tmp_path, "target")


def packs(path: Path) -> dict[str, os.stat_result]:
    return {file.name: file.stat() for file in (path / "objects" / "pack").iterdir()}


def test_packs_are_the_same_files_afterwards(source: Path, target: Path, steps: list[Step]) -> None:
    oid = steps[-1].oid
    assert link_objects([source], target, [oid, MADE_UP]) == {oid}
    assert packs(target) == packs(source)
    assert holes(target, steps) == []


def test_what_is_here_already_touches_no_source(
    source: Path, target: Path, steps: list[Step]
) -> None:
    add_pack(target, steps[0].objects)
    before = packs(target)
    assert link_objects([source], target, [steps[0].oid]) == {steps[0].oid}
    assert link_objects([source], target, [MADE_UP]) == frozenset()
    assert link_objects([source], target, []) == frozenset()
    assert packs(target) == before


def test_several_sources_add_up(tmp_path: Path, target: Path) -> None:
    wanted = []
    sources = [tmp_path / "none.git"]
    for name in ("a", "b", "c"):
        (step,) = history(1, name)
        path = new_repository(tmp_path, name)
        add_pack(path, step.objects)
        sources.append(path)
        wanted.append(step.oid)
    assert link_objects(sources, target, wanted[:2]) == set(wanted[:2])
    assert present_oids(target, wanted) == set(wanted[:2])


def test_a_half_visible_pack_is_left_out(source: Path, target: Path, steps: list[Step]) -> None:
    (half,) = [p for p in (source / "objects" / "pack").glob("*.pack") if p.stat().st_mtime == 1003]
    half.with_suffix(".idx").unlink()
    wanted = [steps[2].oid, steps[3].oid]
    assert link_objects([source], target, wanted) == {steps[2].oid}
    assert half.name not in packs(target)


def test_loose_objects_are_linked_too(tmp_path: Path, target: Path, steps: list[Step]) -> None:
    source = new_repository(tmp_path, "loose")
    tag = tag_of(steps[0].commit)
    add_loose(source, [tag, *steps[0].objects])
    (source / "objects" / steps[0].oid[:2] / "tmp_obj_abc").touch()
    assert link_objects([source], target, [oid_of(tag)]) == {oid_of(tag)}
    assert holes(target, steps) == []
    assert not list((target / "objects").glob("*/tmp_obj*"))


@pytest.mark.parametrize("mark", ["shallow", "objects/info/alternates", "objects/pack/p.promisor"])
def test_sources_that_need_not_be_complete_are_passed_over(
    source: Path, target: Path, steps: list[Step], mark: str
) -> None:
    (source / mark).parent.mkdir(exist_ok=True)
    (source / mark).touch()
    assert link_objects([source], target, [steps[0].oid]) == frozenset()
    assert packs(target) == {}


def test_a_damaged_source_does_not_stop_the_next(
    tmp_path: Path, source: Path, target: Path, steps: list[Step]
) -> None:
    damaged = new_repository(tmp_path, "damaged")
    (damaged / "objects" / "pack" / "pack-x.pack").write_bytes(b"")
    (damaged / "objects" / "pack" / "pack-x.idx").write_bytes(b"garbage")
    assert link_objects([damaged, source], target, [steps[0].oid]) == {steps[0].oid}


def test_a_missing_target_is_an_error(tmp_path: Path, source: Path) -> None:
    with pytest.raises(RepositoryError, match="no git repository"):
        link_objects([source], tmp_path / "none.git", [MADE_UP])


def refusing(link: Callable[..., None], number: int) -> Callable[..., None]:
    def refuse(*args: Any) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_links_are_not_to_be_had_files_are_copied(
    source: Path,
    target: Path,
    steps: list[Step],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(os, "link", refusing(os.link, number))
    assert link_objects([source], target, [steps[-1].oid]) == {steps[-1].oid}
    copied, original = packs(target), packs(source)
    assert copied.keys() == original.keys()
    for name, status in copied.items():
        assert status.st_ino != original[name].st_ino
        assert status.st_mtime_ns == original[name].st_mtime_ns
        assert status.st_mode & 0o222 == 0


def test_a_disk_that_refuses_leaves_no_holes(
    source: Path, target: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    link, done = os.link, []

    def full(*args: Any) -> None:
        done.append(args)
        if len(done) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(RepositoryError, match=r"cannot copy objects to .*free some disk space"):
            link_objects([source], target, [steps[-1].oid])
    assert present_oids(target, [step.oid for step in steps]) == {steps[0].oid}
    assert holes(target, steps) == []


def test_a_source_that_is_repacked_meanwhile_is_read_again(
    source: Path, target: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    take, times = linking._take, []

    def repacked_after_the_first(src: Path, dst: Path, path: str, **how: bool) -> None:
        take(src, dst, path, **how)
        times.append(path)
        if len(times) == 1:
            old = list((source / "objects" / "pack").iterdir())
            add_pack(source, [item for step in steps for item in step.objects])
            for file in old:
                file.unlink()

    monkeypatch.setattr(linking, "_take", repacked_after_the_first)
    assert link_objects([source], target, [steps[-1].oid]) == {steps[-1].oid}
    assert holes(target, steps) == []


def test_a_pack_left_without_index_is_completed(
    source: Path, target: Path, steps: list[Step]
) -> None:
    (name,) = [n for n, s in packs(source).items() if s.st_mtime == 1000 and n.endswith(".pack")]
    (target / "objects" / "pack" / name).write_bytes(b"half of anoth")
    assert link_objects([source], target, [steps[0].oid]) == {steps[0].oid}
    assert packs(target) == packs(source)


def test_in_what_was_gathered_each_pack_still_leans_on_earlier_ones(
    tmp_path: Path, source: Path, target: Path, steps: list[Step]
) -> None:
    """The target has the source's second pack, but got it later than the source its third."""
    before = new_repository(tmp_path, "before")
    add_pack(before, [*steps[0].objects, *history(1, "other")[0].objects], time_secs=2000)
    shared = add_pack(before, steps[1].objects, time_secs=2001)
    link_objects([before], target, [steps[1].oid])
    link_objects([source], target, [steps[-1].oid])
    assert (target / "objects" / "pack" / f"{shared}.pack").stat().st_mtime == 1001
    assert (before / "objects" / "pack" / f"{shared}.pack").stat().st_mtime == 2001
    in_order = sorted(
        (target / "objects" / "pack").glob("*.pack"), key=lambda p: p.stat().st_mtime_ns
    )
    growing = new_repository(tmp_path, "growing")
    for pack in in_order:
        for ending in (".pack", ".idx"):
            file = pack.with_suffix(ending)
            os.link(file, growing / "objects" / "pack" / file.name)
        assert holes(growing, steps) == []


@pytest.mark.parametrize("kind", ["packs", "loose", "both", "loose in between"])
def test_killed_anywhere_the_target_has_no_holes(
    tmp_path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = new_repository(tmp_path, "killed")
    steps = steps[:3]
    for i, step in enumerate(steps):
        packed = {"packs": True, "loose": False, "both": i < 2, "loose in between": i != 1}[kind]
        if packed:
            add_pack(source, step.objects, time_secs=1000 + i)
        else:
            add_loose(source, step.objects)
            for item in step.objects:
                file = source / "objects" / oid_of(item)[:2] / oid_of(item)[2:]
                os.utime(file, (1000 + i, 1000 + i))
    for moment in range(200):
        target = new_repository(tmp_path, f"t{moment}")
        died = killed_at(
            monkeypatch, moment, partial(link_objects, [source], target, [steps[-1].oid])
        )
        assert holes(target, steps) == []
        indexes = (target / "objects" / "pack").glob("*.idx")
        assert all(index.with_suffix(".pack").exists() for index in indexes)
        assert link_objects([source], target, [steps[-1].oid]) == {steps[-1].oid}
        assert holes(target, steps) == []
        if not died:
            break
    assert 10 < moment < 199


@pytest.mark.real
def test_git_finds_nothing_wrong_with_what_was_linked(
    source: Path, target: Path, steps: list[Step]
) -> None:
    link_objects([source], target, [steps[-1].oid])
    update_refs(target, {"refs/heads/main": steps[-1].oid})
    git(target, "fsck", "--strict", "--full")
    assert git(target, "rev-list", "--count", "main") == "4\n"
