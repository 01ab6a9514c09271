"""What becomes of a pack whose judge ends at a limit, is killed, or finds the disk full."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace

import attrs
import pytest
import trio

from purgatory_sync.errors import AttemptFailed, DiskFull, LocalFailure, TooLarge
from purgatory_sync.git.ingest import index_dulwich, large_pack, quarantine, sink
from purgatory_sync.git.ingest.index_dulwich import index_with_dulwich
from purgatory_sync.git.ingest.index_git import RECEIVED, index_with_git
from purgatory_sync.git.ingest.large_pack import Indexer
from purgatory_sync.git.ingest.sink import Ingest, PackSink
from purgatory_sync.runtime.children import ChildLimits
from purgatory_sync.settings import GIB, MIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import PackBuilder, blob, copying_delta, make_repository, oid_of

ROOMY = ChildLimits(memory_bytes=2 * GIB, cpu_secs=60, file_bytes=GIB)

both_ways = pytest.mark.parametrize(
    ("ingest", "index"),
    [
        pytest.param("git", index_with_git, marks=pytest.mark.real),
        pytest.param("dulwich", index_with_dulwich, marks=[pytest.mark.real, pytest.mark.gitless]),
    ],
    ids=["git", "dulwich"],
)


def random_file() -> bytes:
    return encode_pack([blob(Random(1).randbytes(3 * MIB))])


def large_delta() -> bytes:
    """A delta whose result no judge can judge without having it in memory."""
    pack = PackBuilder()
    base = pack.add(blob(bytes(65536)))
    pack.ofs_delta(base, copying_delta(65536, 200 * MIB // 65536))
    return pack.build()


async def prove(sink: PackSink, pack: bytes) -> None:
    await sink.write(pack)
    await (await sink.prove([])).discard()


@attrs.frozen
class Place:
    """A repository, its quarantine, and what a judge may use there."""

    repository: Path
    tmp: Path

    async def refusal(self, ingest: str, pack: bytes) -> AttemptFailed:
        """Why the pack is refused; nothing may be left of it."""
        settings = HuntSettings(min_free_bytes=0, ingest=ingest)  # type: ignore[arg-type]
        before = sorted(self.repository.rglob("*"))
        async with Ingest(settings, self.tmp).open_sink(self.repository) as sink:
            with pytest.raises(AttemptFailed) as caught:
                await prove(sink, pack)
        assert sorted(self.repository.rglob("*")) == before
        assert os.listdir(self.tmp) == []
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(make_repository(tmp_path / "r.git"), tmp_path / "tmp")


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what judges may use."""

    def limit(**changes: int) -> None:
        limits = attrs.evolve(ROOMY, **changes)
        monkeypatch.setattr(large_pack, "child_limits", lambda *args: limits)

    return limit


@both_ways
@pytest.mark.parametrize(
    ("pack", "limit"),
    [
        (random_file, {"file_bytes": MIB}),
        (large_delta, {"memory_bytes": 120 * MIB}),
        (random_file, {"cpu_secs": 0}),
    ],
    ids=["file size", "address space", "processor time"],
)
async def test_a_judge_that_needs_too_much(
    place: Place,
    limited: Callable[..., None],
    ingest: str,
    index: Indexer,
    pack: Callable[[], bytes],
    limit: dict[str, int],
) -> None:
    limited(**limit)
    error = await place.refusal(ingest, pack())
    assert type(error) is TooLarge, error


@both_ways
@pytest.mark.parametrize("mebibytes", [2, 6, 12, 24, 40])
async def test_a_judge_that_cannot_even_start_blames_no_server(
    place: Place, limited: Callable[..., None], ingest: str, index: Indexer, mebibytes: int
) -> None:
    limited(memory_bytes=mebibytes * MIB)
    error = await place.refusal(ingest, large_delta())
    assert type(error) in (LocalFailure, TooLarge), error


def put_in_place_of(name: str, tmp_path: Path, script: str) -> Path:
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@pytest.mark.real
@pytest.mark.gitless
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("kill -KILL $$", LocalFailure),
        ("kill -SEGV $$", LocalFailure),
        ("kill -XCPU $$", TooLarge),
        ("kill -XFSZ $$", TooLarge),
        ("echo 'MemoryError' >&2; exit 1", TooLarge),
        ("echo 'DiskFull: no space left'; exit 3", DiskFull),
        ("echo 'SystemExit: 5'; exit 3", LocalFailure),
        ("echo 'ImportError: no dulwich' >&2; exit 1", LocalFailure),
        ("exit 127", LocalFailure),
    ],
)
async def test_how_dulwichs_process_ended_is_understood(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    expected: type[Exception],
) -> None:
    program = put_in_place_of("python", tmp_path, script)
    monkeypatch.setattr(sys, "executable", str(program))
    # Such a pack is not judged in memory.
    error = await place.refusal("dulwich", random_file())
    assert type(error) is expected, error


@pytest.mark.real
async def test_a_git_that_was_killed_blames_no_server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = put_in_place_of("git", tmp_path, f"cat >/dev/null; kill -{signal.SIGKILL} $$")
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    error = await place.refusal("git", random_file())
    assert type(error) is LocalFailure, error


async def test_a_disk_that_is_full_when_a_pack_is_written_down(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quarantine.make_quarantine

    def on_a_full_disk(tmp: Path, kind: str) -> Path:
        folder = real(tmp, kind)
        (folder / RECEIVED).symlink_to("/dev/full")
        return folder

    monkeypatch.setattr(sink, "make_quarantine", on_a_full_disk)
    error = await place.refusal("dulwich", random_file())
    assert type(error) is DiskFull, error


@pytest.mark.parametrize("failing", ["write_pack_index_v2", "extend_pack"])
def test_a_disk_that_is_full_when_dulwich_writes(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(index_dulwich, failing, full)
    (tmp_path / RECEIVED).write_bytes(encode_pack([blob(b"x")]))
    with pytest.raises(DiskFull):
        index_dulwich.index_here(place.repository, tmp_path)


async def test_a_disk_that_fills_up_before_a_small_pack_is_judged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1 << 40
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1))
    settings = HuntSettings(min_free_bytes=1)
    sound = blob(b"x")
    async with Ingest(settings, place.tmp).open_sink(place.repository) as sink:
        await sink.write(encode_pack([sound]))
        free = 0
        with pytest.raises(DiskFull, match="NGIT_HUNT_MIN_FREE_BYTES"):
            await sink.prove([oid_of(sound)])
    assert not place.tmp.exists()


@pytest.mark.real
@pytest.mark.gitless
async def test_cancelling_ends_dulwichs_process_and_all_that_it_started(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = tmp_path / "sleeper"
    script = f"sleep 1000 & echo $! > {sleeper}.new; mv {sleeper}.new {sleeper}; wait"
    monkeypatch.setattr(sys, "executable", str(put_in_place_of("python", tmp_path, script)))
    settings = HuntSettings(min_free_bytes=0, ingest="dulwich")
    async with trio.open_nursery() as nursery:
        sink = Ingest(settings, place.tmp).open_sink(place.repository)
        async with sink:
            nursery.start_soon(prove, sink, random_file())
            with trio.fail_after(20):
                while not sleeper.exists():  # noqa: ASYNC110 - another process makes it
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
    assert os.listdir(place.tmp) == []
    pid = int(sleeper.read_text())
    with trio.fail_after(10):
        while runs(pid):  # noqa: ASYNC110 - another process ends
            await trio.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
