from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from purgatory_sync.errors import DiskFull, LocalFailure, RepositoryError
from purgatory_sync.git.disk.disk_guard import local_errors, require_free_space
from purgatory_sync.git.disk.layout import Pinned
from purgatory_sync.git.disk.object_reader import StoredObjects
from purgatory_sync.git.ingest.quarantine import (
    PackInFolder,
    PackInMemory,
    ProvenPack,
    Quarantined,
    make_quarantine,
    quarantine_name,
    remove_quarantine,
    sweep_quarantine,
)
from purgatory_sync.git.pack.index import encode_index
from purgatory_sync.git.pack.reader import UnpackLimits, unpack
from purgatory_sync.runtime.children import ProcessIdentity
from purgatory_sync.testing.packs import encode_pack

from ..packs import history, make_repository, name_of

OBJECTS = history(1)
PACK = encode_pack(OBJECTS)
INDEX = encode_index(
    unpack(PACK, UnpackLimits(9, 999, 9999, 9), lambda name: None).entries, PACK[-20:]
)
NAME = f"pack-{PACK[-20:].hex()}"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r.git")


@pytest.fixture(params=["memory", "folder"])
def proven(request: pytest.FixtureRequest, tmp_path: Path) -> ProvenPack:
    tmp = tmp_path / "tmp"
    if request.param == "memory":
        return PackInMemory(PACK, INDEX, tmp)
    folder = make_quarantine(tmp, "pack")
    (folder / "objects" / "pack").mkdir(parents=True)
    (folder / "objects" / "pack" / f"{NAME}.pack").write_bytes(PACK)
    (folder / "objects" / "pack" / f"{NAME}.idx").write_bytes(INDEX)
    return PackInFolder(folder, NAME)


def quarantined(repository: Path, proven: ProvenPack | None) -> Quarantined:
    return Quarantined(
        repository,
        frozenset(),
        size=(3, len(PACK)),
        pack=proven,
        pinned=Pinned(repository),
        limiter=trio.CapacityLimiter(1),
    )


def has_all(repository: Path) -> bool:
    with StoredObjects(repository) as stored:
        return all(stored.read(name_of(object), 999) == object for object in OBJECTS)


def leftovers(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "tmp") if (tmp_path / "tmp").exists() else []


async def test_joining(repository: Path, proven: ProvenPack, tmp_path: Path) -> None:
    await quarantined(repository, proven).join()
    assert has_all(repository)
    assert leftovers(tmp_path) == []
    modes = {path.stat().st_mode & 0o777 for path in (repository / "objects/pack").iterdir()}
    assert modes == {0o444} if isinstance(proven, PackInMemory) else modes


async def test_the_time_of_the_pack_is_that_of_joining(
    repository: Path, tmp_path: Path, proven: ProvenPack
) -> None:
    if isinstance(proven, PackInFolder):
        os.utime(proven.folder / "objects" / "pack" / f"{NAME}.pack", (1, 1))
    (tmp_path / "before").touch()
    await quarantined(repository, proven).join()
    joined = (repository / "objects" / "pack" / f"{NAME}.pack").stat().st_mtime
    assert joined >= (tmp_path / "before").stat().st_mtime - 0.1


async def test_a_clock_that_was_set_back_does_not_change_the_order_of_joining(
    repository: Path, proven: ProvenPack
) -> None:
    folder = repository / "objects" / "pack"
    for name in ("pack-1.pack", "pack-2.pack"):
        (folder / name).touch()
        os.utime(folder / name, (4_000_000_000, 4_000_000_000))
    await quarantined(repository, proven).join()
    assert (folder / f"{NAME}.pack").stat().st_mtime_ns == 4_000_000_000 * 10**9 + 1


async def test_the_same_pack_again_changes_nothing(
    repository: Path, tmp_path: Path, proven: ProvenPack
) -> None:
    await quarantined(repository, PackInMemory(PACK, INDEX, tmp_path / "tmp")).join()
    path = repository / "objects" / "pack" / f"{NAME}.pack"
    os.utime(path, (1, 1))
    await quarantined(repository, proven).join()
    assert path.stat().st_mtime == 1
    assert leftovers(tmp_path) == []


async def test_half_a_pack_is_completed(repository: Path, proven: ProvenPack) -> None:
    (repository / "objects" / "pack" / f"{NAME}.pack").write_bytes(PACK)
    await quarantined(repository, proven).join()
    assert has_all(repository)


