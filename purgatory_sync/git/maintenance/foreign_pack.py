"""Objects of a stranger's repository or bundle as one pack, which is to be proven like any other.

Nothing there is believed: git runs in a repository of its own, with none of that one's settings,
and reads its objects only.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

import attrs

from ...errors import RepositoryError
from ...runtime.children import ChildLimits
from ...runtime.folders import folder_bytes
from ..disk.layout import objects_dir, require_format
from ..disk.object_lookup import existing
from ..disk.repository import create_bare
from ..ingest.index_git import find_git, git_environment
from .repacking import run_git
from .repository_export import what_git_said

_MEMORY_BYTES: Final = 4 << 30
_CPU_SECS: Final = 3600
_HEADER_BYTES: Final = 16 << 20
_SIGNATURES: Final = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_REF: Final = re.compile(rb"[0-9a-f]{40} [^\n]*\n")


@attrs.frozen
class GivenPack:
    """A file that has a pack from some byte on to its end."""

    path: Path
    begin: int = 0


def pack_of(source: Path, oids: Collection[str], scratch: Path) -> GivenPack | None:
    """Pack those of the objects that a repository has, with all their history; blocks.

    Args:
      scratch: a folder that does not exist; the caller removes it.

    Returns None where it has none of them.

    Raises:
      RepositoryError: it cannot be read, borrows objects, or lacks some of that history, or git is
        not installed.
    """
    require_format(source)
    there = existing(source, oids)
    if not there:
        return None
    git = find_git()
    if git is None:
        raise RepositoryError(
            f"git is not installed to read {source}: install it, or give a bundle"
        )
    create_bare(scratch, scratch.parent)
    base = f"{objects_dir(scratch)}/given"
    command = [git, "pack-objects", "--revs", "-q", "--delta-base-offset", base]
    limits = ChildLimits(_MEMORY_BYTES, _CPU_SECS, 4 * folder_bytes(source) + _HEADER_BYTES)
    env = git_environment(scratch, scratch, source)
    result = run_git(command, env, "".join(f"{oid}\n" for oid in sorted(there)), limits, scratch)
    name = result.stdout.decode(errors="replace").strip()
    if result.returncode or not name:
        raise RepositoryError(f"{source} could not be packed: {what_git_said(result)}")
    return GivenPack(Path(f"{base}-{name}.pack"))


def bundled_pack(source: Path, oids: Collection[str], scratch: Path) -> GivenPack | None:
    """The pack of a git bundle, where that has all history of its refs; blocks.

    Raises:
      RepositoryError: it cannot be read, is no bundle, or leans on objects that are not in it.
    """
    try:
        with source.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except OSError as error:
        raise RepositoryError(f"{source} cannot be read: {error.strerror}") from error
    end = head.find(b"\n\n")
    first = next((each for each in _SIGNATURES if head.startswith(each)), None)
    if first is None or end < 0:
        raise RepositoryError(f"{source} is no git bundle")
    lines = head[len(first) : end + 1].splitlines(keepends=True)
    lines = [line for line in lines if line != b"@object-format=sha1\n"]
    if not all(_REF.fullmatch(line) for line in lines):
        raise RepositoryError(
            f"{source} leans on objects that are not in it: `git bundle create {source.name} --all`"
            " makes a whole one"
        )
    return GivenPack(source, end + 2)
