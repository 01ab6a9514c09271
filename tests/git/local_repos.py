"""Small real repositories, written without git, and a way to die in the middle of work on them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from dulwich.objects import Blob, Commit, ShaFile, Tag, Tree
from dulwich.repo import Repo

from purgatory_sync.git.disk.object_lookup import existing
from purgatory_sync.git.disk.repository import create_bare

MADE_UP = "12" * 20


@attrs.frozen
class Step:
    """One commit with the tree and the blob that are new with it."""

    blob: Blob
    tree: Tree
    commit: Commit

    @property
    def objects(self) -> list[ShaFile]:
        return [self.blob, self.tree, self.commit]

    @property
    def oid(self) -> str:
        return self.commit.id.decode()


def oid_of(item: ShaFile) -> str:
    return item.id.decode()


def not_needed(fd: int) -> None:
    """Instead of fsync, which is slow and matters for power cuts only."""


def new_repository(folder: Path, name: str = "r") -> Path:
    path = folder / "npub" / f"{name}.git"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", not_needed)
        create_bare(path, folder / ".tmp")
    return path


def history(count: int, seed: str = "s") -> list[Step]:
    """Commits on a line, one second apart."""
    steps: list[Step] = []
    for i in range(count):
        blob = Blob.from_string(f"{seed} {i}\n".encode())
        tree = Tree()
        tree.add(b"file", 0o100644, blob.id)
        commit = Commit()
        commit.tree = tree.id
        commit.parents = [steps[-1].commit.id] if steps else []
        commit.author = commit.committer = b"A <a@example.com>"
        commit.author_time = commit.commit_time = 1_700_000_000 + i
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = f"{seed} {i}\n".encode()
        steps.append(Step(blob, tree, commit))
    return steps


def tag_of(target: ShaFile, name: str = "v1") -> Tag:
    tag = Tag()
    tag.object = (type(target), target.id)
    tag.name = name.encode()
    tag.tagger = b"A <a@example.com>"
    tag.tag_time, tag.tag_timezone = 1_700_000_000, 0
    tag.message = b"release\n"
    return tag


def add_pack(path: Path, objects: Iterable[ShaFile], time_secs: float | None = None) -> str:
    """Add one pack; returns its name without extension."""
    folder = path / "objects" / "pack"
    before = set(folder.glob("*.pack"))
    with Repo(str(path)) as repo:
        repo.object_store.add_objects([(item, None) for item in objects])
    (made,) = set(folder.glob("*.pack")) - before
    if time_secs is not None:
        os.utime(made, (time_secs, time_secs))
    return made.stem


def add_loose(path: Path, objects: Iterable[ShaFile]) -> None:
    with Repo(str(path)) as repo:
        for item in objects:
            repo.object_store.add_object(item)


def write_loose_ref(path: Path, name: str, content: str) -> None:
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n")


def holes(path: Path, steps: Sequence[Step]) -> list[str]:
    """Objects that something present names and that are missing."""
    links: dict[str, list[str]] = {}
    for step in steps:
        links[oid_of(step.tree)] = [oid_of(step.blob)]
        links[step.oid] = [oid_of(step.tree), *(p.decode() for p in step.commit.parents)]
    here = existing(path, [*links, *(oid_of(step.blob) for step in steps)])
    return [
        named
        for oid, targets in links.items()
        if oid in here
        for named in targets
        if named not in here
    ]


def git(path: Path, *args: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        ["git", "-C", str(path), *args],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Killed(BaseException):
    """The process is gone: nothing that it meant to do after this is done."""


CHANGES = ("mkdir", "rename", "link", "symlink", "unlink", "rmdir", "fsync", "utime")


def killed_at(monkeypatch: pytest.MonkeyPatch, moment: int, work: Callable[[], object]) -> bool:
    """Run work and die before its n-th change of the disk; whether it died.

    Once dead, every further change is refused, so that no clean-up can help.
    """
    count = 0

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def either(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > moment:
                raise Killed
            return change(*args, **kwargs)

        return either

    with monkeypatch.context() as patch:
        for name in CHANGES:
            change = not_needed if name == "fsync" else getattr(os, name)
            patch.setattr(os, name, dying(change))
        try:
            work()
        except Killed:
            return True
    return False
