"""A repository as others can read it without us: a bare clone of its own, or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError, RepositoryError
from ...runtime.children import ChildLimits, ChildResult, run_child
from ...runtime.folders import folder_bytes
from ..disk.repository import list_refs
from ..ingest.index_git import find_git, git_environment

_MEMORY_BYTES: Final = 4 << 30
_CPU_SECS: Final = 3 * 3600
_FILE_BYTES: Final = 1 << 26
_SAID_BYTES: Final = 300


def clone_bare(source: Path, target: Path, scratch: Path) -> None:
    """Make a bare repository with all refs of another, and the objects that these reach; blocks.

    Nothing in it leads back to where it came from.

    Args:
      source: does not change meanwhile.
      target: a folder that does not exist.
      scratch: where git runs, and what it says lies for a moment.

    Raises:
      ConfigurationError: git is not installed.
      RepositoryError: the disk refuses; what was made is left to the caller.
    """
    address = source.absolute().as_uri()  # a path would be cloned by hard links, objects as lie
    _git(["clone", "-q", "--mirror", "--", address, str(target.absolute())], source, scratch)
    config = str((target / "config").absolute())
    _git(["config", "--file", config, "--remove-section", "remote.origin"], source, scratch)


def bundle(source: Path, target: Path, scratch: Path) -> None:
    """Write a git bundle of all refs and the objects that these reach; blocks.

    Args and errors are those of `clone_bare`; a repository without refs is a ConfigurationError,
    too, since no bundle can hold it.
    """
    if not list_refs(source):
        raise ConfigurationError(
            "it has no refs, and git makes no empty bundle: leave out --bundle"
        )
    _git(["bundle", "create", "-q", str(target.absolute()), "--all"], source, scratch)


def _git(arguments: Sequence[str], source: Path, scratch: Path) -> ChildResult:
    git = find_git()
    if git is None:
        raise ConfigurationError("git is not installed, and an export needs it: install it")
    env = git_environment(source, scratch)
    for name in ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE"):
        del env[name]
    if arguments[0] != "bundle":
        del env["GIT_DIR"]
    limits = ChildLimits(_MEMORY_BYTES, _CPU_SECS, _room_for(source))
    try:
        result = run_child([git, *arguments], env=env, stdin=None, scratch=scratch, limits=limits)
    except OSError as error:
        raise RepositoryError(f"git cannot be started: {error.strerror}") from error
    if result.returncode:
        said = what_git_said(result)
        raise RepositoryError(
            f"git could not write the export: {said}; nothing was left: see to owner and free space"
            " of the folder, then export again"
        )
    return result


def what_git_said(result: ChildResult) -> str:
    """Why it failed, in one line: advice on its settings is of no use to operators."""
    lines = result.stderr.decode(errors="replace").splitlines()
    said = " ".join(line.strip() for line in lines if not line.startswith("hint:"))
    return said[-_SAID_BYTES:].strip() or f"it ended with {result.returncode}"


def _room_for(source: Path) -> int:
    """The bytes that one file of an export may have."""
    return 2 * folder_bytes(source) + _FILE_BYTES
