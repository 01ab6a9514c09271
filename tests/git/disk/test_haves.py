"""What is here is not sent again, known to the server or not; bytes are counted."""

import subprocess
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.git.disk.haves import MAX_HAVES, Haves, _Step, list_history
from purgatory_sync.git.disk.repository import create_bare, list_haves
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.git_server import GitServer

from ..local_repos import MADE_UP, add_pack, git, history, new_repository, write_loose_ref
from ..scripted import Observed


def repository_with(tmp_path: Path, count: int) -> tuple[Path, list[str]]:
    steps = history(count)
    path = new_repository(tmp_path)
    add_pack(path, [item for step in steps for item in step.objects])
    write_loose_ref(path, "refs/heads/main", steps[-1].oid)
    return path, [step.oid for step in steps]


def test_commits_behind_the_tips_are_told_ever_further_apart(tmp_path: Path) -> None:
    path, oids = repository_with(tmp_path, 60)
    told = [oids.index(oid) for oid in list_history(path, [oids[-1]])]
    assert told[:10] == [59, 58, 57, 56, 55, 54, 53, 52, 50, 48]
    assert told[10:] == [46, 44, 42, 40, 38, 36, 33, 30, 27, 24, 21, 18, 15, 12, 8, 4, 0]


@pytest.mark.parametrize("count", [1, 10, 22, 59])
def test_where_history_begins_is_told_always(count: int, tmp_path: Path) -> None:
    path, oids = repository_with(tmp_path, count)
    assert list_history(path, [oids[-1]])[-1] == oids[0]


def gap_of(step: _Step) -> int:
    return next(n for n in range(10_000) if attrs.evolve(step, left_out=n).is_told)


def test_even_far_behind_something_is_told() -> None:
    gaps = [0, 1, 7, 8, 111, 112, 113, 115, 120]
    steps = [_Step(0, "", ("x",), told, 0) for told in gaps]
    assert [gap_of(step) for step in steps] == [0, 0, 0, 1, 13, 14, 14, 28, 224]


def test_what_the_server_has_comes_first_and_ends_the_walk(tmp_path: Path) -> None:
    path, oids = repository_with(tmp_path, 60)
    told = list_history(path, [oids[-1]], [MADE_UP, oids[56]])
    assert [oids.index(oid) for oid in told] == [56, 59, 58, 57]


def test_haves_are_bounded_in_number(tmp_path: Path) -> None:
    path, oids = repository_with(tmp_path, 400)
    told = list_history(path, oids[::-1])
    assert len(told) == len(set(told)) == MAX_HAVES
    assert told[: MAX_HAVES // 2] == oids[: -MAX_HAVES // 2 - 1 : -1]
    assert list_history(path, [oids[0]]) == [oids[0]]


def test_merges_are_walked_once(tmp_path: Path) -> None:
    path, oids = repository_with(tmp_path, 40)
    for number in range(20):
        write_loose_ref(path, f"refs/nostr/{number:064x}", oids[number * 2])
    tips = list_haves(path)
    told = list_history(path, tips)
    assert set(tips) <= set(told) <= set(oids)


async def test_nothing_here_is_told_without_a_look(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    haves = await Haves.of(path, trio.CapacityLimiter(1))
    assert haves.tips == ()
    assert await haves.with_history([MADE_UP]) == ()


def commits(branch: str, start: str, count: int, of: str) -> bytes:
    """A stream for fast-import: commits on a branch, each with a kilobyte of its own."""
    lines = []
    for number in range(count):
        text = f"{of} {number} ".encode() * 100
        origin = start if number == 0 else ""
        lines.append(
            b"commit refs/heads/%b\ncommitter A <a@example.com> %d +0000\ndata 2\nc\n"
            % (branch.encode(), 1_700_000_000 + number)
            + (b"from %b\n" % origin.encode() if origin else b"")
            + b"M 100644 inline %b%d\ndata %d\n%b\n" % (of.encode(), number % 20, len(text), text)
        )
    return b"".join(lines)


def feed(path: Path, stream: bytes) -> None:
    subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input=stream, check=True)


def tip(path: Path, ref: str) -> str:
    return git(path, "rev-parse", ref).strip()


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Path, Path]:
    """A repository here, and one there that left our history 300 commits ago."""
    there, here = tmp_path / "upstream" / "r.git", tmp_path / "here" / "r.git"
    for path in (there, here):
        create_bare(path, tmp_path / "tmp")
        feed(path, commits("main", "", 300, "shared"))
    feed(here, commits("main", "refs/heads/main^0", 300, "ours"))
    return there, here


@pytest.mark.real
@pytest.mark.parametrize("protocol_v2", [True, False])
@pytest.mark.parametrize("lacking", [False, True])
@pytest.mark.parametrize("orphan", [False, True])
async def test_an_increment_downloads_nothing_that_is_here(
    protocol_v2: bool, lacking: bool, orphan: bool, apart: tuple[Path, Path], tmp_path: Path
) -> None:
    there, here = apart
    if orphan:  # history that none of our branches holds any more
        git(here, "update-ref", f"refs/nostr/{'1' * 64}", "refs/heads/main")
        git(here, "update-ref", "-d", "refs/heads/main")
    feed(there, commits("pr", "refs/heads/main^0", 2, "theirs"))
    wanted = [tip(there, "refs/heads/pr"), *([MADE_UP] if lacking else [])]
    observer = Observed()
    settings = HuntSettings(min_free_bytes=0)
    gate = Gate(networks("127.0.0.0/8"))
    async with (
        GitServer(there.parent, protocol_v2=protocol_v2) as server,
        GitClient(settings, gate, tmp_path / "tmp") as client,
        await client.fetch_oids(here, server.url("r.git"), wanted, observer) as proven,
    ):
        assert proven.obtained == {wanted[0]}
        assert proven.objects == 6
        await proven.join()
    assert observer.pack_bytes < 2_000
    assert len(server.requests) <= (3 if protocol_v2 else 4)
    git(here, "fsck", "--strict", "--connectivity-only", wanted[0])
