"""An owner's folder on another disk than the git folder: copies where no rename can be."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from purgatory_sync.errors import ConfigurationError, RepositoryError
from purgatory_sync.git.disk.repository import SCRATCH, is_repository, list_refs, present_oids
from purgatory_sync.git.folder.disk_probe import DiskTraits, probe_disk
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.release.index.repositories import Repositories
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.packs import encode_pack

from .. import local_repos
from ..packs import blob, history, oid_of

ALICE = Author.from_seed(1)
OTHER_DISK = Path("/dev/shm")
MIB = 1 << 20


@pytest.fixture
def repositories(tmp_path: Path) -> Iterator[Repositories]:
    """The owner's folder is a link to another disk."""
    if not OTHER_DISK.is_dir() or OTHER_DISK.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk here")
    away = Path(tempfile.mkdtemp(dir=OTHER_DISK))
    made = Repositories(tmp_path / "git", trio.CapacityLimiter(4))
    made.git_data.mkdir()
    os.symlink(away, made.path(ALICE.pubkey, "x").parent)
    yield made
    shutil.rmtree(away)


def test_b_2_4_a_repository_is_made_and_removed_there(repositories: Repositories) -> None:
    path = repositories.path(ALICE.pubkey, "x")
    repositories.create(ALICE.pubkey, "x", "1" * 32)
    assert is_repository(path)
    assert repositories.was_made(path, "1" * 32)
    assert repositories.remove_made_empty(ALICE.pubkey, "x", "1" * 32)
    assert not path.exists()
    assert [list(folder.iterdir()) for folder in repositories.scratch_folders()] == [[], []]
    assert path.parent / SCRATCH in repositories.scratch_folders()


@pytest.mark.parametrize("size", [1, 2 * MIB])
async def test_b_7_2_small_and_large_packs_join_there(
    repositories: Repositories, size: int
) -> None:
    repositories.create(ALICE.pubkey, "x")
    path = repositories.path(ALICE.pubkey, "x")
    content = blob(os.urandom(size))
    settings = HuntSettings(min_free_bytes=0)
    async with Ingest(settings, repositories.tmp).open_sink(path) as sink:
        await sink.write(encode_pack([content, *history(2)]))
        quarantined = await sink.prove([oid_of(content)])
        await quarantined.join()
    assert present_oids(path, {oid_of(content)}) == {oid_of(content)}
    names = sorted(each.suffix for each in (path / "objects/pack").iterdir())
    assert names == [".idx", ".pack"]
    assert list(repositories.tmp.iterdir()) == []


def test_objects_are_gathered_across_disks(repositories: Repositories, tmp_path: Path) -> None:
    bob = Author.from_seed(2)
    (step,) = local_repos.history(1)
    for author in (ALICE, bob):
        repositories.create(author.pubkey, "x")
    there, here = (repositories.path(author.pubkey, "x") for author in (ALICE, bob))
    local_repos.add_pack(here, step.objects)
    assert repositories.gather([here], there, [step.oid]) == {step.oid}


def test_a_repository_that_is_a_link_is_not_removed_behind_it(
    repositories: Repositories, tmp_path: Path
) -> None:
    repositories.create(ALICE.pubkey, "x", "1" * 32)
    path = repositories.path(ALICE.pubkey, "x")
    shutil.move(path, tmp_path / "moved.git")
    os.symlink(tmp_path / "moved.git", path)
    with pytest.raises(RepositoryError, match=r"is a link to .*moved\.git"):
        repositories.remove(ALICE.pubkey, "x")
    assert list_refs(path) == {}


def test_the_usual_disk_has_nothing_unusual(tmp_path: Path) -> None:
    assert probe_disk(tmp_path / ".tmp") == DiskTraits()
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_disk_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "git").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="choose another NGIT_GIT_DATA_PATH"):
        probe_disk(tmp_path / "git" / ".tmp")


def test_b_1_1_names_that_the_disk_takes_for_one_are_two_or_refused(tmp_path: Path) -> None:
    """A folder that answers to another name, as on a disk that does not tell capitals apart."""
    made = Repositories(tmp_path, trio.CapacityLimiter(4))
    made.exact_names = False
    made.create(ALICE.pubkey, "Name")
    assert made.exists(ALICE.pubkey, "Name")
    made._require_exact_name(made.path(ALICE.pubkey, "Name"))
    with pytest.raises(RepositoryError, match=r"takes .* for another name"):
        made._require_exact_name(made.path(ALICE.pubkey, "name"))
