from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from purgatory_sync.errors import BadPack, LocalFailure, NotClosed, TooLarge
from purgatory_sync.git.disk.object_reader import StoredObjects
from purgatory_sync.git.ingest.index_dulwich import index_here, index_with_dulwich
from purgatory_sync.git.ingest.index_git import RECEIVED
from purgatory_sync.runtime.children import ChildLimits
from purgatory_sync.testing.packs import encode_pack

from ..pack.objects_git_judges import BYSTANDERS, EVIL_MODULES, ODD_BUT_FINE, REFUSED, USUAL
from ..packs import blob, history, make_repository, name_of, tree

ROOMY = ChildLimits(memory_bytes=1 << 31, cpu_secs=60, file_bytes=1 << 30)


def unwatched() -> None:
    """Nothing has to be looked after."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "r.git")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    objects = [*BYSTANDERS, *USUAL.values()]
    return make_repository(tmp_path_factory.mktemp("furnished") / "r.git", objects)


def received(tmp_path: Path, pack: bytes) -> Path:
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    (folder / RECEIVED).write_bytes(pack)
    return folder


@pytest.mark.parametrize("name", [*USUAL, *ODD_BUT_FINE])
def test_sound_objects(furnished: Path, tmp_path: Path, name: str) -> None:
    object = (USUAL | ODD_BUT_FINE)[name]
    folder = received(tmp_path, encode_pack([object]))
    index_here(furnished, folder)
    with StoredObjects(folder) as new:
        assert new.read(name_of(object), 10_000) == object


@pytest.mark.parametrize("name", REFUSED)
def test_bad_objects(furnished: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadPack):
        index_here(furnished, received(tmp_path, encode_pack([REFUSED[name]])))


@pytest.mark.parametrize("first", [False, True])
def test_special_files_are_judged_wherever_they_stand(
    repository: Path, tmp_path: Path, first: bool
) -> None:
    root = tree((b"100644", b".gitmodules", EVIL_MODULES))
    objects = [EVIL_MODULES, root] if first else [root, EVIL_MODULES]
    with pytest.raises(BadPack, match="option"):
        index_here(repository, received(tmp_path, encode_pack(objects)))


def test_large_special_files(repository: Path, tmp_path: Path) -> None:
    large = blob(b"#" * ((16 << 20) + 1))
    root = tree((b"100644", b".gitmodules", large))
    with pytest.raises(BadPack, match="large"):
        index_here(repository, received(tmp_path, encode_pack([root, large])))


@pytest.mark.real
@pytest.mark.gitless
def test_in_a_process_of_its_own(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = history(2)
    folder = received(tmp_path, encode_pack(objects))
    name = index_with_dulwich(Path(repository.name), Path(folder.name), ROOMY, unwatched)
    assert (folder / "objects" / "pack" / f"{name}.idx").exists()
    with pytest.raises(NotClosed, match="did not come"):
        index_with_dulwich(
            repository, received(tmp_path, encode_pack(objects[1:])), ROOMY, unwatched
        )


@pytest.mark.real
@pytest.mark.gitless
def test_too_little_memory_is_an_answer(repository: Path, tmp_path: Path) -> None:
    large = blob(bytes(250 << 20))
    folder = received(tmp_path, encode_pack([large]))
    tight = ChildLimits(memory_bytes=256 << 20, cpu_secs=60, file_bytes=1 << 30)
    with pytest.raises(TooLarge, match="memory"):
        index_with_dulwich(repository, folder, tight, unwatched)


@pytest.mark.real
@pytest.mark.gitless
def test_a_process_that_cannot_start(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LocalFailure, match="ended with 1"):
        index_with_dulwich(repository, received(tmp_path, b""), ROOMY, unwatched)
