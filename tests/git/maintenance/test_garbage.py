"""Dropping objects: what nothing names goes, all else stays, whenever it is killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from dulwich.objects import Blob, Tag, Tree

from purgatory_sync.errors import DiskFull, LocalFailure
from purgatory_sync.git.disk.layout import Pinned, read_era
from purgatory_sync.git.disk.linking import link_objects
from purgatory_sync.git.disk.ref_lock import exclusive
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.ingest.connectivity import complete_oids
from purgatory_sync.git.maintenance import garbage, repacking
from purgatory_sync.git.maintenance.garbage import Needed, pack_what_is_needed
from purgatory_sync.runtime.children import ChildLimits, ChildResult

from ..local_repos import (
    add_loose,
    add_pack,
    git,
    history,
    holes,
    killed_at,
    new_repository,
    oid_of,
    tag_of,
    write_loose_ref,
)

pytestmark = pytest.mark.real

MAIN = history(3)
# What leaves: a line of its own, and one that leans on what stays.
STRAY = history(3, "stray")
ALL = [step.oid for step in (*MAIN, *STRAY)]


def filled(folder: Path, name: str = "r") -> Path:
    """A repository with a pack for each commit, in turn; one line of them is named by a ref."""
    path = new_repository(folder, name)
    for number, pair in enumerate(zip(MAIN, STRAY, strict=True)):
        for step, late in zip(pair, (0, 0.5), strict=True):
            add_pack(path, step.objects, 1_000 + number + late)
    write_loose_ref(path, "refs/heads/main", MAIN[-1].oid)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return filled(tmp_path)


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    return tmp_path / "tmp"


def needed(
    path: Path, tmp: Path, named: Collection[str] = (), relatives: Collection[Path] = ()
) -> Needed:
    made = pack_what_is_needed(path, relatives, named, tmp, 0)
    assert made is not None
    return made


def drop(
    path: Path, tmp: Path, named: Collection[str] = (), relatives: Collection[Path] = ()
) -> None:
    made = needed(path, tmp, named, relatives)
    assert made.put_in_place(named)
    made.discard()


def packs(path: Path) -> list[str]:
    return sorted(pack.stem for pack in (path / "objects/pack").glob("*.pack"))


def stays(path: Path, oids: Collection[str]) -> None:
    """Just these of all commits are there, and whole."""
    assert present_oids(path, ALL) == frozenset(oids)
    assert complete_oids(path, oids) == frozenset(oids)
    git(path, "fsck", "--full", "--strict")


def test_an_unreachable_object_goes_and_a_reachable_one_stays(
    repository: Path, tmp: Path, tmp_path: Path
) -> None:
    before = {oid: git(repository, "cat-file", "-p", oid) for oid in (s.oid for s in MAIN)}
    made = needed(repository, tmp)
    assert len(packs(repository)) == 6
    assert made.put_in_place(())
    assert made.dropped_bytes > 0
    made.discard()
    stays(repository, [step.oid for step in MAIN])
    assert packs(repository) == [made.stem]
    assert {oid: git(repository, "cat-file", "-p", oid) for oid in before} == before
    git(tmp_path, "clone", "-q", "-b", "main", str(repository), "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD").strip() == MAIN[-1].oid
    assert os.listdir(tmp) == []


def test_done_again_there_is_nothing_to_gain(repository: Path, tmp: Path) -> None:
    drop(repository, tmp)
    assert needed(repository, tmp).dropped_bytes == 0


def test_a_detached_head_is_kept(repository: Path, tmp: Path) -> None:
    (repository / "HEAD").write_text(f"{STRAY[1].oid}\n")
    drop(repository, tmp)
    stays(repository, [*(step.oid for step in MAIN), STRAY[0].oid, STRAY[1].oid])


@pytest.mark.parametrize("form", ["loose", "packed"])
@pytest.mark.parametrize(
    "name", ["refs/heads/x", "refs/tags/x", f"refs/nostr/{'5' * 64}", "refs/other", "refs/bad..x"]
)
def test_each_ref_keeps_what_it_names(repository: Path, tmp: Path, name: str, form: str) -> None:
    if form == "loose":
        write_loose_ref(repository, name, STRAY[0].oid)
    else:
        (repository / "packed-refs").write_text(f"{STRAY[0].oid} {name}\n")
    drop(repository, tmp)
    assert present_oids(repository, ALL) == {*(step.oid for step in MAIN), STRAY[0].oid}


def test_what_refs_and_events_name_need_not_be_commits(repository: Path, tmp: Path) -> None:
    blob, other = Blob.from_string(b"alone\n"), Blob.from_string(b"in a tree\n")
    tree = Tree()
    tree.add(b"file", 0o100644, other.id)
    inner = tag_of(STRAY[0].commit)
    outer: Tag = tag_of(inner, "outer")
    add_pack(repository, [blob, other, tree, inner, outer], 2_000)
    write_loose_ref(repository, "refs/tags/outer", oid_of(outer))
    write_loose_ref(repository, "refs/tags/blob", oid_of(blob))
    drop(repository, tmp, [oid_of(tree)])
    kept = {oid_of(each) for each in (blob, other, tree, inner, outer)}
    assert present_oids(repository, kept) == kept
    stays(repository, [*(step.oid for step in MAIN), STRAY[0].oid])


def test_what_events_name_stays_as_far_as_it_is_here(repository: Path, tmp: Path) -> None:
    drop(repository, tmp, [STRAY[1].oid, "1" * 40, "2" * 64, "no oid"])
    stays(repository, [*(step.oid for step in MAIN), STRAY[0].oid, STRAY[1].oid])


def test_where_nothing_is_named_all_goes(repository: Path, tmp: Path) -> None:
    (repository / "refs/heads/main").unlink()
    drop(repository, tmp)
    stays(repository, [])
    add_pack(repository, MAIN[0].objects)
    stays(repository, [MAIN[0].oid])


def test_history_with_holes_is_left_alone(repository: Path, tmp: Path) -> None:
    write_loose_ref(repository, "refs/heads/broken", "3" * 40)
    before = packs(repository)
    with pytest.raises(LocalFailure):
        needed(repository, tmp)
    (repository / "refs/heads/broken").unlink()
    blob = add_pack(repository, [step.commit for step in history(1, "hollow")], 3_000)
    write_loose_ref(repository, "refs/heads/hollow", history(1, "hollow")[0].oid)
    with pytest.raises(LocalFailure):
        needed(repository, tmp)
    assert packs(repository) == sorted([*before, blob])
    assert os.listdir(tmp) == []


def test_a_ref_that_cannot_be_read_may_name_anything(repository: Path, tmp: Path) -> None:
    write_loose_ref(repository, "refs/heads/broken", "no oid")
    with pytest.raises(LocalFailure, match="broken"):
        needed(repository, tmp)


def test_a_pack_that_lacks_something_is_not_believed(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = repacking.pack_objects

    def commits_only(
        git: str,
        paths: list[Path],
        folder: Path,
        wanted: tuple[str, str],
        limits: ChildLimits,
    ) -> str:
        return real(git, paths, folder, ("--no-reuse-delta", wanted[1]), limits)

    monkeypatch.setattr(garbage, "pack_objects", commits_only)
    with pytest.raises(LocalFailure, match="could not walk"):
        needed(repository, tmp)
    assert os.listdir(tmp) == []


@pytest.mark.parametrize("lacking", ["blob", "tree", "commit"])
def test_each_object_is_looked_for_where_nothing_else_is_at_hand(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    real = repacking.pack_objects
    left_out = oid_of(getattr(MAIN[0], lacking))
    names = "".join(
        f"{oid_of(each)}\n" for step in MAIN for each in step.objects if oid_of(each) != left_out
    )
    monkeypatch.setattr(
        garbage,
        "pack_objects",
        lambda git, paths, folder, wanted, limits: real(
            git, paths, folder, ("--no-reuse-delta", names), limits
        ),
    )
    with pytest.raises(LocalFailure, match="could not walk"):
        needed(repository, tmp)


def test_what_came_meanwhile_keeps_everything(repository: Path, tmp: Path) -> None:
    made = needed(repository, tmp)
    add_pack(repository, history(4, "stray")[3].objects, 3_000)
    before = packs(repository)
    assert not made.put_in_place(())
    assert packs(repository) == before
    assert read_era(repository) == ""


@pytest.mark.parametrize("what", ["ref", "head", "event", "other pack", "other time"])
def test_what_is_named_meanwhile_keeps_everything(repository: Path, tmp: Path, what: str) -> None:
    made = needed(repository, tmp)
    before = packs(repository)
    pack = repository / "objects/pack" / f"{before[0]}.pack"
    if what == "ref":
        write_loose_ref(repository, "refs/nostr/x", STRAY[0].oid)
    elif what == "head":
        (repository / "HEAD").write_text(f"{STRAY[0].oid}\n")
    elif what == "other pack":
        pack.unlink()
        before.pop(0)
    elif what == "other time":
        os.utime(pack, (5_000, 5_000))
    assert not made.put_in_place([STRAY[0].oid] if what == "event" else ())
    assert packs(repository) == before


def test_refs_may_go_or_move_to_what_is_in_it(repository: Path, tmp: Path) -> None:
    made = needed(repository, tmp)
    write_loose_ref(repository, "refs/heads/main", MAIN[0].oid)
    assert made.put_in_place(["4" * 40])
    stays(repository, [step.oid for step in MAIN])


def test_what_is_proven_before_does_not_join_after(repository: Path, tmp: Path) -> None:
    era = read_era(repository)
    with Pinned(repository) as pinned:
        made = needed(repository, tmp)
        pinned.require_same()
        made.put_in_place(())
        with pytest.raises(Exception, match="were dropped meanwhile"):
            pinned.require_same()
    with Pinned(repository) as later, Pinned(repository, era) as earlier:
        later.require_same()
        with pytest.raises(Exception, match="were dropped meanwhile"):
            earlier.require_same()


def test_nothing_goes_while_another_process_joins(repository: Path, tmp: Path) -> None:
    made = needed(repository, tmp)
    dropping_it = Thread(target=made.put_in_place, args=((),))
    with exclusive(repository):
        dropping_it.start()
        dropping_it.join(0.2)
        assert len(packs(repository)) == 6
        # A pack that joins now is seen.
        add_pack(repository, history(4, "stray")[3].objects, 3_000)
    dropping_it.join()
    assert len(packs(repository)) == 7


def closed(path: Path) -> None:
    """What is there is there with all its history."""
    assert holes(path, [*MAIN, *STRAY]) == []
    assert complete_oids(path, [MAIN[-1].oid]) == {MAIN[-1].oid}


def test_killed_at_any_moment_nothing_lacks_its_history(
    tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, counts = 0, []
    while True:
        folder = tmp_path / str(moment)
        path = filled(folder)
        relative = new_repository(folder, "relative")
        link_objects([path], relative, [STRAY[-1].oid])
        write_loose_ref(relative, "refs/heads/main", MAIN[-1].oid)
        made = needed(path, tmp, relatives=[relative])
        died = killed_at(monkeypatch, moment, partial(made.put_in_place, ()))
        for each in (path, relative):
            closed(each)
            git(each, "fsck", "--full")
        counts.append(len(packs(path)) + len(packs(relative)))
        if not died:
            break
        drop(path, tmp, relatives=[relative])
        if read_era(relative):
            stays(relative, [step.oid for step in MAIN])
        stays(path, [step.oid for step in MAIN])
        moment += 1
    assert set(counts) >= set(range(2, 15))


def test_an_era_begins_before_anything_goes(
    tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in range(100):
        path = filled(tmp_path / str(moment))
        made = needed(path, tmp)
        died = killed_at(monkeypatch, moment, partial(made.put_in_place, ()))
        if present_oids(path, ALL) != frozenset(ALL):
            assert len(read_era(path)) == 32
        if not died:
            return
    pytest.fail("it never ends")


def with_relatives(tmp_path: Path) -> tuple[Path, Path, Path, Path]:
    """One repository, one that shares with it, one that shares with that one, and a stranger."""
    first, second, third, stranger = (
        filled(tmp_path, "a"),
        new_repository(tmp_path, "b"),
        new_repository(tmp_path, "c"),
        filled(tmp_path, "d"),
    )
    link_objects([first], second, [MAIN[-1].oid])
    own = history(1, "own")[0]
    add_pack(second, own.objects, 2_000)
    write_loose_ref(second, "refs/heads/own", own.oid)
    link_objects([second], third, [own.oid])
    for pack in (third / "objects/pack").iterdir():
        if pack.stem in packs(first):
            pack.unlink()  # it shares the one pack only that the first has not
    write_loose_ref(third, "refs/heads/own", own.oid)
    return first, second, third, stranger


def test_who_shares_packs_goes_on_sharing(tmp_path: Path, tmp: Path) -> None:
    first, second, third, stranger = with_relatives(tmp_path)
    before = packs(stranger)
    drop(first, tmp, relatives=[second, third, stranger])
    (pack,), (other,), (last,) = (packs(path) for path in (first, second, third))
    assert pack == other == last
    file = first / "objects/pack" / f"{pack}.pack"
    assert file.samefile(second / "objects/pack" / f"{pack}.pack")
    assert file.samefile(third / "objects/pack" / f"{pack}.pack")
    assert packs(stranger) == before
    for path in (first, second, third):
        stays(path, [step.oid for step in MAIN])
        assert read_era(path)
    assert not read_era(stranger)
    git(second, "cat-file", "-e", history(1, "own")[0].oid)
    # What joins later stands behind it, here as there.
    add_pack(second, history(4)[3].objects)
    assert link_objects([second], third, [history(4)[3].oid])
    assert holes(third, history(4)) == []


def test_what_is_packed_counts_once_however_many_share_it(tmp_path: Path, tmp: Path) -> None:
    first, second, third, _ = with_relatives(tmp_path)
    made = needed(third, tmp, relatives=[first, second])
    files = {
        pack.name: pack.stat().st_size
        for path in (first, second, third)
        for pack in (path / "objects/pack").glob("*.pack")
    }
    assert set(made.seen) == {first, second, third}
    assert made.packed_bytes == sum(files.values())
    assert made.packed_bytes - made.dropped_bytes == sum(
        pack.stat().st_size for pack in (made.folder / "objects/pack").glob("*.pack")
    )


def test_what_a_relative_names_meanwhile_keeps_everything(tmp_path: Path, tmp: Path) -> None:
    first, second, third, stranger = with_relatives(tmp_path)
    made = needed(first, tmp, relatives=[second, third, stranger])
    before = {path: packs(path) for path in (first, second, third)}
    write_loose_ref(second, "refs/heads/late", STRAY[0].oid)
    assert not made.put_in_place(())
    assert {path: packs(path) for path in before} == before


def test_where_there_are_no_links_there_are_copies(
    tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third, _ = with_relatives(tmp_path)
    made = needed(first, tmp, relatives=[second, third])

    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert made.put_in_place(())
    for path in (first, second, third):
        stays(path, [step.oid for step in MAIN])


def test_what_others_have_a_hand_in_is_left_alone(tmp_path: Path, tmp: Path) -> None:
    loose, kept = filled(tmp_path, "loose"), filled(tmp_path, "kept")
    add_loose(loose, [Blob.from_string(b"loose\n")])
    (kept / "objects/pack" / f"{packs(kept)[0]}.keep").touch()
    for path in (loose, kept):
        assert pack_what_is_needed(path, (), (), tmp, 0) is None
    assert pack_what_is_needed(new_repository(tmp_path, "empty"), (), (), tmp, 0) is None


def test_a_relative_that_others_have_a_hand_in_is_left_alone(tmp_path: Path, tmp: Path) -> None:
    first, second, _, _ = with_relatives(tmp_path)
    add_loose(second, [Blob.from_string(b"loose\n")])
    before = packs(second)
    drop(first, tmp, relatives=[second])
    stays(first, [step.oid for step in MAIN])
    assert packs(second) == before


def test_without_git_and_without_space_nothing_begins(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DiskFull):
        pack_what_is_needed(repository, (), (), tmp, 1 << 60)
    assert not tmp.exists()
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "git" else real(name))
    assert pack_what_is_needed(repository, (), (), tmp, 0) is None


def test_it_is_limited(repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = Blob.from_string(os.urandom(300_000))
    add_pack(repository, [blob], 2_000)
    limits = ChildLimits(memory_bytes=1 << 30, cpu_secs=60, file_bytes=64 * 1024)
    monkeypatch.setattr(garbage, "limits_for", lambda _: limits)
    with pytest.raises(LocalFailure, match="could not repack"):
        needed(repository, tmp, [oid_of(blob)])
    assert os.listdir(tmp) == []


def test_a_walk_that_fails_is_no_walk(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "run_git", lambda *_: ChildResult(-9, b"", b""))
    with pytest.raises(LocalFailure, match="ended with -9"):
        needed(repository, tmp)
