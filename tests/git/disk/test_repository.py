from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk import repository
from purgatory_sync.git.disk.object_lookup import ObjectLookup
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import (
    UNBORN_HEAD,
    create_bare,
    is_repository,
    list_haves,
    list_refs,
    object_types,
    present_oids,
    read_head,
    remove_repository,
)
from purgatory_sync.refnames import is_valid_refname

from ..local_repos import (
    MADE_UP,
    add_pack,
    git,
    history,
    killed_at,
    new_repository,
    oid_of,
    tag_of,
    write_loose_ref,
)


def test_a_new_repository_is_whole_and_its_head_is_unborn(tmp_path: Path) -> None:
    path, tmp = tmp_path / "npub" / "x.git", tmp_path / ".tmp"
    create_bare(path, tmp)
    assert is_repository(path)
    assert read_head(path) == UNBORN_HEAD
    assert is_valid_refname(UNBORN_HEAD)
    assert UNBORN_HEAD not in ("refs/heads/main", "refs/heads/master")
    assert list_refs(path) == {}
    assert list_haves(path) == []
    assert list(tmp.iterdir()) == []


def test_making_it_again_changes_nothing(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    add_pack(path, step.objects)
    update_refs(path, {"refs/heads/main": step.oid})
    create_bare(path, tmp_path / ".tmp")
    assert list_refs(path) == {"refs/heads/main": step.oid}


def test_an_empty_folder_is_replaced_and_a_full_one_is_not(tmp_path: Path) -> None:
    empty, full = tmp_path / "npub" / "empty.git", tmp_path / "npub" / "full.git"
    empty.mkdir(parents=True)
    create_bare(empty, tmp_path / ".tmp")
    assert is_repository(empty)
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    with pytest.raises(RepositoryError, match="is not a git repository; move it away"):
        create_bare(full, tmp_path / ".tmp")
    assert (full / "thesis.txt").read_text() == "years of work"
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_a_file_in_the_way_is_left(tmp_path: Path) -> None:
    path = tmp_path / "npub" / "x.git"
    path.parent.mkdir()
    path.write_text("a file")
    with pytest.raises(RepositoryError, match="is not a git repository"):
        create_bare(path, tmp_path / ".tmp")
    assert path.read_text() == "a file"


def test_a_foreign_format_in_the_way_is_said(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    with open(path / "config", "a") as file:
        file.write("[extensions]\n\tobjectformat = sha256\n")
    with pytest.raises(RepositoryError, match="sha256"):
        create_bare(path, tmp_path / ".tmp")
    for ask in (present_oids, object_types):
        with pytest.raises(RepositoryError, match="sha256"):
            ask(path, [MADE_UP])
    with pytest.raises(RepositoryError, match="sha256"):
        list_refs(path)


def test_the_second_maker_finds_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tmp = tmp_path / "npub" / "x.git", tmp_path / ".tmp"
    build = repository._build

    def overtaken(building: Path, marks: Mapping[str, bytes]) -> None:
        monkeypatch.setattr(repository, "_build", build)
        create_bare(path, tmp)
        build(building, marks)

    monkeypatch.setattr(repository, "_build", overtaken)
    create_bare(path, tmp)
    assert is_repository(path)
    assert list(tmp.iterdir()) == []


def test_the_folder_above_may_be_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "npub" / "x.git"
    rename = os.rename
    times: list[int] = []

    def removed_once(source: Path, target: Path) -> None:
        if not times:
            times.append(1)
            path.parent.rmdir()
        rename(source, target)

    monkeypatch.setattr(os, "rename", removed_once)
    create_bare(path, tmp_path / ".tmp")
    assert is_repository(path)


def test_a_disk_that_refuses_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "npub" / "x.git"
    with pytest.raises(RepositoryError, match="No space left on device; free some disk space"):
        create_bare(path, tmp_path / ".tmp")
    assert not path.exists()
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_killed_anywhere_a_repository_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in range(100):
        folder = tmp_path / str(moment)
        folder.mkdir()
        path = folder / "npub" / "x.git"
        create = partial(create_bare, path, folder / ".tmp", {"mark": b""})
        died = killed_at(monkeypatch, moment, create)
        assert is_repository(path) or not path.exists()
        create()
        assert read_head(path) == UNBORN_HEAD
        assert (path / "mark").exists()
        if not died:
            break
    assert 8 < moment < 99


def test_what_a_killed_process_leaves_bears_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tmp = tmp_path / "npub" / "x.git", tmp_path / ".tmp"
    assert killed_at(monkeypatch, 6, lambda: create_bare(path, tmp))
    (left,) = tmp.iterdir()
    assert re.fullmatch(rf"new-{os.getpid()}-\d+-[0-9a-f]{{16}}", left.name)


def test_removal_takes_the_empty_folder_above_along(tmp_path: Path) -> None:
    path, other = new_repository(tmp_path, "x"), new_repository(tmp_path, "y")
    remove_repository(path, tmp_path / ".tmp")
    assert not path.exists()
    assert is_repository(other)
    remove_repository(other, tmp_path / ".tmp")
    assert not other.parent.exists()
    remove_repository(other, tmp_path / ".tmp")
    assert list((tmp_path / ".tmp").iterdir()) == []


def test_what_is_no_repository_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(RepositoryError, match="left as it is"):
        remove_repository(tmp_path / "thesis", tmp_path / ".tmp")
    assert (tmp_path / "thesis").is_dir()


def test_killed_anywhere_a_removal_is_done_or_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in range(100):
        folder = tmp_path / str(moment)
        path = new_repository(folder)
        died = killed_at(monkeypatch, moment, partial(remove_repository, path, folder / ".tmp"))
        assert is_repository(path) or not path.exists()
        remove_repository(path, folder / ".tmp")
        assert not path.exists()
        if not died:
            break
    assert 2 < moment < 99


def test_a_missing_repository_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "none.git"
    assert present_oids(path, [MADE_UP]) == frozenset()
    assert object_types(path, [MADE_UP]) == {}
    assert list_refs(path) == {}
    assert list_haves(path) == []
    assert read_head(path) is None


def test_objects_and_their_types(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    (step,) = history(1)
    tag = tag_of(step.commit)
    add_pack(path, [*step.objects, tag])
    assert present_oids(path, [step.oid, MADE_UP]) == {step.oid}
    assert object_types(path, [step.oid, oid_of(step.blob), oid_of(tag), MADE_UP]) == {
        step.oid: "commit",
        oid_of(step.blob): "blob",
        oid_of(tag): "tag",
    }


def test_refs_are_listed_loose_over_packed(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    one, two = history(2)
    add_pack(path, one.objects + two.objects)
    update_refs(path, {"refs/heads/b": one.oid, "refs/heads/a": one.oid, "refs/nostr/x": one.oid})
    write_loose_ref(path, "refs/heads/b", two.oid)
    write_loose_ref(path, "refs/heads/link", "ref: refs/heads/b")
    write_loose_ref(path, "refs/heads/dangling", "ref: refs/heads/none")
    write_loose_ref(path, "refs/heads/broken", "nothing")
    write_loose_ref(path, "refs/heads/b.lock", two.oid)
    write_loose_ref(path, "refs/heads/bad..name", two.oid)
    listed = list_refs(path)
    assert listed == {
        "refs/heads/a": one.oid,
        "refs/heads/b": two.oid,
        "refs/heads/link": two.oid,
        "refs/nostr/x": one.oid,
    }
    assert list(listed) == sorted(listed)


@pytest.mark.parametrize(
    ("content", "head"),
    [
        ("ref: refs/heads/x\n", "refs/heads/x"),
        ("ref:refs/heads/x", "refs/heads/x"),
        ("ref: refs/heads/a b\n", None),
        (f"{MADE_UP}\n", None),
        ("", None),
    ],
)
def test_head_is_read(tmp_path: Path, content: str, head: str | None) -> None:
    path = new_repository(tmp_path)
    (path / "HEAD").write_text(content)
    assert read_head(path) == head


def test_haves_are_the_tips_of_all_refs_newest_first(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    one, two, three = history(3)
    tag, odd = tag_of(one.commit), tag_of(one.tree, "tree")
    add_pack(path, [*one.objects, *two.objects, *three.objects, tag, odd])
    update_refs(
        path,
        {
            "refs/heads/main": two.oid,
            "refs/heads/same": two.oid,
            "refs/tags/v1": oid_of(tag),
            "refs/tags/tree": oid_of(odd),
            "refs/nostr/" + "a" * 64: three.oid,
        },
    )
    write_loose_ref(path, "refs/heads/gone", MADE_UP)
    assert list_haves(path) == [three.oid, two.oid, one.oid]
    assert list_haves(path, limit=2) == [three.oid, two.oid]


@pytest.mark.real
def test_git_takes_a_new_repository_for_what_it_is(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    assert git(path, "rev-parse", "--is-bare-repository") == "true\n"
    assert git(path, "config", "gc.auto") == "0\n"
    assert git(path, "config", "gc.pruneExpire") == "never\n"
    assert git(path, "config", "--type=bool", "uploadpack.allowFilter") == "true\n"
    assert git(path, "fsck") == ""
    git(tmp_path, "-c", "init.defaultBranch=main", "clone", "-q", str(path), "copy")
    assert git(tmp_path / "copy", "symbolic-ref", "HEAD") == "refs/heads/main\n"


@pytest.mark.real
def test_what_git_wrote_is_read(tmp_path: Path) -> None:
    work, path = tmp_path / "work", tmp_path / "r.git"
    git(tmp_path, "init", "-q", "-b", "main", "work")
    name = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    for i in range(5):
        (work / "file").write_text("line\n" * 200 + str(i))
        git(work, "add", "file")
        git(work, *name, "commit", "-q", "-m", str(i))
        git(work, *name, "tag", "-a", "-m", "tag", f"v{i}")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(path))
    git(path, "repack", "-adfq", "--depth=50")
    git(path, "pack-refs", "--all")
    shown = dict(line.split()[::-1] for line in git(path, "show-ref").splitlines())
    assert list_refs(path) == shown
    commits = git(path, "rev-list", "--all").split()
    assert set(list_haves(path)) == set(commits)
    all_objects = git(path, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
    kinds = {line.split()[0]: line.split()[1] for line in all_objects}
    assert object_types(path, list(kinds)) == kinds
    tags = {name: oid for name, oid in shown.items() if name.startswith("refs/tags/")}
    peeled = {
        oid: (git(path, "rev-parse", f"{n}^{{}}").strip(), "commit") for n, oid in tags.items()
    }
    with ObjectLookup(path) as lookup:
        assert {oid: lookup.peel(oid) for oid in tags.values()} == peeled
