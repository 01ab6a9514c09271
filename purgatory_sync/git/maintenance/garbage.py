"""Garbage collection: unreachable objects leave the disk (docs/storage.md).

The only place where objects of a repository that stays are deleted, so what is in doubt is kept.
Git packs all that is reachable, in quarantine, and walks the new pack alone. Then all writers are
locked out and two things are checked: the old packs are still the same, and all that is named now
is in the new pack. Only then the new pack takes their place.

Repositories that share packs by links are packed as one, else each would come to have a copy of
its own of what all of them need.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import attrs

from ...errors import LocalFailure
from ..disk.disk_guard import local_errors, require_free_space
from ..disk.layout import begin_era, fsync_dir, pack_dir, require_format
from ..disk.linking import place
from ..disk.object_lookup import existing, is_oid
from ..disk.ref_files import read_refs
from ..disk.ref_lock import exclusive
from ..ingest.index_git import find_git, git_environment
from ..ingest.quarantine import make_quarantine, remove_quarantine
from .repacking import (
    Pack,
    failure,
    limits_for,
    list_packs,
    pack_objects,
    remove_halves,
    remove_pack,
    run_git,
    show_pack,
)

_MAX_HEAD_BYTES = 4096


@attrs.frozen
class Needed:
    """A pack in quarantine with all that is needed of some repositories.

    Attributes:
      folder: the quarantine folder, which holds it and nothing else of objects.
      stem: its name, without suffix.
      seen: the repositories, and all their packs, oldest first.
      packed_bytes: the size of all those packs, each once.
      dropped_bytes: what becomes free when it takes their place; negative when that costs space.
    """

    folder: Path
    stem: str
    seen: Mapping[Path, Sequence[Pack]]
    packed_bytes: int
    dropped_bytes: int

    def put_in_place(self, named: Collection[str]) -> bool:
        """Show it in each repository, then remove all their other packs; blocks.

        The caller sees to it that nothing joins the repositories, is linked into or out of them,
        and none of their refs moves meanwhile (their identifier's lock).

        A crash leaves each object that is there with all its history: packs go newest first, and
        each leans on older ones only.

        Args:
          named: what events name.

        Returns False, and changes nothing, when the packs are not those that were seen, or
        something that is named by events or refs would be lost.

        Raises:
          DiskFull, LocalFailure: the disk refuses.
        """
        with local_errors(f"drop objects of {self._first}"), ExitStack() as stack:
            for path in sorted(self.seen):  # the operator may fetch into one by hand
                stack.enter_context(exclusive(path))
            if not all(self._stands_for_all(path, named) for path in self.seen):
                return False
            oldest_ns = min(pack.time_ns for packs in self.seen.values() for pack in packs)
            show_pack(Path(pack_dir(self.folder), self.stem), self._first, oldest_ns)
            for path in self.seen:
                if path != self._first:
                    for suffix in ("pack", "idx"):
                        place(*(f"{pack_dir(p)}/{self.stem}.{suffix}" for p in (self._first, path)))
                fsync_dir(pack_dir(path))
            for path, packs in self.seen.items():
                # Each check that runs now must see a new generation before its objects are deleted.
                begin_era(path)
                self._remove_others(pack_dir(path), packs)
        return True

    @property
    def _first(self) -> Path:
        return next(iter(self.seen))

    def _stands_for_all(self, repository: Path, named: Collection[str]) -> bool:
        if list_packs(repository) != list(self.seen[repository]):
            return False
        needed = {*_named_by_refs(repository), *existing(repository, named)}
        return existing(self.folder, needed) == needed

    def _remove_others(self, folder: str, packs: Sequence[Pack]) -> None:
        for pack in reversed(packs):
            if pack.stem != self.stem:
                remove_pack(f"{folder}/{pack.stem}")
                fsync_dir(folder)
        remove_halves(folder)

    def discard(self) -> None:
        """Remove what lies in quarantine of it; nothing to do the second time. Blocks."""
        remove_quarantine(self.folder)


def pack_what_is_needed(
    repository: Path,
    relatives: Collection[Path],
    named: Collection[str],
    tmp: Path,
    min_free_bytes: int,
) -> Needed | None:
    """Make one pack of all that refs and events name; blocking work, ended by cancelling.

    Args:
      relatives: repositories that are packed with it when they share packs.
      named: the OIDs that events name; those that are not here do not matter.
      tmp: the folder for quarantine.
      min_free_bytes: bytes that must stay free.

    Returns None when others than we have a hand in the repository, there is no pack, or git is
    not installed.

    Raises:
      DiskFull, LocalFailure: it cannot be done, history with holes included; nothing is left of it.
    """
    git = find_git()
    with local_errors(f"look for what is needed of {repository}"):
        require_format(repository)
        seen = _sharing(repository, relatives)
        if git is None or not seen:
            return None
        sizes = {pack.stem: pack.size for packs in seen.values() for pack in packs}
        packed_bytes = sum(sizes.values())
        require_free_space(repository, min_free_bytes, packed_bytes)
        oids: set[str] = set()
        for path in seen:
            oids.update(_named_by_refs(path), existing(path, named))
        folder = make_quarantine(tmp, "drop")
        try:
            stem = _pack(git, seen, folder, sorted(oids))
        except BaseException:
            remove_quarantine(folder)
            raise
        size = os.stat(f"{pack_dir(folder)}/{stem}.pack").st_size
    return Needed(folder, stem, seen, packed_bytes, packed_bytes - size)


def sharing(repository: Path, relatives: Collection[Path]) -> list[Path]:
    """The repository and those of its relatives that are packed with it; blocks.

    None at all when others than we have a hand in it, or it has no pack.

    Raises:
      DiskFull, LocalFailure: they cannot be looked at.
    """
    with local_errors(f"look who shares packs with {repository}"):
        return list(_sharing(repository, relatives))


def _pack(git: str, seen: Mapping[Path, Sequence[Pack]], folder: Path, oids: Sequence[str]) -> str:
    paths, names = list(seen), "".join(f"{oid}\n" for oid in oids)
    limits = limits_for((path, pack) for path, packs in seen.items() for pack in packs)
    stem = pack_objects(git, paths, folder, ("--revs", names), limits)
    for suffix in ("pack", "idx"):
        os.rename(folder / f"{stem}.{suffix}", f"{pack_dir(folder)}/{stem}.{suffix}")
    # Whether that is all can be seen where nothing else is at hand.
    alone = {**git_environment(paths[0], folder), "GIT_ALTERNATE_OBJECT_DIRECTORIES": ""}
    walk = [git, "rev-list", "--objects", "--quiet", "--stdin"]
    if oids and (result := run_git(walk, alone, names, limits, folder)).returncode != 0:
        raise failure(f"walk all that is needed of {paths[0]}", result)
    return stem


def _sharing(repository: Path, relatives: Collection[Path]) -> dict[Path, list[Pack]]:
    """The repository and those that share a pack with it, directly or by others, and all packs."""
    packs = {path: list_packs(path) for path in (repository, *relatives)}
    files = {
        path: {
            (status.st_dev, status.st_ino)
            for pack in those or ()
            for status in [os.stat(f"{pack_dir(path)}/{pack.stem}.pack")]
        }
        for path, those in packs.items()
    }
    found, todo = {repository: packs[repository] or []}, [repository]
    while todo:
        near = files[todo.pop()]
        for path, those in packs.items():
            if path not in found and those and not near.isdisjoint(files[path]):
                found[path] = those
                todo.append(path)
    return found if found[repository] else {}


def _named_by_refs(repository: Path) -> set[str]:
    """What refs name, hidden refs included, and HEAD when it is detached."""
    with open(f"{repository}/HEAD", encoding="ascii", errors="replace") as file:
        head = file.read(_MAX_HEAD_BYTES).strip()
    refs = read_refs(repository)
    if refs.broken:
        raise LocalFailure(f"{min(refs.broken)!a} of {repository} is broken: repair or remove it")
    packed = (ref.oid for ref in refs.packed.values())
    return {*refs.loose.values(), *packed, *([head] if is_oid(head) else [])}
