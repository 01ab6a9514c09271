"""The only writer of refs: many of them change in one step, or none does.

All our refs are lines of `packed-refs`, and one rename of that file is the step. A loose file
would hide its line, so loose files of the refs concerned are folded into `packed-refs` first (which
no reader sees) and removed. Killed anywhere, a repository shows the old refs or the new ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import CannotName, RepositoryError
from ...filenames import to_file_name
from ...refnames import conflicting, is_valid_refname
from .layout import fsync_dir, local_failure
from .object_lookup import ObjectLookup, is_oid
from .ref_files import PackedRef, format_packed, read_refs
from .ref_lock import exclusive, git_lock, replace_file

# As git has it: a tag may name anything.
_ALLOWED_KINDS = {"refs/heads/": ("commit",)}
_NAMED_IN_MESSAGES = 3


def update_refs(path: Path, changes: Mapping[str, str | None]) -> bool:
    """Set and delete refs in one atomic, durable step (B 7.2).

    Args:
      path: the repository.
      changes: ref → its new OID, or None to delete it; deleting what is not there is fine.

    Returns True when something changed.

    Raises:
      RepositoryError: a name that git would refuse, or that is a folder of another ref; an object
        that is missing; a branch that would name no commit or a tag neither commit nor tag;
        another program holds git's lock. No ref has changed then.
    """
    with locked_refs(path) as refs:
        return refs.apply(changes)


@contextmanager
def locked_refs(path: Path) -> Iterator[LockedRefs]:
    """Read all refs and keep other writers out until the block ends.

    Raises:
      RepositoryError: as `update_refs`; also for what the disk refuses within the block.
    """
    try:
        with exclusive(path), git_lock(path, "packed-refs"):
            yield LockedRefs(path)
    except OSError as error:
        raise local_failure(f"write the refs of {path}", error) from error


class LockedRefs:
    """The refs of one repository while no other process may write them; made by `locked_refs`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = read_refs(path)

    @property
    def names(self) -> frozenset[str]:
        """Every name that is taken, broken refs included."""
        return self._files.names

    def resolved(self) -> dict[str, str]:
        """Ref → OID; broken refs are left out."""
        return self._files.resolved()

    def apply(self, changes: Mapping[str, str | None]) -> bool:
        """What `update_refs` does."""
        _judge_names(changes)
        with ObjectLookup(self._path) as lookup:
            kinds = _judge_values(changes, lookup)
            effective = self._effective(changes)
            if not effective:
                return False
            _judge_neighbours(self.names, effective)
            packed = dict(self._files.packed)
            if not self._files.fully_peeled:
                packed = {name: _peeled(ref, lookup) for name, ref in packed.items()}
            if self._files.files.intersection(effective):
                self._fold(effective, packed, lookup)
            for name, oid in effective.items():
                if oid is None:
                    packed.pop(name, None)
                elif kinds[oid] == "tag":
                    packed[name] = _peeled(PackedRef(oid), lookup)
                else:
                    packed[name] = PackedRef(oid)
        replace_file(self._path, "packed-refs", format_packed(packed))
        self._remove_empty_folders()
        self._files = read_refs(self._path)
        return True

    def write_head(self, ref: str) -> None:
        """Let HEAD name a ref, by one rename under git's lock."""
        with git_lock(self._path, "HEAD"):
            replace_file(self._path, "HEAD", f"ref: {ref}\n".encode())

    def _effective(self, changes: Mapping[str, str | None]) -> dict[str, str | None]:
        """The changes without those that are so already; a symbolic ref is never so already."""
        files, current = self._files, self._files.resolved()
        return {
            name: oid
            for name, oid in changes.items()
            if (name in files.names if oid is None else current.get(name) != oid)
            or name in files.symbolic
        }

    def _fold(
        self, names: Iterable[str], packed: dict[str, PackedRef], lookup: ObjectLookup
    ) -> None:
        """Put loose values into `packed` and its file, then remove the loose files."""
        current = self._files.resolved()
        loose = sorted(self._files.files.intersection(names))
        for name in loose:
            if name in current:
                packed[name] = _peeled(PackedRef(current[name]), lookup)
            else:
                packed.pop(name, None)
        replace_file(self._path, "packed-refs", format_packed(packed))
        for name in loose:
            os.unlink(f"{self._path}/{to_file_name(name)}")
        for folder in sorted({os.path.dirname(name) for name in loose}):
            fsync_dir(f"{self._path}/{to_file_name(folder)}")

    def _remove_empty_folders(self) -> None:
        for folder in self._files.folders:
            with suppress(OSError):
                os.rmdir(f"{self._path}/{to_file_name(folder)}")


def _peeled(ref: PackedRef, lookup: ObjectLookup) -> PackedRef:
    if ref.peeled is not None or lookup.kind(ref.oid) != "tag":
        return ref
    target = lookup.peel(ref.oid)
    return PackedRef(ref.oid, target and target[0])


def _judge_names(changes: Mapping[str, str | None]) -> None:
    for name, oid in changes.items():
        if not name.startswith("refs/") or name.count("/") < 2:
            raise RepositoryError(f"{name!a} is no ref below refs/")
        if oid is not None and not is_valid_refname(name):
            raise RepositoryError(f"git would refuse the ref name {name!a}")
        if oid is not None and not is_oid(oid):
            raise RepositoryError(f"{name} cannot name {oid!a}: not 40 lower-case hex digits")


def _judge_values(changes: Mapping[str, str | None], lookup: ObjectLookup) -> dict[str, str]:
    """The types of the new values, all of which are here and may stand where they shall."""
    values = dict.fromkeys(oid for oid in changes.values() if oid is not None)
    kinds = {oid: kind for oid in values if (kind := lookup.kind(oid)) is not None}
    if missing := [oid for oid in values if oid not in kinds]:
        shown = ", ".join(missing[:_NAMED_IN_MESSAGES])
        raise RepositoryError(f"{len(missing)} objects that refs shall name are missing: {shown}")
    for oid, kind in kinds.items():
        if kind == "tag" and lookup.peel(oid) is None:
            raise RepositoryError(f"what the tag {oid} names is missing")
    for name, value in changes.items():
        for folder, allowed in _ALLOWED_KINDS.items():
            if value is not None and name.startswith(folder) and kinds[value] not in allowed:
                raise CannotName(
                    f"{name} can name a {' or a '.join(allowed)}, not the {kinds[value]} {value}"
                )
    return kinds


def _judge_neighbours(taken: frozenset[str], changes: Mapping[str, str | None]) -> None:
    if all(oid is None or name in taken for name, oid in changes.items()):
        return
    after = taken.difference(changes).union(n for n, oid in changes.items() if oid is not None)
    if conflict := conflicting(after):
        raise RepositoryError("{} and {} cannot both be refs".format(*conflict))
