"""Many packs made one: nothing is lost, at no moment, for no reader, whenever it is killed."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from dulwich.objects import Blob

from purgatory_sync.errors import DiskFull, LocalFailure
from purgatory_sync.git.disk.linking import link_objects
from purgatory_sync.git.disk.object_reader import StoredObjects
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.ingest.connectivity import complete_oids
from purgatory_sync.git.maintenance import repacking
from purgatory_sync.git.maintenance.repacking import Combined, combine_packs, count_packs
from purgatory_sync.runtime.children import ChildLimits

from ..local_repos import (
    Step,
    add_loose,
    add_pack,
    git,
    history,
    holes,
    killed_at,
    new_repository,
    write_loose_ref,
)

pytestmark = pytest.mark.real

STEPS = history(6)
OIDS = [step.oid for step in STEPS]


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    return tmp_path / "tmp"


def with_packs(folder: Path, steps: list[Step] = STEPS, name: str = "r") -> Path:
    """A repository with a pack for each commit; no ref reaches the last one."""
    path = new_repository(folder, name)
    for number, step in enumerate(steps):
        add_pack(path, step.objects, 1_000 + number)
    write_loose_ref(path, "refs/heads/main", steps[-2].oid)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return with_packs(tmp_path)


def packs(path: Path) -> list[str]:
    return sorted(pack.stem for pack in (path / "objects/pack").glob("*.pack"))


def combined(path: Path, tmp: Path) -> Combined:
    made = combine_packs(path, tmp, 0)
    assert made is not None
    return made


def test_many_packs_become_one_and_nothing_is_lost(repository: Path, tmp: Path) -> None:
    assert count_packs(repository) == 6
    made = combined(repository, tmp)
    assert count_packs(repository) == 6
    assert made.put_in_place()
    made.discard()
    assert packs(repository) == [made.stem]
    assert complete_oids(repository, OIDS) == set(OIDS)
    assert os.listdir(tmp) == []
    git(repository, "fsck", "--strict", "--full")
    (pack,) = (repository / "objects/pack").glob("*.pack")
    assert pack.stat().st_mtime_ns == 1_000 * 10**9
    assert pack.stat().st_mode & 0o777 == 0o444
    assert combine_packs(repository, tmp, 0) is None


def test_a_name_that_git_must_be_told_in_quotes(tmp_path: Path, tmp: Path) -> None:
    path = with_packs(tmp_path, name="odd:\"name'\\ \u00fc \U0001f600")
    assert combined(path, tmp).put_in_place()
    assert count_packs(path) == 1
    assert complete_oids(path, OIDS) == set(OIDS)


def test_a_large_old_pack_is_not_written_anew(tmp_path: Path, tmp: Path) -> None:
    path = new_repository(tmp_path)
    steps = history(60)
    large = add_pack(path, [item for step in steps[:-3] for item in step.objects], 1_000)
    for number, step in enumerate(steps[-3:]):
        add_pack(path, step.objects, 1_001 + number)
    made = combined(path, tmp)
    assert len(made.replaces) == 3
    assert made.put_in_place()
    assert packs(path) == sorted([large, made.stem])
    oids = [step.oid for step in steps]
    assert complete_oids(path, oids) == set(oids)


def test_readers_that_began_before_find_everything(repository: Path, tmp: Path) -> None:
    made = combined(repository, tmp)
    with StoredObjects(repository) as before, StoredObjects(repository) as used:
        assert used.kind(bytes.fromhex(OIDS[0])) is not None
        assert made.put_in_place()
        for reader in (before, used):
            for oid in OIDS:
                found = reader.read(bytes.fromhex(oid), 10_000)
                assert found is not None


@pytest.mark.parametrize("time_secs", [999.5, 1_002.5, 2_000])
def test_what_joins_or_is_linked_meanwhile_stays(
    repository: Path, tmp_path: Path, tmp: Path, time_secs: float
) -> None:
    made = combined(repository, tmp)
    more = history(7)[-1:]
    other = add_pack(repository, more[0].objects, time_secs)
    assert made.put_in_place()
    assert packs(repository) == sorted([made.stem, other])
    assert holes(repository, [*STEPS, *more]) == []


def test_what_was_combined_is_closed_wherever_it_is_linked_at_any_moment(
    repository: Path, tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(8)
    large = history(60, seed="large")
    add_pack(repository, [i for step in large for i in step.objects], 900)
    made = combined(repository, tmp)
    assert len(made.replaces) == 6
    for number, step in enumerate(steps[6:]):
        add_pack(repository, step.objects, 1_003.5 + number)
    assert made.put_in_place()
    moment = 0
    while True:
        target = new_repository(tmp_path / str(moment), "target")
        with monkeypatch.context() as patch:
            link = partial(link_objects, [repository], target, [steps[-1].oid])
            died = killed_at(patch, moment, link)
        assert holes(target, [*steps, *large]) == []
        if not died:
            break
        moment += 1
    assert complete_oids(target, [steps[-1].oid, large[-1].oid]) == {steps[-1].oid, large[-1].oid}


def test_what_git_repacked_or_removed_is_left_alone(repository: Path, tmp: Path) -> None:
    made = combined(repository, tmp)
    (repository / "objects/pack" / f"{made.replaces[2]}.idx").unlink()
    before = packs(repository)
    assert not made.put_in_place()
    assert packs(repository) == before
    shutil.rmtree(repository)
    with pytest.raises(LocalFailure):
        made.put_in_place()


def test_killed_at_any_moment_nothing_is_lost(
    tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 0
    while True:
        path = with_packs(tmp_path / str(moment))
        made = combined(path, tmp)
        with monkeypatch.context() as patch:
            died = killed_at(patch, moment, made.put_in_place)
        assert holes(path, STEPS) == []
        assert present_oids(path, OIDS) == set(OIDS)
        if (again := combine_packs(path, tmp, 0)) is not None:
            assert again.put_in_place()
        assert complete_oids(path, OIDS) == set(OIDS)
        if not died:
            break
        moment += 1
    assert moment > 10


def test_who_shares_the_packs_shares_what_comes_of_them(
    repository: Path, tmp_path: Path, tmp: Path
) -> None:
    relative, poorer = new_repository(tmp_path, "relative"), new_repository(tmp_path, "poorer")
    link_objects([repository], relative, OIDS)
    add_pack(relative, history(1, seed="its own")[0].objects, 1_002.5)
    for step in STEPS[:3]:
        add_pack(poorer, step.objects)
    made = combined(repository, tmp)
    assert made.put_in_place()
    assert made.share_with(relative)
    assert not made.share_with(poorer)
    assert (count_packs(relative), count_packs(poorer)) == (2, 3)
    assert complete_oids(relative, OIDS) == set(OIDS)
    (pack,) = (repository / "objects/pack").glob("*.pack")
    assert pack.stat().st_nlink == 2
    assert holes(relative, STEPS) == []


def test_who_lacks_what_it_leans_on_or_can_have_no_link_keeps_its_packs(
    repository: Path, tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = new_repository(tmp_path, "relative")
    link_objects([repository], relative, OIDS)
    add_pack(repository, [i for step in history(60, seed="large") for i in step.objects], 900)
    made = combined(repository, tmp)
    assert made.put_in_place()
    assert not made.share_with(relative)
    link_objects([repository], relative, [history(60, seed="large")[-1].oid])

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, "other disk")

    monkeypatch.setattr(os, "link", refuse)
    assert not made.share_with(relative)
    assert holes(relative, STEPS) == []


def test_a_pack_that_holds_all_already_gets_the_earliest_place_everywhere(
    repository: Path, tmp_path: Path, tmp: Path
) -> None:
    whole = combined(repository, tmp)
    for suffix in ("pack", "idx"):
        file = shutil.copy(f"{whole.folder / whole.stem}.{suffix}", repository / "objects/pack")
        os.utime(file, (1_010, 1_010))
    whole.discard()
    relative = new_repository(tmp_path, "relative")
    link_objects([repository], relative, OIDS)
    made = combined(repository, tmp)
    assert made.stem in made.replaces
    assert made.put_in_place()
    assert made.share_with(relative)
    for path in (repository, relative):
        assert packs(path) == [made.stem]
        (pack,) = (path / "objects/pack").glob("*.pack")
        assert pack.stat().st_mtime_ns == 1_000 * 10**9
    assert not list((relative / "objects/pack").glob("tmp_*"))


def test_who_has_the_same_packs_in_another_order_keeps_them(
    repository: Path, tmp_path: Path, tmp: Path
) -> None:
    add_pack(repository, [i for step in history(60, seed="large") for i in step.objects], 900)
    other = new_repository(tmp_path, "other")
    for number, file in enumerate(sorted((repository / "objects/pack").iterdir())):
        copy = shutil.copy(file, other / "objects/pack")
        os.utime(copy, (1_010 - number, 1_010 - number))
    before = packs(other)
    made = combined(repository, tmp)
    assert made.put_in_place()
    assert not made.share_with(other)
    assert packs(other) == before


def test_a_pack_that_was_given_an_earlier_place_meanwhile_is_not_moved_back(
    repository: Path, tmp: Path
) -> None:
    made = combined(repository, tmp)
    earlier = repository / "objects/pack" / f"{made.replaces[3]}.pack"
    os.utime(earlier, (990, 990))
    before = packs(repository)
    assert not made.put_in_place()
    assert packs(repository) == before


def test_packs_of_one_moment_stay_together(tmp_path: Path, tmp: Path) -> None:
    path = new_repository(tmp_path)
    steps = history(60)
    add_pack(path, [item for step in steps[:-3] for item in step.objects], 1_000)
    for step in steps[-3:]:
        add_pack(path, step.objects, 1_000)
    assert len(combined(path, tmp).replaces) == 4


def test_nothing_goes_before_what_stands_for_it_is_durable(
    repository: Path, tmp_path: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = new_repository(tmp_path, "relative")
    link_objects([repository], relative, OIDS)
    real, durable = os.unlink, set[tuple[int, int]]()

    def fsync(fd: int) -> None:
        status = os.fstat(fd)
        durable.add((status.st_ino, status.st_mtime_ns))

    def unlink(path: str) -> None:
        folder = Path(path).parent
        for place in (folder, folder / f"{made.stem}.pack", folder / f"{made.stem}.idx"):
            status = place.stat()
            assert (status.st_ino, status.st_mtime_ns) in durable
        monkeypatch.setattr(os, "unlink", real)

    monkeypatch.setattr(os, "fsync", fsync)
    made = combined(repository, tmp)
    for work in (made.put_in_place, lambda: made.share_with(relative)):
        monkeypatch.setattr(os, "unlink", unlink)
        assert work()
        assert os.unlink is real, "nothing went"
    (pack,) = (repository / "objects/pack").glob("*.pack")
    assert pack.stat().st_mtime_ns == 1_000 * 10**9


@pytest.mark.parametrize("secs", [0, 3500, -3700])
def test_what_may_be_only_half_there_yet_stays(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch, secs: float
) -> None:
    half = repository / "objects/pack/pack-1.pack"
    half.touch()
    os.utime(half, (1, 1))  # as of what is linked from elsewhere
    made = combined(repository, tmp)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + secs)
    assert made.put_in_place()
    assert half.exists()


def test_halves_that_a_crash_left_go_with_it(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = repository / "objects/pack"
    (folder / "pack-1.pack").touch()
    (folder / "pack-2.idx").touch()
    os.link(folder / "pack-1.pack", folder / "tmp_link_pack-1-pack")
    made = combined(repository, tmp)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    assert made.put_in_place()
    assert sorted(os.listdir(folder)) == [f"{made.stem}.idx", f"{made.stem}.pack"]


def test_only_what_is_ours_alone_is_touched(tmp_path: Path, tmp: Path) -> None:
    loose = with_packs(tmp_path / "loose")
    add_loose(loose, history(1, seed="loose")[0].objects)
    kept = with_packs(tmp_path / "kept")
    (kept / "objects/pack" / f"{packs(kept)[0]}.keep").touch()
    shallow = with_packs(tmp_path / "shallow")
    (shallow / "shallow").touch()
    leaning = with_packs(tmp_path / "leaning")
    (leaning / "objects/info").mkdir(exist_ok=True)
    (leaning / "objects/info/alternates").touch()
    for path in (loose, kept, shallow, leaning):
        assert count_packs(path) == 0
        assert combine_packs(path, tmp, 0) is None
    assert count_packs(tmp_path / "none") == 0
    assert not tmp.exists()


def test_without_git_nothing_is_done(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp))
    assert combine_packs(repository, tmp, 0) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo fatal: no >&2; exit 128", "no"),
        ("kill -KILL $$", "-9"),
        ("exit 0", "ended with 0"),
    ],
)
def test_failures_leave_everything_as_it_is(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: str
) -> None:
    fake = tmp.parent / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    before = packs(repository)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
        with pytest.raises(LocalFailure, match=expected):
            combine_packs(repository, tmp, 0)
    assert packs(repository) == before
    assert os.listdir(tmp) == []


def test_a_git_that_is_killed_while_it_writes_leaves_nothing_behind(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        add_pack(repository, [Blob.from_string(os.urandom(300_000))], 2_000 + number)
    limits = ChildLimits(memory_bytes=1 << 30, cpu_secs=60, file_bytes=64 * 1024)
    monkeypatch.setattr(repacking, "limits_for", lambda *_: limits)
    before = sorted(repository.rglob("*"))
    with pytest.raises(LocalFailure, match=f"ended with -{signal.SIGXFSZ}"):
        combine_packs(repository, tmp, 0)
    assert sorted(repository.rglob("*")) == before
    assert os.listdir(tmp) == []


def test_a_pack_that_lacks_something_is_not_believed(
    repository: Path, tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = repacking.pack_objects

    def without_one(
        git: str,
        paths: list[Path],
        folder: Path,
        wanted: tuple[str, str],
        limits: ChildLimits,
    ) -> str:
        how, names = wanted
        return real(git, paths, folder, (how, names.partition("\n")[2]), limits)

    monkeypatch.setattr(repacking, "pack_objects", without_one)
    with pytest.raises(LocalFailure, match="left"):
        combine_packs(repository, tmp, 0)
    assert os.listdir(tmp) == []


def test_a_damaged_pack_is_left_alone(repository: Path, tmp: Path) -> None:
    pack = repository / "objects/pack" / f"{packs(repository)[2]}.pack"
    content = bytearray(pack.read_bytes())
    content[40] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(content)
    os.utime(pack, (1_002, 1_002))
    before = packs(repository)
    with pytest.raises(LocalFailure):
        combine_packs(repository, tmp, 0)
    assert packs(repository) == before


def test_on_a_full_disk_nothing_begins(repository: Path, tmp: Path) -> None:
    with pytest.raises(DiskFull):
        combine_packs(repository, tmp, 1 << 60)
    assert not tmp.exists()
