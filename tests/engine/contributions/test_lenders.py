"""What served repositories lend to pushes below `/prs/`: links, and heads as haves (B 12.6)."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from purgatory_sync.engine.contributions import lenders
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.runtime.folders import make_folder

from ...git.local_repos import Step, history, holes
from ...world import NOW
from ..pushes.pushing_support import state
from .support import HERE, OWNER, Contributing

OTHER, THIRD = "5" * 64, "6" * 64
BASE, MORE = history(6, "base")[:4], history(6, "base")[4:]
MAIN = "refs/heads/main"


async def serve(here: Contributing, steps: list[Step], at: int = NOW - 50) -> None:
    if at == NOW - 50:
        await here.world.announce(OWNER)
    here.world.give(OWNER, steps)
    assert (await here.world.offer(state({MAIN: steps[-1].oid}, at))).accepted


@pytest.fixture
def no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*about: object) -> None:
        raise AssertionError("copied")

    monkeypatch.setattr(shutil, "copy2", refuse)


@pytest.fixture
def other_disk(here: Contributing) -> Iterator[Path]:
    """The owner's folder is a link to another disk."""
    there, git_data = Path("/dev/shm"), here.world.repositories.git_data
    make_folder(git_data)
    if not there.is_dir() or there.stat().st_dev == git_data.stat().st_dev:
        pytest.skip("no second disk here")
    folder = Path(tempfile.mkdtemp(dir=there))
    here.world.path(OWNER).parent.symlink_to(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.usefixtures("no_copies")
async def test_b_12_6_what_cannot_be_linked_lends_nothing(
    here: Contributing, other_disk: Path, autojump_clock: MockClock
) -> None:
    await serve(here, BASE)
    assert here.world.path(OWNER).resolve().is_relative_to(other_disk)
    assert await here.contributor.haves(HERE) == []
    said = await here.refused(MORE, OTHER)
    assert "holes" in said
    await here.push([*BASE, *MORE], OTHER)
    assert holes(here.prs.path(HERE), [*BASE, *MORE]) == []
    assert here.tmp() == []


@pytest.mark.usefixtures("no_copies")
@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
async def test_b_12_6_what_could_not_be_linked_once_is_not_offered_again(
    here: Contributing,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    """As behind a bind mount, which is the same disk, and no link leads there."""
    await serve(here, BASE)
    assert await here.contributor.haves(HERE) == [BASE[-1].oid]
    link = os.link

    def refuse(source: str, target: str, **how: bool) -> None:
        if OWNER.npub in source:
            raise OSError(code, os.strerror(code))
        link(source, target, **how)

    monkeypatch.setattr(os, "link", refuse)
    await here.push(BASE, OTHER)
    assert await here.contributor.haves(HERE) == []


async def test_b_12_6_heads_are_read_again_only_when_refs_were_written(
    here: Contributing, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = list[Path]()

    def counted(path: Path) -> dict[str, str]:
        reads.append(path)
        return list_refs(path)

    monkeypatch.setattr(lenders, "list_refs", counted)
    await serve(here, BASE[:2])
    for _ in range(3):
        assert await here.contributor.haves(HERE) == [BASE[1].oid]
    assert len(reads) == 1
    here.world.give(OWNER, BASE[2:])
    assert (await here.world.offer(state({MAIN: BASE[3].oid}, NOW - 40))).accepted
    for _ in range(3):
        assert await here.contributor.haves(HERE) == [BASE[3].oid]
    assert len(reads) == 2


async def test_b_12_6_another_repository_at_the_same_path_has_heads_of_its_own(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await serve(here, BASE)
    path, ours = here.world.path(OWNER), here.contributor.lenders
    assert ours.newest_heads([path]) == [BASE[-1].oid]
    shutil.rmtree(path)
    here.world.repositories.create(OWNER.pubkey, "repo")
    assert ours.newest_heads([path]) == []


def test_b_12_6_what_is_remembered_of_heads_is_bounded(tmp_path: Path) -> None:
    remembered = lenders.Lenders(tmp_path)._heads
    heads = tuple((n, f"{n:040x}") for n in range(lenders.MOST_HAVES))
    for n in range(1_000):
        remembered.put(tmp_path / str(n), (None, heads))
    assert remembered.weight <= lenders.REMEMBERED_HEADS
