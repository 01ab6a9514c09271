"""Packs beyond memory, on their way into quarantine while git already works on them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.errors import BadPack, LocalFailure, NotClosed, TooLarge
from purgatory_sync.git.ingest import index_git
from purgatory_sync.git.ingest.index_git import RECEIVED
from purgatory_sync.git.ingest.large_pack import LargePack
from purgatory_sync.git.ingest.quarantine import sweep_quarantine
from purgatory_sync.git.ingest.sink import Ingest, PackSink
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.runtime.children import Child, ChildLimits
from purgatory_sync.settings import MIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import PackBuilder, blob, delta, history, make_repository, name_of, oid_of, write_loose
from .judges import Way

GIT = HuntSettings(min_free_bytes=0, ingest="git")


def large_history() -> list[GitObject]:
    return [blob(os.urandom(2 * MIB)), *history(2)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r.git")


def spilled(ingest: Ingest) -> list[Path]:
    return list(ingest.tmp.glob(f"*/{RECEIVED}"))


def being_written(ingest: Ingest) -> list[Path]:
    return list(ingest.tmp.glob("*/objects/pack/tmp_pack_*"))


async def write(sink: PackSink, pack: bytes, piece_bytes: int = 65536) -> None:
    for at in range(0, len(pack), piece_bytes):
        await sink.write(pack[at : at + piece_bytes])


@pytest.mark.real
async def test_git_writes_the_pack_while_it_comes(repository: Path, tmp_path: Path) -> None:
    objects = large_history()
    pack = encode_pack(objects)
    ingest = Ingest(GIT, tmp_path / "tmp")
    async with ingest.open_sink(repository) as sink:
        await write(sink, pack[:-100])
        assert spilled(ingest) == []
        with trio.fail_after(10):
            while not being_written(ingest):  # noqa: ASYNC110 - git makes it
                await trio.sleep(0.005)
        await sink.write(pack[-100:])
        async with await sink.prove([oid_of(objects[-1])]) as proven:
            assert proven.obtained == {oid_of(objects[-1])}
            assert (proven.objects, proven.pack_bytes) == (len(objects), len(pack))
            await proven.join()
    assert list(ingest.tmp.iterdir()) == []


@pytest.mark.real
async def test_places_for_waiting_gits_are_few_and_come_back(
    repository: Path, tmp_path: Path
) -> None:
    objects = large_history()
    pack = encode_pack(objects)
    ingest = Ingest(GIT, tmp_path / "tmp")
    sinks = [ingest.open_sink(repository) for _ in range(5)]
    for sink in sinks:
        await write(sink, pack[: 3 * MIB // 2])
    assert len(spilled(ingest)) == 1
    await write(sinks[-1], pack[3 * MIB // 2 :])
    with trio.fail_after(10):
        await (await sinks[-1].prove([])).discard()
    await write(sinks[0], pack[3 * MIB // 2 :])
    await (await sinks[0].prove([])).discard()
    sinks.append(ingest.open_sink(repository))
    await write(sinks[-1], pack[: 3 * MIB // 2])
    assert spilled(ingest) == []
    for sink in sinks:
        await sink.aclose()
    sinks = [ingest.open_sink(repository) for _ in range(4)]
    for sink in sinks:
        await write(sink, pack[: 3 * MIB // 2])
    assert spilled(ingest) == []
    for sink in sinks:
        await sink.aclose()
    assert list(ingest.tmp.iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("missing", "expected"), [(None, None), (0, None), (1, NotClosed), (3, NotClosed)]
)
def test_git_judges_alike_with_and_without_a_file(
    repository: Path,
    tmp_path: Path,
    stream: bool,
    missing: int | None,
    expected: type[Exception] | None,
) -> None:
    objects = large_history()
    if missing is not None:
        del objects[missing]
    large = LargePack(GIT, repository, tmp_path)
    try:
        scanned = large.scan(encode_pack(objects))
        large.begin(stream=stream)
        large.hand_on(scanned)
        if expected is None:
            assert large.judge().objects == len(objects)
        else:
            with pytest.raises(expected):
                large.judge()
    finally:
        large.stop()


@pytest.mark.real
async def test_a_chain_through_names_is_measured(repository: Path, tmp_path: Path) -> None:
    contents = [b"%030d" % number for number in range(9)]
    pack = PackBuilder()
    pack.add(blob(contents[0]))
    for base, new in pairwise(contents):
        pack.ref_delta(name_of(blob(base)), delta(base, new))
    for depth, fine in ((8, True), (7, False)):
        settings = attrs.evolve(GIT, max_delta_depth=depth)
        async with Ingest(settings, tmp_path / "tmp").open_sink(repository) as sink:
            await sink.write(pack.build())
            if fine:
                await (await sink.prove([])).discard()
            else:
                with pytest.raises(TooLarge, match="chain"):
                    await sink.prove([])


@pytest.mark.real
async def test_no_judge_is_started_for_what_the_scan_refuses(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not(*args: object, **kwargs: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(index_git, "Child", must_not)
    async with Ingest(GIT, tmp_path / "tmp").open_sink(repository) as sink:
        with pytest.raises(BadPack):
            await write(sink, b"PACK\0\0\0\2\0\0\0\1" + bytes(2 * MIB))


@pytest.mark.real
async def test_git_is_started_where_it_may_live(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker thread may end before the pack has come, and its children die with it."""
    threads = []

    class Noted(Child):
        def __init__(self, *args: object, **kwargs: object) -> None:
            threads.append(threading.current_thread())
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(index_git, "Child", Noted)
    async with Ingest(GIT, tmp_path / "tmp").open_sink(repository) as sink:
        await write(sink, encode_pack(large_history()))
    assert threads == [threading.current_thread()]


