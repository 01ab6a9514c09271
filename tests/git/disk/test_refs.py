from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from purgatory_sync.errors import CannotName, RepositoryError
from purgatory_sync.git.disk.ref_files import PackedRef, read_refs
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import list_refs

from ..local_repos import (
    MADE_UP,
    Step,
    add_pack,
    git,
    history,
    killed_at,
    new_repository,
    oid_of,
    tag_of,
    write_loose_ref,
)

MAIN, SIDE, TAG = "refs/heads/main", "refs/heads/side", "refs/tags/v1"
NOSTR = "refs/nostr/" + "a" * 64


@pytest.fixture
def steps() -> list[Step]:
    return history(2)


@pytest.fixture
def path(tmp_path: Path, steps: list[Step]) -> Path:
    path = new_repository(tmp_path)
    tag = tag_of(steps[0].commit)
    add_pack(path, [*steps[0].objects, *steps[1].objects, tag, tag_of(tag, "outer")])
    return path


def test_refs_are_set_moved_and_deleted(path: Path, steps: list[Step]) -> None:
    one, two = steps[0].oid, steps[1].oid
    assert update_refs(path, {MAIN: one, SIDE: one, NOSTR: one})
    assert update_refs(path, {MAIN: two, SIDE: None})
    assert list_refs(path) == {MAIN: two, NOSTR: one}


def test_nothing_is_written_when_nothing_changes(path: Path, steps: list[Step]) -> None:
    assert not update_refs(path, {})
    assert not update_refs(path, {MAIN: None})
    assert not (path / "packed-refs").exists()
    update_refs(path, {MAIN: steps[0].oid})
    before = (path / "packed-refs").stat()
    assert not update_refs(path, {MAIN: steps[0].oid, SIDE: None})
    assert (path / "packed-refs").stat() == before


def test_annotated_tags_are_written_with_what_they_name(path: Path, steps: list[Step]) -> None:
    tag = tag_of(steps[0].commit)
    outer = tag_of(tag, "outer")
    update_refs(
        path, {TAG: oid_of(tag), "refs/tags/v2": oid_of(outer), "refs/tags/l": steps[0].oid}
    )
    assert read_refs(path).packed == {
        TAG: PackedRef(oid_of(tag), steps[0].oid),
        "refs/tags/v2": PackedRef(oid_of(outer), steps[0].oid),
        "refs/tags/l": PackedRef(steps[0].oid),
    }


def test_lines_of_others_are_peeled_when_they_were_not(path: Path, steps: list[Step]) -> None:
    tag = tag_of(steps[0].commit)
    (path / "packed-refs").write_text(f"{oid_of(tag)} {TAG}\n{MADE_UP} refs/tags/gone\n")
    update_refs(path, {MAIN: steps[0].oid})
    assert read_refs(path).packed == {
        MAIN: PackedRef(steps[0].oid),
        TAG: PackedRef(oid_of(tag), steps[0].oid),
        "refs/tags/gone": PackedRef(MADE_UP),
    }


def test_a_missing_object_is_refused_and_nothing_changes(path: Path, steps: list[Step]) -> None:
    with pytest.raises(
        RepositoryError, match=f"1 objects that refs shall name are missing: {MADE_UP}"
    ):
        update_refs(path, {MAIN: steps[0].oid, SIDE: MADE_UP})
    assert list_refs(path) == {}


def test_a_tag_with_a_missing_target_is_refused(tmp_path: Path, steps: list[Step]) -> None:
    path = new_repository(tmp_path)
    tag = tag_of(steps[0].commit)
    add_pack(path, [tag])
    with pytest.raises(RepositoryError, match=r"what the tag .* names is missing"):
        update_refs(path, {TAG: oid_of(tag)})


def test_branches_name_commits_and_tags_anything(path: Path, steps: list[Step]) -> None:
    tag = oid_of(tag_of(steps[0].commit))
    tree, blob = oid_of(steps[0].tree), oid_of(steps[0].blob)
    for oid in (tag, tree, blob):
        with pytest.raises(CannotName, match="can name a commit, not the"):
            update_refs(path, {MAIN: oid})
    assert list_refs(path) == {}
    for oid in (tree, blob, steps[0].oid):
        update_refs(path, {TAG: oid})
        assert list_refs(path) == {TAG: oid}


