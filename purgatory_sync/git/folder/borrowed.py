"""Found repositories that are not whole: what they borrow is taken in, or they are refused.

git reads what `objects/info/alternates` names as if it were here; our look-up does not. Where the
two differed, an object would be missing for us and up to date for git.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ...errors import DiskFull, RepositoryUnusable
from ..disk.disk_guard import require_free_space
from ..disk.layout import ALTERNATES, borrows, fsync_dir, local_failure, objects_dir, pack_dir
from ..disk.linking import place

MAX_DEPTH = 5
"""So far git follows one from another."""


def take_in_borrowed(repository: Path) -> bool:
    """Let a repository have itself what it borrows, by links or copies; whether there was any.

    Raises:
      RepositoryError: what it borrows is not there, is told in a way that is not understood, or
        there is no room for it; also for a repository that is shallow or partial. Nothing that git
        reads changed.
    """
    _require_whole_history(repository)
    if not borrows(repository):
        return False
    folders = _lenders(repository, Path(objects_dir(repository)), MAX_DEPTH)
    files = [each for folder in dict.fromkeys(folders) for each in _objects_of(folder)]
    try:
        _require_room(repository, files)
        for folder, name in files:
            target = f"{objects_dir(repository)}/{name}"
            if not os.path.exists(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                place(f"{folder}/{name}", target)
        for inner in sorted({os.path.dirname(name) for _, name in files}):
            fsync_dir(f"{objects_dir(repository)}/{inner}")
        fsync_dir(objects_dir(repository))
        os.unlink(f"{repository}/{ALTERNATES}")
        fsync_dir(f"{objects_dir(repository)}/info")
    except OSError as error:
        raise local_failure(f"take in what {repository} borrows", error) from error
    return True


def _require_whole_history(repository: Path) -> None:
    with suppress(OSError):
        if os.path.getsize(f"{repository}/shallow"):
            raise RepositoryUnusable(
                f"{repository} is shallow: complete it with `git -C {repository} fetch --unshallow`"
            )
    with suppress(OSError):
        if any(name.endswith(".promisor") for name in os.listdir(pack_dir(repository))):
            raise RepositoryUnusable(
                f"{repository} is a partial clone: put a whole one (`git clone --mirror`) there"
            )


def _lenders(repository: Path, folder: Path, depth: int) -> list[Path]:
    """The folders of objects that one borrows from, and those that these borrow from."""
    found: list[Path] = []
    try:
        lines = (folder / "info/alternates").read_bytes().split(b"\n")
    except FileNotFoundError:
        return found
    except OSError as error:
        raise local_failure(f"read what {repository} borrows", error) from error
    for line in lines:
        if not line or line.startswith(b"#"):
            continue
        other = folder / os.fsdecode(line)
        if line.startswith(b'"') or not depth or not other.is_dir():
            raise RepositoryUnusable(
                f"{repository} borrows objects from {os.fsdecode(line)!a}"
                f" ({ALTERNATES}), which is not there or cannot be followed: put that back, take"
                f" them in with `git -C {repository} repack -a -d`, and remove that file"
            )
        found += [other, *_lenders(repository, other, depth - 1)]
    return found


def _objects_of(folder: Path) -> list[tuple[Path, str]]:
    """Packs, each before its index, which shows it, and loose objects, by path in the folder."""
    found = []
    with suppress(FileNotFoundError):
        names = set(os.listdir(folder / "pack"))
        stems = (name.removesuffix(".idx") for name in sorted(names) if name.endswith(".idx"))
        for stem in stems:
            if f"{stem}.pack" in names:
                found += [(folder, f"pack/{stem}.pack"), (folder, f"pack/{stem}.idx")]
    for inner in sorted(os.listdir(folder)):
        if len(inner) == 2:
            loose = sorted(name for name in os.listdir(folder / inner) if len(name) == 38)
            found += [(folder, f"{inner}/{name}") for name in loose]
    return found


def _require_room(repository: Path, files: list[tuple[Path, str]]) -> None:
    device = os.stat(objects_dir(repository)).st_dev
    statuses = [os.stat(folder / name) for folder, name in files]
    copied = sum(status.st_size for status in statuses if status.st_dev != device)
    if copied:
        try:
            require_free_space(repository, 0, copied)
        except DiskFull as error:
            raise RepositoryUnusable(
                f"{repository} borrows {copied} bytes of objects, and there is no room for them:"
                " free some space"
            ) from error
