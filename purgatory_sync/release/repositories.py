"""Where repositories are (`<git_data>/<npub>/<identifier>.git`) and what is proven in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import trio

from ..errors import InvalidKey
from ..git.alignment import Alignment, align_refs
from ..git.closure import complete_oids
from ..git.copying import link_objects
from ..git.refs import update_refs
from ..git.repository import (
    create_bare,
    is_repository,
    list_haves,
    list_refs,
    object_types,
    present_oids,
    remove_repository,
)
from ..nostr.identifier import is_valid_identifier
from ..nostr.keys import decode_npub, encode_npub
from ..runtime.blocking import blocking

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROVEN_MARKER = "purgatory-sync-proven"
REMEMBERED_WALKS = 100_000


def extract_identifier_from_repo_path(path: Path) -> str | None:
    """The identifier of a repository's path, `<npub>/<identifier>.git`; None for any other path."""
    try:
        decode_npub(path.parent.name)
    except InvalidKey:
        return None
    identifier = path.name.removesuffix(".git")
    return identifier if path.name != identifier and is_valid_identifier(identifier) else None


class Repositories:
    """The bare repositories of one data folder; blocking work goes to threads of their own.

    Args:
      git_data: the folder that holds them.
      limiter: places for git work in threads.

    Only closed packs join a repository that we made, so an object that is there is there with all
    its history (B 3.6). Where somebody else writes too, the marker is missing and each object is
    walked once instead.
    """

    def __init__(self, git_data: Path, limiter: trio.CapacityLimiter) -> None:
        self.git_data = git_data
        self.tmp = git_data / ".tmp"
        self._limiter = limiter
        self._walked: dict[tuple[Path, str], None] = {}

    def path(self, owner: str, identifier: str) -> Path:
        """Where the repository of an owner (hex) is, or would be."""
        return self.git_data / encode_npub(owner) / f"{identifier}.git"

    def exists(self, owner: str, identifier: str) -> bool:
        """Whether the repository is on this disk."""
        return is_repository(self.path(owner, identifier))

    async def create(self, owner: str, identifier: str) -> Path:
        """Make an empty bare repository unless it is there (B 2.4).

        Raises:
          RepositoryError: the disk refuses; nothing was made.
        """
        path = self.path(owner, identifier)
        await self._run(_create, path, self.tmp)
        return path

    async def remove(self, owner: str, identifier: str) -> None:
        """Take a repository out of sight by one rename, then delete it.

        Raises:
          RepositoryError: the disk refuses.
        """
        path = self.path(owner, identifier)
        await self._run(remove_repository, path, self.tmp)
        for key in [key for key in self._walked if key[0] == path]:
            del self._walked[key]

    async def distrust(self, path: Path) -> None:
        """Somebody else wrote into the repository: from now on its objects are walked."""
        await self._run(_distrust, path)

    async def here(
        self, wanted: Mapping[str, tuple[Sequence[Path], Collection[str]]]
    ) -> dict[str, frozenset[str]]:
        """Which objects are here with all their history, in one go for many events (B 3.6).

        Args:
          wanted: a key of the caller's → repositories concerned, and OIDs.

        Returns, by key, the OIDs that some of its repositories holds.
        """
        return await self._run(self._here, wanted)

    def _here(
        self, wanted: Mapping[str, tuple[Sequence[Path], Collection[str]]]
    ) -> dict[str, frozenset[str]]:
        by_path: dict[Path, set[str]] = {}
        for paths, oids in wanted.values():
            for path in paths:
                by_path.setdefault(path, set()).update(oids)
        found = {path: self._proven(path, oids) for path, oids in by_path.items()}
        return {
            key: frozenset(oids) & frozenset().union(*(found[path] for path in paths))
            for key, (paths, oids) in wanted.items()
        }

    def _proven(self, path: Path, oids: Collection[str]) -> frozenset[str]:
        present = present_oids(path, oids)
        if not present or (path / PROVEN_MARKER).exists():
            return present
        unknown = [oid for oid in sorted(present) if (path, oid) not in self._walked]
        complete = complete_oids(path, unknown) if unknown else frozenset()
        for oid in sorted(complete):
            self._walked[path, oid] = None
        while len(self._walked) > REMEMBERED_WALKS:
            del self._walked[next(iter(self._walked))]
        return (present - frozenset(unknown)) | complete

    async def gather(
        self, sources: Sequence[Path], target: Path, oids: Collection[str]
    ) -> frozenset[str]:
        """Link what the target lacks from other repositories; returns the OIDs it then holds.

        A source that somebody else writes to gives only what is proven in it.
        """
        return await self._run(self._gather, sources, target, oids)

    def _gather(
        self, sources: Sequence[Path], target: Path, oids: Collection[str]
    ) -> frozenset[str]:
        there = self._proven(target, oids)
        for source in sources:
            lacking = frozenset(oids) - there
            if not lacking:
                break
            if source != target and self._proven(source, lacking):
                link_objects([source], target, lacking)
                if not (source / PROVEN_MARKER).exists():
                    _distrust(target)
                there |= self._proven(target, lacking)
        return there

    async def gather_tips(self, sources: Sequence[Path], target: Path) -> None:
        """Link what the refs of other repositories reach and the target lacks (STORAGE)."""
        await self._run(self._gather_tips, sources, target)

    def _gather_tips(self, sources: Sequence[Path], target: Path) -> None:
        for source in sources:
            self._gather([source], target, list_haves(source))

    async def types(self, path: Path, oids: Collection[str]) -> dict[str, str]:
        """`commit`, `tag`, `tree` or `blob` of each OID that the repository holds."""
        return await self._run(object_types, path, oids)

    async def refs(self, path: Path) -> dict[str, str]:
        """All refs of the repository."""
        return await self._run(list_refs, path)

    async def align(self, path: Path, refs: Mapping[str, str], head: str | None) -> Alignment:
        """Set heads and tags exactly to the map, then HEAD (B 7.2).

        Raises:
          RepositoryError: an object is missing or of the wrong type, or the disk refuses; no ref
            was moved.
        """
        return await self._run(align_refs, path, refs, head)

    async def update_refs(self, path: Path, changes: Mapping[str, str | None]) -> bool:
        """Change single refs (`refs/nostr/*`) at once; None deletes. See `git.refs`."""
        return await self._run(update_refs, path, changes)

    async def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await blocking(self._limiter, function, *args)


def _create(path: Path, tmp: Path) -> None:
    if is_repository(path):
        return
    create_bare(path, tmp)
    (path / PROVEN_MARKER).touch()


def _distrust(path: Path) -> None:
    (path / PROVEN_MARKER).unlink(missing_ok=True)