@pytest.mark.parametrize(
    "name", ["HEAD", "refs/x", "heads/x", "refs/heads/a..b", "refs/heads/x.lock"]
)
def test_names_that_git_refuses_are_refused(path: Path, steps: list[Step], name: str) -> None:
    with pytest.raises(RepositoryError):
        update_refs(path, {name: steps[0].oid})
    assert list_refs(path) == {}


@pytest.mark.parametrize("oid", ["", "0" * 40, "A" * 40, "a" * 64, "ref: refs/heads/main"])
def test_values_that_are_no_object_names_are_refused(path: Path, oid: str) -> None:
    with pytest.raises(RepositoryError, match=r"not 40 lower-case hex digits|missing"):
        update_refs(path, {MAIN: oid})
    assert list_refs(path) == {}


def test_deleting_what_lies_outside_does_nothing(path: Path) -> None:
    assert not update_refs(path, {"refs/heads/../../config": None})
    assert (path / "config").exists()


def test_a_name_that_is_a_folder_of_another_is_refused(path: Path, steps: list[Step]) -> None:
    oid = steps[0].oid
    update_refs(path, {"refs/heads/x": oid})
    with pytest.raises(
        RepositoryError, match="refs/heads/x and refs/heads/x/y cannot both be refs"
    ):
        update_refs(path, {"refs/heads/x/y": oid})
    with pytest.raises(RepositoryError, match="cannot both be refs"):
        update_refs(path, {"refs/tags/a": oid, "refs/tags/a/b": oid})
    assert list_refs(path) == {"refs/heads/x": oid}
    update_refs(path, {"refs/heads/x": None, "refs/heads/x/y": oid})
    update_refs(path, {"refs/heads/x": oid, "refs/heads/x/y": None})
    assert list_refs(path) == {"refs/heads/x": oid}


def test_a_loose_file_does_not_hide_the_new_value(path: Path, steps: list[Step]) -> None:
    one, two = steps[0].oid, steps[1].oid
    write_loose_ref(path, MAIN, one)
    write_loose_ref(path, "refs/heads/deep/er/x", one)
    write_loose_ref(path, "refs/heads/link", f"ref: {MAIN}")
    write_loose_ref(path, "refs/heads/broken", "nothing")
    write_loose_ref(path, "refs/nostr/other", one)
    changes = {MAIN: two, "refs/heads/deep/er/x": None, "refs/heads/deep": two}
    assert update_refs(path, {**changes, "refs/heads/link": one, "refs/heads/broken": one})
    assert list_refs(path) == {
        MAIN: two,
        "refs/heads/deep": two,
        "refs/heads/link": one,
        "refs/heads/broken": one,
        "refs/nostr/other": one,
    }
    assert [p.name for p in (path / "refs" / "heads").iterdir()] == []
    assert (path / "refs" / "nostr" / "other").exists()


def test_a_symbolic_ref_becomes_a_plain_one_even_with_the_same_value(
    path: Path, steps: list[Step]
) -> None:
    update_refs(path, {MAIN: steps[0].oid})
    write_loose_ref(path, SIDE, f"ref: {MAIN}")
    assert update_refs(path, {SIDE: steps[0].oid})
    update_refs(path, {MAIN: steps[1].oid})
    assert list_refs(path)[SIDE] == steps[0].oid


def test_a_missing_repository_is_an_error(tmp_path: Path, steps: list[Step]) -> None:
    with pytest.raises(RepositoryError, match="no git repository"):
        update_refs(tmp_path / "none.git", {MAIN: steps[0].oid})


