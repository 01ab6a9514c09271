"""Deleted repositories on the disk: their names, and the way there and back (B 13.10)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.repository import create_bare
from purgatory_sync.git.folder.retained import (
    Retained,
    bring_back,
    date_anew,
    find_retained,
    remove_retained,
    retain,
)

AT = 1_800_000_000


def made(folder: Path, name: str, owner: str = "npub1x") -> Path:
    path = folder / owner / name
    create_bare(path, folder / ".tmp")
    return path


def seen(folder: Path) -> list[tuple[str, str, int]]:
    return [(each.folder, each.name, each.at) for each in find_retained(folder)]


@pytest.mark.parametrize("stem", ["repo", "x.git", "ü 1.5", "1800000000", "x" * 251, "é" * 125])
def test_b_13_10_every_name_goes_and_comes_back(tmp_path: Path, stem: str) -> None:
    path = made(tmp_path, f"{stem}.git")
    (path / "mark").touch()
    kept = retain(path, tmp_path, AT)
    assert not path.parent.exists()
    assert seen(tmp_path) == [("npub1x", f"{stem}.git", AT)]
    (found,) = find_retained(tmp_path, "npub1x")
    assert found == Retained(kept, "npub1x", f"{stem}.git", AT)
    assert bring_back(found, path)
    assert (path / "mark").exists()
    assert (seen(tmp_path), os.listdir(tmp_path / ".deleted")) == ([], [])


@pytest.mark.parametrize("stem", ["repo", "x" * 251])
def test_b_13_10_deleted_twice_within_a_second_both_stay(tmp_path: Path, stem: str) -> None:
    for _ in range(2):
        retain(made(tmp_path, f"{stem}.git"), tmp_path, AT)
    retain(made(tmp_path, f"{stem}.git", "npub1y"), tmp_path, AT - 5)
    assert [(each[0], each[2]) for each in seen(tmp_path)] == [
        ("npub1y", AT - 5),
        ("npub1x", AT),
        ("npub1x", AT + 1),
    ]
    for each in find_retained(tmp_path):
        date_anew(each, AT - 100)
    assert {each[2] for each in seen(tmp_path)} == {AT - 100, AT - 99}
    for each in find_retained(tmp_path):
        remove_retained(each, tmp_path / ".tmp")
    assert os.listdir(tmp_path / ".deleted") == []


def test_b_13_10_an_owner_on_another_disk_keeps_his_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = made(tmp_path, "repo.git"), os.rename

    def other_disk(source: Path, target: Path) -> None:
        if str(target).startswith(str(tmp_path / ".deleted")):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", other_disk)
    assert retain(path, tmp_path, AT) == path.parent / ".deleted" / f"repo.{AT}"
    (found,) = find_retained(tmp_path)
    assert (found.folder, found.name) == ("npub1x", "repo.git")
    assert bring_back(found, path)
    assert os.listdir(path.parent) == ["repo.git"]


def test_b_13_10_an_owners_folder_that_leaves_meanwhile_keeps_none_from_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another repository of the owner is removed at the same moment, and the empty folder too."""
    path, mkdir, taken = made(tmp_path, "repo.git"), Path.mkdir, list[Path]()

    def mkdir_then_lose(folder: Path, *args: object, **how: object) -> None:
        mkdir(folder, *args, **how)  # type: ignore[arg-type]
        if folder.name == "npub1x" and folder not in taken:
            taken.append(folder)
            folder.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir_then_lose)
    retain(path, tmp_path, AT)
    (found,) = find_retained(tmp_path)
    assert bring_back(found, path)
    assert taken == [tmp_path / ".deleted/npub1x", tmp_path / "npub1x"]
    assert path.exists()


def test_b_13_10_a_link_and_what_is_no_repository_stay(tmp_path: Path) -> None:
    path = made(tmp_path, "repo.git")
    link = tmp_path / "npub1x/link.git"
    link.symlink_to(path)
    with pytest.raises(RepositoryError, match="is a link"):
        retain(link, tmp_path, AT)
    for name in ("notes.5", "repo", "5"):
        (tmp_path / ".deleted/npub1x" / name).mkdir(parents=True)
    (tmp_path / ".deleted/npub1x/file.7").touch()
    assert seen(tmp_path) == []
