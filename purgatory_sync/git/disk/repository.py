"""Local bare repositories: made, asked and removed in process, without a git child.

Everything here is synchronous; callers run it through `runtime.blocking.blocking`.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from ...errors import RepositoryError
from ...refnames import is_valid_refname
from ...runtime.folders import make_folder
from .layout import (
    CONFIG,
    UNBORN_HEAD,
    fsync_dir,
    is_repository,
    local_failure,
    rename_into,
    require_format,
    write_durably,
)
from .object_lookup import ObjectLookup, existing
from .ref_files import read_refs
from .scratch import scratch_name

__all__ = [
    "UNBORN_HEAD",
    "create_bare",
    "is_repository",
    "list_haves",
    "list_refs",
    "object_types",
    "present_oids",
    "read_head",
    "remove_repository",
]

T = TypeVar("T")

SCRATCH = ".tmp"
"""Where work in progress lies: in the git folder, or in an owner's folder on another disk."""

_OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def create_bare(path: Path, tmp: Path, marks: Mapping[str, bytes] | None = None) -> None:
    """Make an empty bare repository: whole beside its place, then shown by one rename (B 2.4).

    Args:
      path: where it shall be; the folder above is made when it is missing.
      tmp: a folder on the same file system for what is being built; made when it is missing.
      marks: files that it shall have from its first moment on: name → content.

    Nothing is done when a repository is there already; an empty folder is replaced. A crash leaves
    no repository or a whole one, and at worst a folder in `tmp` with the name of a dead process.

    Raises:
      RepositoryError: something else is there, or the disk refuses.
    """
    if is_repository(path):
        require_format(path)
        return
    try:
        try:
            _make(path, tmp, marks or {})
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The owner's folder is on another disk: built beside it, one rename shows it.
            _make(path, path.parent / SCRATCH, marks or {})
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise local_failure(f"make the repository {path}", error) from error
        if not is_repository(path):
            raise RepositoryError(
                f"{path} is there and is not a git repository; move it away"
            ) from error
        require_format(path)  # another process was faster


def _make(path: Path, tmp: Path, marks: Mapping[str, bytes]) -> None:
    make_folder(tmp)
    building = tmp / scratch_name("new")
    try:
        _build(building, marks)
        rename_into(building, path)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _build(building: Path, marks: Mapping[str, bytes]) -> None:
    for folder in ("", "/objects", "/objects/pack", "/refs"):
        os.mkdir(f"{building}{folder}")
    write_durably(f"{building}/HEAD", f"ref: {UNBORN_HEAD}\n".encode())
    write_durably(f"{building}/config", CONFIG)
    for name, content in marks.items():
        write_durably(f"{building}/{name}", content)
    for folder in ("/objects", ""):
        fsync_dir(f"{building}{folder}")


def remove_repository(path: Path, tmp: Path) -> None:
    """Take a repository out of sight by one rename, then delete it.

    Args:
      path: the repository; the folder above it is removed too when that leaves it empty.
      tmp: a folder on the same file system for what is being deleted; made when missing.

    Nothing is done when nothing is there. After a crash the repository is whole or out of sight
    (its remains are in `tmp` under the name of a dead process).

    Raises:
      RepositoryError: what is there is not a git repository (it is left alone), or the disk
        refuses.
    """
    if not os.path.lexists(path):
        return
    if not is_repository(path):
        raise RepositoryError(f"{path} is not a git repository; it is left as it is")
    if path.is_symlink():
        raise RepositoryError(
            f"{path} is a link to {os.readlink(path)}: remove both by hand if that is meant"
        )
    try:
        removing = _out_of_sight(path, tmp)
        fsync_dir(path.parent)
        try:
            os.rmdir(path.parent)
        except OSError:
            pass
        else:
            fsync_dir(path.parent.parent)
        shutil.rmtree(removing)
    except FileNotFoundError:
        return  # another process removed it
    except OSError as error:
        raise local_failure(f"remove the repository {path}", error) from error


def _out_of_sight(path: Path, tmp: Path) -> Path:
    try:
        os.makedirs(tmp, exist_ok=True)
        removing = tmp / scratch_name("gone")
        os.rename(path, removing)
    except OSError as error:
        beside = path.parent / SCRATCH
        if error.errno != errno.EXDEV or tmp == beside:
            raise
        return _out_of_sight(path, beside)
    return removing


def present_oids(path: Path, oids: Collection[str]) -> frozenset[str]:
    """Those of the OIDs that a repository holds; none of them when there is no repository.

    Existence only: packs' indexes first, then loose files, and a second look before a miss is
    believed. That history is complete follows by induction (B 3.6).

    Raises:
      RepositoryError: the repository is of a kind that is not supported.
    """
    if not oids or not is_repository(path):
        return frozenset()
    require_format(path)
    return existing(path, oids)


def object_types(path: Path, oids: Collection[str]) -> dict[str, str]:
    """The type of each OID: `commit`, `tree`, `blob` or `tag`; missing ones are left out.

    Raises:
      RepositoryError: the repository is of a kind that is not supported.
    """
    return _known(path, oids, ObjectLookup.kind)


def _known(
    path: Path, oids: Collection[str], ask: Callable[[ObjectLookup, str], T | None]
) -> dict[str, T]:
    if not oids or not is_repository(path):
        return {}
    require_format(path)
    with ObjectLookup(path) as lookup:
        found = ((oid, ask(lookup, oid)) for oid in oids)
        return {oid: answer for oid, answer in found if answer is not None}


def list_refs(path: Path) -> dict[str, str]:
    """All refs and the OIDs they name, sorted by name, HEAD left out; none without a repository.

    Loose refs go before packed ones and symbolic ones are followed. Refs whose name or content
    git would refuse are skipped; whether their objects exist is not looked at.

    Raises:
      RepositoryError: the repository cannot be read or is of a kind that is not supported.
    """
    if not is_repository(path):
        return {}
    require_format(path)
    refs = read_refs(path).resolved()
    return {name: refs[name] for name in sorted(refs) if is_valid_refname(name)}


def read_head(path: Path) -> str | None:
    """The ref that HEAD names, whether it exists or not; None for a detached or unreadable HEAD."""
    try:
        with open(f"{path}/HEAD", "rb") as file:
            content = file.read(4096)
    except OSError:
        return None
    if not content.startswith(b"ref:"):
        return None
    name = content[4:].strip().decode(errors="replace")
    return name if is_valid_refname(name) else None


def list_haves(path: Path, limit: int = 256) -> list[str]:
    """Commits to tell a server that we have: the tips of all refs, newest first.

    Args:
      limit: how many at most.

    `refs/nostr/*` counts as well, and tags are followed to their commits, so that nothing is
    fetched again that only such a ref holds. Tips whose objects are missing are left out.

    Raises:
      RepositoryError: the repository cannot be read or is of a kind that is not supported.
    """
    tips = dict.fromkeys(list_refs(path).values())
    if not tips:
        return []
    with ObjectLookup(path) as lookup:
        peeled = (lookup.peel(oid) for oid in tips)
        commits = dict.fromkeys(found[0] for found in peeled if found and found[1] == "commit")
        if len(commits) > 1:
            return sorted(commits, key=lambda oid: (-lookup.commit_time(oid), oid))[:limit]
        return list(commits)[:limit]
