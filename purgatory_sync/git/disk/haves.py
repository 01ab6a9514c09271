"""What to tell a server that we have, so that it does not send it again.

Tips alone are not enough: a server that is behind us knows none of them, though it knows nearly
all that is behind them.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from ...runtime.blocking import blocking
from ..pack.format import COMMIT
from .layout import read_era
from .object_reader import StoredObjects, TooBigToRead
from .repository import list_haves

MAX_HAVES: Final = 256
MAX_COMMITS_READ: Final = 4096
_DENSE: Final = 112
_GROWTH: Final = 8
_MAX_COMMIT_BYTES: Final = 1 << 20

_PARENT: Final = re.compile(rb"parent ([0-9a-f]{40})\n")
_HEAD: Final = re.compile(rb"tree [0-9a-f]{40}\n((?:parent [0-9a-f]{40}\n)*)author [^\n]*\n")
_COMMITTER: Final = re.compile(rb"committer [^\n]*> ([0-9]{1,18}) ")


@attrs.frozen
class Haves:
    """What one repository has.

    Attributes:
      tips: commits that refs of any kind name, newest first.
      era: when that was (`layout.read_era`).
    """

    tips: tuple[str, ...]
    era: str
    _repository: Path
    _limiter: trio.CapacityLimiter

    @classmethod
    async def of(cls, repository: Path, limiter: trio.CapacityLimiter) -> Haves:
        """Look at a repository's refs; raises as `repository.list_haves`."""
        era, tips = await blocking(limiter, _look, repository)
        return cls(tuple(tips), era, repository, limiter)

    async def with_history(
        self, shared: Collection[str] = (), kept: Collection[str] = ()
    ) -> Sequence[str]:
        """Tips, and commits behind them ever further apart, at most 256 in all.

        Args:
          shared: what the server is known to have; those of it that are here come first.
          kept: likewise, what was fetched from it before and no ref names here.
        """
        if not self.tips and not kept:
            return ()
        known = [*shared, *kept]
        return await blocking(self._limiter, list_history, self._repository, self.tips, known)


def _look(repository: Path) -> tuple[str, list[str]]:
    return read_era(repository), list_haves(repository, MAX_HAVES)


def list_history(
    repository: Path, tips: Sequence[str], shared: Collection[str] = ()
) -> Sequence[str]:
    """As `Haves.with_history`; blocks for at most 4,096 commits.

    Raises:
      LocalFailure: the repository is damaged.
    """
    with StoredObjects(repository) as objects:
        here = [oid for oid in shared if objects.glance(bytes.fromhex(oid))]
        first = [*here, *tips][: MAX_HAVES // 2]
        said = dict.fromkeys(first)
        for oid in _walk(objects, tips, frozenset(here)):
            said[oid] = None
            if len(said) == MAX_HAVES:
                break
        return list(said)


@attrs.frozen(order=True)
class _Step:
    """A commit that waits to be looked at, newest first.

    Attributes:
      told: how many were told on its line of history.
      left_out: how many were left out since.
    """

    age: int
    oid: str
    parents: tuple[str, ...] = attrs.field(order=False)
    told: int = attrs.field(order=False)
    left_out: int = attrs.field(order=False)

    @property
    def is_told(self) -> bool:
        # Close together where histories nearly always part (8 apart after 300 commits, 16 after
        # 1,000), far apart behind, so that even then not everything is sent again.
        if self.told <= _DENSE:
            gap = self.told // _GROWTH
        else:
            gap = (_DENSE // _GROWTH) * 2 ** ((self.told - _DENSE) // 2)
        return self.left_out >= gap or not self.parents


def _walk(objects: StoredObjects, tips: Sequence[str], known: Collection[str]) -> Iterator[str]:
    """Commits behind the tips and not behind what is known."""
    queue: list[_Step] = []
    seen = set(known)

    def meet(oid: str, told: int, left_out: int) -> None:
        if oid not in seen and len(seen) < MAX_COMMITS_READ:
            seen.add(oid)
            if (commit := _read(objects, oid)) is not None:
                age, parents = -commit[0], commit[1]
                heapq.heappush(queue, _Step(age, oid, parents, told, left_out))

    for tip in tips:
        meet(tip, 0, 0)
    while queue:
        step = heapq.heappop(queue)
        if step.is_told:
            yield step.oid
        for parent in step.parents:
            if step.is_told:
                meet(parent, step.told + 1, 0)
            else:
                meet(parent, step.told, step.left_out + 1)


def _read(objects: StoredObjects, oid: str) -> tuple[int, tuple[str, ...]] | None:
    """A commit's time and parents; None for what is no commit, missing or too large."""
    try:
        found = objects.read(bytes.fromhex(oid), _MAX_COMMIT_BYTES)
    except TooBigToRead:
        return None
    head = _HEAD.match(found.data) if found is not None and found.kind == COMMIT else None
    if found is None or head is None:
        return None
    time = _COMMITTER.match(found.data, head.end())
    parents = tuple(parent.decode() for parent in _PARENT.findall(head[1]))
    return int(time[1]) if time else 0, parents
