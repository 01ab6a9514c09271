"""Who may write refs now: one of us at a time, and never beside a git that does the same.

Two locks, because neither is enough alone. `flock` on the repository's folder keeps our own writers
apart and is freed by the kernel when one is killed. `<file>.lock` is what git itself honours; ours
is another name of the repository's `config`, which only we make and which needs no new file;
where that cannot be, a symbolic link with a mark as its target. Both are made in one step, so no
kill can leave them without the mark. A holder of the flock who finds one knows that its maker is
dead. A lock of another program is respected until it is older than any ref update takes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import RepositoryError
from .layout import Pinned, fsync_dir, require_format, write_durably

STALE_AFTER_SECS = 600.0
"""Age (by its file's time) at which a lock that git or a person left is taken for forgotten."""

_MARK = "held-by-purgatory-sync"
_NEW = "purgatory-sync.new"


@contextmanager
def exclusive(repository: Path) -> Iterator[None]:
    """Be the only one of us who writes refs in a repository; waits for the others.

    Raises:
      RepositoryError: the repository is gone (perhaps while waiting) or of a kind not supported.
    """
    require_format(repository)
    with Pinned(repository) as pinned:
        fcntl.flock(pinned.fd, fcntl.LOCK_EX)
        require_format(repository)
        pinned.require_same()
        yield


@contextmanager
def git_lock(repository: Path, name: str) -> Iterator[None]:
    """Hold git's own lock of `packed-refs` or `HEAD`; within `exclusive` only.

    Raises:
      RepositoryError: another program holds it.
    """
    lock = f"{repository}/{name}.lock"
    try:
        _make(lock, repository)
    except FileExistsError:
        if not _is_stale(lock, repository):
            raise RepositoryError(
                f"another program holds {lock}; remove it if no git is at work there"
            ) from None
        os.unlink(lock)
        _make(lock, repository)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(lock)


def _make(lock: str, repository: Path) -> None:
    try:
        os.link(f"{repository}/config", lock, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # no config, or one of another owner; a disk without hard links
        os.symlink(_MARK, lock)


def _is_stale(lock: str, repository: Path) -> bool:
    with suppress(OSError):
        if os.path.samestat(os.lstat(lock), os.lstat(f"{repository}/config")):
            return True
    with suppress(OSError):
        if os.readlink(lock) == _MARK:
            return True
    try:
        return time.time() - os.lstat(lock).st_mtime > STALE_AFTER_SECS
    except FileNotFoundError:
        return False


def replace_file(repository: Path, name: str, content: bytes) -> None:
    """Give `packed-refs` or `HEAD` new content in one durable step; within `git_lock` only."""
    write_durably(f"{repository}/{_NEW}", content)
    os.rename(f"{repository}/{_NEW}", f"{repository}/{name}")
    fsync_dir(repository)
