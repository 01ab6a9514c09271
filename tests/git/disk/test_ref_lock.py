from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.ref_lock import STALE_AFTER_SECS, exclusive, git_lock, replace_file

from ..local_repos import new_repository


def test_git_finds_the_lock_while_it_is_held(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    lock = path / "packed-refs.lock"
    with exclusive(path), git_lock(path, "packed-refs"):
        with pytest.raises(FileExistsError):
            os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        replace_file(path, "packed-refs", b"new")
    assert not os.path.lexists(lock)
    assert (path / "packed-refs").read_bytes() == b"new"
    assert not (path / "purgatory-sync.new").exists()


@pytest.mark.parametrize("config", [True, False], ids=["config", "no config"])
def test_a_lock_that_our_killed_process_left_is_taken_over(tmp_path: Path, config: bool) -> None:
    path = new_repository(tmp_path)
    if not config:
        (path / "config").unlink()
    lock = path / "packed-refs.lock"
    with exclusive(path), git_lock(path, "packed-refs"):
        os.link(lock, path / "kept", follow_symlinks=False)
    os.rename(path / "kept", lock)
    with exclusive(path), git_lock(path, "packed-refs"):
        assert os.path.lexists(lock)
    assert not os.path.lexists(lock)


def test_a_lock_makes_no_new_file(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    with exclusive(path), git_lock(path, "HEAD"):
        assert (path / "HEAD.lock").samefile(path / "config")


def test_what_is_ours_in_a_lock_changes_no_config(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    before = (path / "config").read_bytes()
    with exclusive(path), git_lock(path, "HEAD"):
        replace_file(path, "HEAD", b"ref: refs/heads/other\n")
    assert (path / "config").read_bytes() == before
    assert (path / "config").stat().st_nlink == 1


def test_the_lock_of_another_program_is_respected_until_it_is_old(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    lock = path / "HEAD.lock"
    lock.touch()
    with exclusive(path):
        with pytest.raises(RepositoryError, match=r"another program holds .*HEAD\.lock; remove it"):
            git_lock(path, "HEAD").__enter__()
        assert lock.exists()
        old = time.time() - STALE_AFTER_SECS - 1
        os.utime(lock, (old, old))
        with git_lock(path, "HEAD"):
            assert lock.stat().st_mtime != old
    assert not lock.exists()


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    order: list[str] = []

    def second() -> None:
        order.append("asks")
        with exclusive(path):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(path):
        thread.start()
        thread.join(0.02)
        order.append("first")
    thread.join(10)
    assert order == ["asks", "first", "second"]


def test_a_writer_that_waited_for_a_removed_repository_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = new_repository(tmp_path)
    opened = os.open

    def replaced_after(name: Path, flags: int) -> int:
        fd = opened(name, flags)
        path.rename(tmp_path / "gone")
        new_repository(tmp_path)
        return fd

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", replaced_after_once(replaced_after, opened))
        with pytest.raises(RepositoryError, match="was replaced meanwhile"):
            exclusive(path).__enter__()


def replaced_after_once(first: object, then: object) -> object:
    todo = [first]

    def either(*args: object, **kwargs: object) -> object:
        chosen = todo.pop() if todo else then
        assert callable(chosen)
        return chosen(*args, **kwargs)

    return either
