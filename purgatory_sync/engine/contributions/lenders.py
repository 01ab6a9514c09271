"""Served repositories that a push below `/prs/` leans on, and their heads (B 12.6).

Every client may ask for the heads, so they are remembered for as long as no ref was written: refs
have one writer, which replaces the file `packed-refs` in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import attrs

from ...errors import RepositoryError
from ...git.disk.object_lookup import ObjectLookup
from ...git.disk.repository import list_refs
from ...runtime.bounded import Bounded

HEADS: Final = "refs/heads/"
MOST_HAVES: Final = 200
MOST_HEADS: Final = 400
"""Of one repository; they are looked at when its refs have changed."""
REMEMBERED: Final = 4_096
REMEMBERED_HEADS: Final = 50_000

_Written = tuple[int, int, int, int] | None
_Heads = tuple[tuple[int, str], ...]


def _weigh(remembered: tuple[_Written, _Heads]) -> int:
    return 1 + len(remembered[1])


@attrs.define(eq=False)
class Lenders:
    """What is remembered of them; everything here blocks, and threads may use it at once.

    Attributes:
      tmp: where pushes are received, in repositories of links.
    """

    tmp: Path
    _heads: Bounded[Path, tuple[_Written, _Heads]] = attrs.field(
        factory=lambda: Bounded(REMEMBERED, weigh=_weigh, most_weight=REMEMBERED_HEADS, by_use=True)
    )
    _apart: Bounded[Path, bool] = attrs.field(factory=lambda: Bounded(REMEMBERED))
    _lock: Lock = attrs.field(factory=Lock)

    def lending(self, repositories: Sequence[Path]) -> list[Path]:
        """Those whose files can be linked: from another disk they would have to be copied."""
        with self._lock:
            tried = [each for each in repositories if each not in self._apart]
        here = _disk(self.tmp) or _disk(self.tmp.parent)
        return [each for each in tried if _disk(each / "objects") == here]

    def note_apart(self, repositories: Iterable[Path]) -> None:
        """Links of these failed: they lend nothing until the next start."""
        with self._lock:
            for each in repositories:
                self._apart.put(each, True)

    def newest_heads(self, repositories: Sequence[Path]) -> list[str]:
        """The tips of the branches of those that lend, newest first: clients need not send them.

        Raises:
          RepositoryError: one cannot be read.
        """
        times: dict[str, int] = {}
        for path in self.lending(repositories):
            times |= {oid: time for time, oid in self._heads_of(path)}
        return sorted(times, key=lambda oid: (-times[oid], oid))[:MOST_HAVES]

    def _heads_of(self, path: Path) -> _Heads:
        written = _written(path)
        with self._lock:
            remembered = self._heads.get(path)
        if remembered is not None and remembered[0] == written:
            return remembered[1]
        heads = _read_heads(path)
        with self._lock:
            self._heads.put(path, (written, heads))
        return heads


def _read_heads(path: Path) -> _Heads:
    """Times and OIDs of the newest heads of one repository."""
    oids = dict.fromkeys(oid for name, oid in list_refs(path).items() if name.startswith(HEADS))
    with ObjectLookup(path) as lookup:
        found = [
            (lookup.commit_time(oid), oid)
            for oid in list(oids)[:MOST_HEADS]
            if lookup.kind(oid) == "commit"
        ]
    return tuple(sorted(found, key=lambda each: (-each[0], each[1]))[:MOST_HAVES])


def _written(path: Path) -> _Written:
    """What is another after each change of refs; None where none was ever made."""
    try:
        there = os.stat(f"{path}/packed-refs")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RepositoryError(f"the refs of {path} cannot be read: {error.strerror}") from error
    return there.st_ino, there.st_mtime_ns, there.st_ctime_ns, there.st_size


def _disk(path: Path) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None
