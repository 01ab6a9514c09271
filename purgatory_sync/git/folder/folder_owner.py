"""The folder of all repositories: one process at a time, and the store that it belongs to."""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

from ...errors import ConfigurationError, RepositoryError
from ...runtime.folders import lock_file, make_folder
from ..disk.layout import fsync_dir, write_durably

OWNER = ".owner"
LOCK = ".lock"
_ID = re.compile(r"[0-9a-f]{32}")


@attrs.frozen
class FolderOwner:
    """What a git folder says of the store that it belongs to.

    Attributes:
      id: 32 hex digits, which that store knows too.
      store: where the store was when that was written, for people.
    """

    id: str
    store: str


def lock_git_folder(folder: Path) -> int:
    """Keep every other node out of the folder, which is made when it is missing.

    Returns the descriptor to close in the end.

    Raises:
      ConfigurationError: another node uses it, it cannot be used, or it has no locks.
    """
    try:
        make_folder(folder)
        return lock_file(folder / LOCK)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"another process uses {folder}: stop it, or give this node folders of its own by"
            " NGIT_GIT_DATA_PATH and NGIT_RELAY_DATA_PATH"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be used or has no locks ({error.strerror or error}): make it a folder"
            " that this user may write to, on a file system with locks, or choose another"
            " NGIT_GIT_DATA_PATH"
        ) from error


def read_owner(folder: Path) -> FolderOwner | None:
    """The store that the folder belongs to; None when it does not say so.

    Raises:
      RepositoryError: it says so in words that are not understood, or cannot be read.
    """
    try:
        lines = (folder / OWNER).read_bytes().split(b"\n", 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(f"{folder / OWNER} cannot be read: {error.strerror}") from error
    name = lines[0].decode(errors="replace")
    if len(lines) != 2 or not _ID.fullmatch(name):
        raise RepositoryError(f"{folder / OWNER} is damaged")
    return FolderOwner(name, lines[1].decode(errors="replace").strip("\n"))


def write_owner(folder: Path, owner: FolderOwner) -> None:
    """Let the folder belong to a store, durably and in one step.

    Raises:
      ConfigurationError: the disk refuses; the folder says what it said before.
    """
    beside = folder / f"{OWNER}.new"
    try:
        write_durably(beside, f"{owner.id}\n{owner.store}\n".encode(errors="surrogateescape"))
        os.rename(beside, folder / OWNER)
        fsync_dir(folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder / OWNER} cannot be written ({error.strerror or error}): see to the folder, or"
            " choose another NGIT_GIT_DATA_PATH"
        ) from error