@pytest.mark.real
async def test_limits_are_those_of_the_settings_and_then_of_the_pack(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[ChildLimits] = []

    class Noted(Child):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)  # type: ignore[arg-type]
            limits.append(kwargs["limits"])  # type: ignore[arg-type]

        def tighten(self, tighter: ChildLimits) -> None:
            super().tighten(tighter)
            limits.append(tighter)

    monkeypatch.setattr(index_git, "Child", Noted)
    pack = encode_pack(large_history())
    async with Ingest(GIT, tmp_path / "tmp").open_sink(repository) as sink:
        await write(sink, pack)
        await (await sink.prove([])).discard()
    first, last = limits
    assert last.memory_bytes < 550 * MIB < first.memory_bytes
    assert last.cpu_secs == 60
    assert len(pack) + 64 * MIB <= last.file_bytes < len(pack) + 65 * MIB
    assert first.file_bytes > GIT.max_pack_bytes


@pytest.mark.real
async def test_a_git_that_breaks_off_is_noticed_at_once(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'fatal: Input/output error' >&2; exit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    async with Ingest(GIT, tmp_path / "tmp").open_sink(repository) as sink:
        with pytest.raises(LocalFailure, match="Input/output error"):
            await write(sink, encode_pack([blob(os.urandom(9 * MIB))]))


def test_nothing_is_taken_before_it_begins(repository: Path, tmp_path: Path) -> None:
    large = LargePack(GIT, repository, tmp_path)
    with pytest.raises(LocalFailure):
        large.take(encode_pack(history(1)))
    with pytest.raises(LocalFailure):
        large.judge()
    large.stop()


HALF = """
import sys, trio
from pathlib import Path
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.settings import HuntSettings
from tests.git.ingest.test_large_pack import large_history, encode_pack
async def main(repository, tmp, ingest):
    settings = HuntSettings(min_free_bytes=0, ingest=ingest)
    async with Ingest(settings, Path(tmp)).open_sink(Path(repository)) as sink:
        await sink.write(encode_pack(large_history())[:-50])
        await sink.write(b"")
        print("half", flush=True)
        await trio.sleep_forever()
trio.run(main, *sys.argv[1:])
"""


@pytest.mark.real
@pytest.mark.parametrize("ingest", ["git", pytest.param("dulwich", marks=pytest.mark.gitless)])
def test_what_the_killed_left_is_swept_and_what_the_living_have_is_not(
    repository: Path, tmp_path: Path, ingest: str
) -> None:
    tmp = tmp_path / "tmp"
    command = [sys.executable, "-c", HALF, str(repository), str(tmp), ingest]
    here = Path(__file__).parents[3]
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=here) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"half\n"
        doomed, living = processes
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
        (left,) = sweep_quarantine(tmp)
        assert f"-{doomed.pid}-" in left.name
        (kept,) = tmp.iterdir()
        assert f"-{living.pid}-" in kept.name
        assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


async def test_an_increment_is_judged_by_what_is_here(way: Way) -> None:
    objects = history(2)
    write_loose(way.repository, objects[:3])
    content = blob(os.urandom(2 * MIB))
    pack = encode_pack([content, *objects[3:]])
    async with Ingest(way.settings, way.tmp).open_sink(way.repository) as sink:
        await write(sink, pack)
        async with await sink.prove([oid_of(objects[-1])]) as proven:
            assert proven.obtained == {oid_of(objects[-1])}