async def test_a_folder_of_packs_is_made_where_there_is_none(
    repository: Path, proven: ProvenPack
) -> None:
    (repository / "objects" / "pack").rmdir()
    await quarantined(repository, proven).join()
    assert has_all(repository)


@pytest.mark.parametrize("call", ["fsync", "utime", "rename"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_what_fails_shows_nothing_and_can_be_done_again(
    repository: Path, proven: ProvenPack, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    real = getattr(os, call)
    calls = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError(errno.EIO, "Input/output error")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, failing)
    handle = quarantined(repository, proven)
    last = {"fsync": 3, "utime": 1, "rename": 2}[call]
    if at <= last:
        with pytest.raises(LocalFailure, match="Input/output error"):
            await handle.join()
        # The third fsync is of the folder, when the pack is there already.
        assert has_all(repository) == (call == "fsync" and at == 3)
    await handle.join()
    assert calls >= last
    assert has_all(repository)


@pytest.mark.parametrize("again", [False, True])
async def test_n5_a_repository_that_is_gone_or_made_anew(
    repository: Path, tmp_path: Path, proven: ProvenPack, again: bool
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    handle = quarantined(repository, proven)
    shutil.rmtree(repository)
    if again:
        make_repository(repository)
    with pytest.raises(LocalFailure, match="was replaced" if again else "is gone"):
        await handle.join()
    await handle.discard()
    assert leftovers(tmp_path) == []
    assert not again or not has_all(repository)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_discarding_is_not_cancelled(
    repository: Path, proven: ProvenPack, tmp_path: Path
) -> None:
    handle = quarantined(repository, proven)
    with trio.CancelScope() as scope:
        scope.cancel()
        await handle.discard()
        await handle.discard()
    assert leftovers(tmp_path) == []
    assert os.listdir(repository / "objects" / "pack") == []


async def test_a_cancelled_join_is_whole_or_not_begun(repository: Path, proven: ProvenPack) -> None:
    handle = quarantined(repository, proven)
    with trio.CancelScope() as scope:
        scope.cancel()
        await handle.join()
    assert scope.cancelled_caught
    assert not has_all(repository)
    await handle.join()
    assert has_all(repository)


async def test_nothing_to_join(repository: Path) -> None:
    async with quarantined(repository, None) as handle:
        await handle.join()
    await handle.join()


def test_names_say_whose_they_are() -> None:
    me = ProcessIdentity.current()
    name = quarantine_name("pack")
    assert name.startswith(f"pack-{me.pid}-{me.start_ticks}-")
    assert name != quarantine_name("pack")


def test_a_sweep_removes_what_the_dead_left(tmp_path: Path) -> None:
    me = ProcessIdentity.current()
    mine = make_quarantine(tmp_path, "pack")
    dead_folder = tmp_path / f"pack-{me.pid}-{me.start_ticks + 1}-0123456789abcdef"
    (dead_folder / "objects").mkdir(parents=True)
    (dead_folder / "objects" / "x").write_bytes(b"x")
    dead_file = tmp_path / f"join-{2**22 + 1}-5-0123456789abcdef.pack"
    dead_file.write_bytes(b"x")
    foreign = tmp_path / "somebody's notes"
    foreign.mkdir()
    assert sweep_quarantine(tmp_path) == sorted([dead_folder, dead_file])
    assert set(tmp_path.iterdir()) == {mine, foreign}
    assert sweep_quarantine(tmp_path / "none") == []


def test_a_sweep_follows_no_links(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").touch()
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    (tmp / f"pack-{2**22 + 1}-5-0123456789abcdef").symlink_to(target)
    assert len(sweep_quarantine(tmp)) == 1
    assert (target / "file").exists()


def test_removing_twice(tmp_path: Path) -> None:
    folder = make_quarantine(tmp_path, "pack")
    remove_quarantine(folder)
    remove_quarantine(folder)
    assert not folder.exists()


def test_free_space(tmp_path: Path) -> None:
    require_free_space(tmp_path, 0)
    for amounts in ((1 << 62, 0), (0, 1 << 62)):
        with pytest.raises(DiskFull, match="NGIT_HUNT_MIN_FREE_BYTES"):
            require_free_space(tmp_path, *amounts)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), DiskFull),
        (OSError(errno.EDQUOT, "full"), DiskFull),
        (OSError(errno.EACCES, "no"), LocalFailure),
        (RepositoryError("no"), LocalFailure),
    ],
)
def test_failures_of_our_own_are_typed(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught, local_errors("work"):
        raise error
    assert type(caught.value) is expected