def test_the_disk_refusing_changes_nothing(
    path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    update_refs(path, {MAIN: steps[0].oid})

    def refuse(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.rename", refuse)
        with pytest.raises(RepositoryError, match=r"cannot write the refs of .*; free some disk"):
            update_refs(path, {MAIN: steps[1].oid})
    assert list_refs(path) == {MAIN: steps[0].oid}
    assert update_refs(path, {MAIN: steps[1].oid})


@pytest.mark.parametrize("loose", [False, True])
def test_killed_anywhere_all_refs_are_old_or_all_are_new(
    tmp_path: Path, path: Path, steps: list[Step], monkeypatch: pytest.MonkeyPatch, loose: bool
) -> None:
    one, two = steps[0].oid, steps[1].oid
    old = {MAIN: one, SIDE: one, "refs/heads/x": one, NOSTR: one}
    changes = {MAIN: two, SIDE: None, "refs/heads/x": None, "refs/heads/x/y": two, TAG: two}
    new = {MAIN: two, "refs/heads/x/y": two, TAG: two, NOSTR: one}
    update_refs(path, {**old, SIDE: two} if loose else old)
    if loose:
        write_loose_ref(path, SIDE, one)
        write_loose_ref(path, "refs/heads/x", one)
    seen = []
    for moment in range(100):
        copy = tmp_path / f"{moment}.git"
        shutil.copytree(path, copy)
        died = killed_at(monkeypatch, moment, partial(update_refs, copy, changes))
        seen.append(list_refs(copy))
        update_refs(copy, changes)
        assert list_refs(copy) == new
        assert sorted(p.name for p in copy.iterdir()) == [
            "HEAD",
            "config",
            "objects",
            "packed-refs",
            "refs",
        ]
        if not died:
            break
    turn = seen.index(new)
    assert seen == [old] * turn + [new] * (len(seen) - turn)
    assert len(seen) > (8 if loose else 4)
    assert turn > 1


@pytest.mark.real
def test_sigkill_leaves_a_repository_that_git_and_we_can_use(path: Path, steps: list[Step]) -> None:
    one, two = steps[0].oid, steps[1].oid
    names = [f"refs/heads/b{i}" for i in range(50)]
    program = (
        "import sys; from pathlib import Path\n"
        "from purgatory_sync.git.disk.refs import update_refs\n"
        "path, one, two = Path(sys.argv[1]), *sys.argv[2:]\n"
        "names = [f'refs/heads/b{i}' for i in range(50)]\n"
        "while True:\n"
        "    for oid in (one, two):\n"
        "        update_refs(path, dict.fromkeys(names, oid)); print('.', flush=True)\n"
    )
    for turns in (1, 4, 7):
        command = [sys.executable, "-c", program, str(path), one, two]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(turns):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        refs = list_refs(path)
        assert list(refs) == sorted(names)
        assert set(refs.values()) in ({one}, {two})
    update_refs(path, dict.fromkeys(names, one))
    update_refs(path, dict.fromkeys(names, two))
    git(path, "pack-refs", "--all")
    git(path, "fsck", "--strict")


@pytest.mark.real
def test_git_reads_what_we_write_and_we_what_git_writes(path: Path, steps: list[Step]) -> None:
    one, two = steps[0].oid, steps[1].oid
    tag = oid_of(tag_of(steps[0].commit))
    git(path, "update-ref", "refs/heads/git", one)
    git(path, "update-ref", "refs/heads/folder/git", one)
    update_refs(
        path,
        {
            MAIN: two,
            TAG: tag,
            "refs/heads/ü": one,
            "refs/heads/folder": one,
            "refs/heads/folder/git": None,
        },
    )
    listed = git(path, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)")
    assert [line.split() for line in listed.splitlines()] == [
        ["refs/heads/folder", one],
        ["refs/heads/git", one],
        ["refs/heads/main", two],
        ["refs/heads/ü", one],
        [TAG, tag, one],
    ]
    git(path, "pack-refs", "--all")
    git(path, "update-ref", "-d", "refs/heads/git")
    git(path, "update-ref", MAIN, one)
    assert not update_refs(path, {MAIN: one, TAG: tag, "refs/heads/ü": one})
    assert list_refs(path) == {"refs/heads/folder": one, MAIN: one, "refs/heads/ü": one, TAG: tag}
    git(path, "fsck", "--strict")
