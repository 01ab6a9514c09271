"""git's judgement, and that ours is never milder."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from purgatory_sync.errors import BadPack, DiskFull, LocalFailure, NotClosed, TooLarge
from purgatory_sync.git.ingest.index_git import RECEIVED, child_limits, index_with_git
from purgatory_sync.git.pack.format import COMMIT, TAG, TREE, GitObject
from purgatory_sync.git.pack.fsck_rules import judge_object
from purgatory_sync.git.pack.quick_check import check_object
from purgatory_sync.git.pack.reader import Unsure
from purgatory_sync.git.pack.scan import PackScanner, Scanned
from purgatory_sync.runtime.children import ChildLimits
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..pack.objects_git_judges import BYSTANDERS, ODD_BUT_FINE, REFUSED, USUAL
from ..packs import history, make_repository, name_of, oid_of, write_loose

pytestmark = pytest.mark.real

SMALL = Scanned(
    objects=1, total_bytes=1, largest_bytes=1, named_bases=0, named_base_bytes=0, depth=0
)


def unwatched() -> None:
    """Nothing has to be looked after."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = make_repository(tmp_path_factory.mktemp("furnished") / "odd:\"name'\\ ü.git")
    write_loose(repository, [*BYSTANDERS, *history(2), USUAL["commit"], ODD_BUT_FINE["twice"]])
    write_loose(repository, [object for object in USUAL.values() if object.kind == COMMIT])
    return repository


def index(repository: Path, tmp: Path, objects: Iterable[GitObject]) -> str:
    folder = tmp / os.urandom(8).hex()
    folder.mkdir()
    pack = encode_pack(list(objects))
    (folder / RECEIVED).write_bytes(pack)
    scanner = PackScanner(HuntSettings())
    scanner.feed(pack)
    limits = child_limits(repository, len(pack), scanner.finish()[0], 1 << 20)
    return index_with_git(repository, folder, limits, unwatched)


def accepts(repository: Path, tmp: Path, object: GitObject) -> bool:
    try:
        index(repository, tmp, [object])
    except NotClosed:
        return True
    except BadPack:
        return False
    return True


def test_an_index_that_goes_while_limits_are_found_is_not_counted(tmp_path: Path) -> None:
    """Another program repacks beside us; this is what a look at it then meets."""
    repository = make_repository(tmp_path / "r.git")
    before = child_limits(repository, 1, SMALL, 1)
    (repository / "objects/pack/gone.idx").symlink_to("nowhere")
    assert child_limits(repository, 1, SMALL, 1) == before
    (repository / "objects/pack/here.idx").write_bytes(bytes(1000))
    assert child_limits(repository, 1, SMALL, 1).memory_bytes == before.memory_bytes + 1000


@pytest.mark.parametrize("name", [*USUAL, *ODD_BUT_FINE])
def test_what_we_take_for_sound_git_does_too(repository: Path, tmp_path: Path, name: str) -> None:
    assert accepts(repository, tmp_path, (USUAL | ODD_BUT_FINE)[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_we_refuse_git_does_too(repository: Path, tmp_path: Path, name: str) -> None:
    assert not accepts(repository, tmp_path, REFUSED[name])


MET = [*BYSTANDERS, *history(2), *USUAL.values(), *ODD_BUT_FINE.values()]
KINDS = {name_of(each): each.kind for each in MET}


def mutated(random: random.Random) -> GitObject:
    sources = [o for o in (USUAL | ODD_BUT_FINE).values() if o.kind in (COMMIT, TREE, TAG)]
    kind, data = random.choice(sources)
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(changed) + 1)
        piece = random.choice([b"", b"\n", b"\0", b" ", b"<", b">", b"-", b"0", b"9", b"/", b"."])
        changed[at : at + random.randint(0, 2)] = piece
    return GitObject(kind, bytes(changed))


def test_neither_of_our_judges_is_milder_than_git(repository: Path, tmp_path: Path) -> None:
    source = random.Random(7)
    judged = 0
    while judged < 60:
        object = mutated(source)
        try:
            check_object(*object)
        except Unsure:
            try:
                links = judge_object(*object).links
            except BadPack:
                continue
            if any(KINDS.get(link.name, link.kind) != link.kind for link in links):
                continue  # refused by the closure
        judged += 1
        assert accepts(repository, tmp_path, object), object


ROOMY = ChildLimits(memory_bytes=1 << 32, cpu_secs=60, file_bytes=1 << 30)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("kill -XCPU $$", TooLarge),
        ("kill -XFSZ $$", TooLarge),
        ("kill -SEGV $$", LocalFailure),
        ("echo 'fatal: Out of memory, malloc failed' >&2; exit 128", TooLarge),
        ("echo 'fatal: write error: No space left on device' >&2; exit 128", DiskFull),
        ("echo 'fatal: unable to create file: Permission denied' >&2; exit 128", LocalFailure),
        ("echo 'fatal: pack is corrupted' >&2; exit 128", BadPack),
        ("echo 'fatal: did not receive expected object 12' >&2; exit 128", NotClosed),
        ("echo nonsense", LocalFailure),
        ("exit 128", LocalFailure),
    ],
)
def test_how_git_ended_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: type[Exception]
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    (tmp_path / RECEIVED).write_bytes(b"")
    with pytest.raises(expected) as caught:
        index_with_git(make_repository(tmp_path / "r.git"), tmp_path, ROOMY, unwatched)
    assert type(caught.value) is expected


def test_without_git_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / RECEIVED).write_bytes(b"")
    with pytest.raises(LocalFailure, match="NGIT_HUNT_INGEST"):
        index_with_git(tmp_path, tmp_path, ROOMY, unwatched)


def test_no_configuration_and_no_stand_ins_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(tmp_path / "r.git")
    objects = history(2)
    tip = objects[-1]
    (repository / "shallow").write_text(f"{oid_of(tip)}\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[core]\n\tcompression = nonsense\n[fsck]\n\tdotgit = x\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nonexistent")
    with pytest.raises(NotClosed):
        index(repository, tmp_path, objects[3:])
    assert index(repository, tmp_path, objects).startswith("pack-")
