"""Files of ngit-grasp that a start finds in the folders: known by name, and told by a sentence.

None of them is read, written or removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_IN_GIT: Final = {
    ".grasp": (
        "ngit-grasp keeps the objects of all repositories of an identifier there: what borrows from"
        " it was completed, or is refused by name; when `purgatory-sync verify --all` finds nothing"
        " it can be removed"
    ),
    ".archive": (
        "ngit-grasp keeps repositories there that were deleted: they are not read; remove it when"
        " they are not wanted any more"
    ),
    "purgatory-state.json": (
        "what ngit-grasp held is not read: such events have to be published again; the file can be"
        " removed"
    ),
    "rejected-events-cache.json": (
        "what ngit-grasp refused is not read, and is judged anew; the file can be removed"
    ),
}
_PRS: Final = (
    "contributors' repositories of ngit-grasp are not read from there: `purgatory-sync adopt` takes"
    " what they have through the old server"
)
_OWNER: Final = re.compile(r"[0-9a-f]{64}")
_LMDB: Final = "data.mdb"
_EVENTS: Final = (
    "a database of ngit-grasp (LMDB) is not read: take its events by `purgatory-sync adopt` while"
    " the old server runs, on another port"
)
_BESIDE_LMDB: Final = ("tombstones", "holding", "replaceable-history")
_ARCHIVE: Final = (
    "ngit-grasp keeps deleted or replaced events there, which are not read; it can be removed with"
    " its database"
)


def foreign_files(git_data: Path, relay_data: Path) -> Iterator[tuple[Path, str]]:
    """Each file or folder of ngit-grasp that is there, and what becomes of it; quick file work."""
    for name, sentence in _IN_GIT.items():
        if (path := git_data / name).exists():
            yield path, sentence
    prs = git_data / "prs"
    if any(map(_OWNER.fullmatch, _names(prs))):
        yield prs, _PRS
    if (relay_data / _LMDB).exists():
        yield relay_data / _LMDB, _EVENTS
        for name in _BESIDE_LMDB:
            if (path := relay_data / name).exists():
                yield path, _ARCHIVE


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
