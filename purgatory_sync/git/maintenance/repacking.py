"""Many packs made one, by git, without anything getting lost (docs/storage.md).

A look-up of an object searches each pack, so that fifty of them make it eight times slower.
Nothing is dropped here, not even what no ref reaches: a pack in quarantine may lean on it. And the
order of modification times stays what `copying` relies on: the newest packs are combined, all from
one on, and what comes of them gets that one's time. So it leans on older ones only, as they did,
and each pack that leans on them is newer.
"""

from __future__ import annotations

import heapq
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs

from ...errors import LocalFailure
from ...runtime.children import ChildLimits, ChildResult, run_child, stop_if_cancelled
from ..disk.disk_guard import local_errors, require_free_space
from ..disk.layout import fsync_dir, fsync_file, move_file, objects_dir, pack_dir, require_format
from ..disk.linking import NO_LINK, place
from ..ingest.index_git import find_git, git_environment
from ..ingest.quarantine import make_quarantine, remove_quarantine
from ..pack.index import PackIndexReader

MANY_PACKS = 50

_MIB = 1 << 20
_MEMORY_BYTES = 1024 * _MIB
_MEMORY_PER_OBJECT_BYTES = 512
_FILE_BYTES = 64 * _MIB
_CPU_SECS = 1800
_NAMES_BETWEEN_STOPS = 4096
_OLD_AND_LARGE = 2
_HALF_FOR_SECS = 3600
_ON_THEIR_WAY = "tmp_"  # git's and ours
_SUFFIXES = ("idx", "pack", "rev", "bitmap")
_SETTINGS = (
    *("-c", "core.packedGitWindowSize=16m"),
    *("-c", "core.packedGitLimit=128m"),
    *("-c", "core.deltaBaseCacheLimit=64m"),
    *("-c", "core.bigFileThreshold=16m"),
    *("-c", "pack.deltaCacheSize=64m"),
    *("-c", "pack.windowMemory=64m"),
    *("-c", "pack.writeReverseIndex=false"),
)
_FLAGS = ("--delta-base-offset", "--threads=1", "-q")
_NAME = re.compile(rb"[0-9a-f]{40}")
# The maker of these files has its own plans with the repository.
_NOT_OURS = ("keep", "promisor", "mtimes")


@attrs.frozen(order=True)
class Pack:
    """A pack of a repository: its place in the order of joining, its name, its bytes."""

    time_ns: int
    stem: str
    size: int


@attrs.frozen
class Combined:
    """A pack in quarantine with all that is in some packs of a repository.

    Attributes:
      repository: the repository.
      folder: the quarantine folder, which holds it.
      stem: its name, without suffix.
      time_ns: its place in the order of joining.
      replaces: the packs that it can stand for, oldest first.
      seen: those, and the older ones that it may lean on, each at its place.
    """

    repository: Path
    folder: Path
    stem: str
    time_ns: int
    replaces: tuple[str, ...]
    seen: frozenset[Pack]

    def put_in_place(self) -> bool:
        """Show it, then remove what it stands for; blocks.

        The caller sees to it that nothing joins the repository, or is linked into or out of it,
        meanwhile (its identifier's lock). Readers find each object at every moment, if they look
        twice; a crash leaves objects that are there twice.

        Returns False, and changes nothing, when one of the packs is not there any more, or not at
        its place.

        Raises:
          DiskFull, LocalFailure: the disk refuses.
        """
        with local_errors(f"repack {self.repository}"):
            if not self.seen.issubset(list_packs(self.repository) or ()):
                return False
            show_pack(self.folder / self.stem, self.repository, self.time_ns)
            self._remove_replaced(pack_dir(self.repository))
        return True

    def share_with(self, other: Path) -> bool:
        """Let another repository have the same file in place of the same packs; blocks.

        To be called after `put_in_place`, with the same care. Repositories of one identifier share
        packs by links: without this each would come to have a copy of its own.

        Returns False when it has not all of those packs in that order, or there can be no links.

        Raises:
          DiskFull, LocalFailure: the disk refuses.
        """
        with local_errors(f"repack {other}"):
            if not self.seen.issubset(list_packs(other) or ()):
                return False
            for suffix in ("pack", "idx"):
                here = f"{pack_dir(self.repository)}/{self.stem}.{suffix}"
                there = f"{pack_dir(other)}/{self.stem}.{suffix}"
                try:
                    os.link(here, there)
                except FileExistsError:
                    place(here, there)  # one of those replaced has the same bytes, at its own place
                except OSError as error:
                    if error.errno in NO_LINK:
                        return False
                    raise
            self._remove_replaced(pack_dir(other))
        return True

    def _remove_replaced(self, folder: str) -> None:
        fsync_dir(folder)
        for stem in self.replaces:
            if stem != self.stem:
                remove_pack(f"{folder}/{stem}")
        remove_halves(folder)
        fsync_dir(folder)

    def discard(self) -> None:
        """Remove what lies in quarantine of it; nothing to do the second time. Blocks."""
        remove_quarantine(self.folder)


def show_pack(here: Path, repository: Path, time_ns: int) -> None:
    """Move a pack out of quarantine to its place in the order of joining; its name needs fsync."""
    there = f"{pack_dir(repository)}/{here.name}"
    os.utime(f"{here}.pack", ns=(time_ns, time_ns))
    fsync_file(f"{here}.pack")
    for suffix in ("pack", "idx"):
        move_file(f"{here}.{suffix}", f"{there}.{suffix}")


def count_packs(repository: Path) -> int:
    """How many packs a repository has; 0 when it is not one that may be repacked.

    Others than we have a hand in those with loose objects, alternates, shallow or partial
    history, or packs that are to be kept.
    """
    try:
        return len(list_packs(repository) or ())
    except OSError:
        return 0


def combine_packs(repository: Path, tmp: Path, min_free_bytes: int) -> Combined | None:
    """Make one pack of the newest ones, in quarantine; blocking work, ended by cancelling.

    A pack that is larger than twice all later ones stays as it is, so that a large repository is
    not written anew for each small change.

    Args:
      tmp: the folder for quarantine.
      min_free_bytes: bytes that must stay free.

    Returns None when nothing can be gained, or git is not installed.

    Raises:
      DiskFull, LocalFailure: it cannot be done; nothing is left of it.
    """
    git = find_git()
    with local_errors(f"repack {repository}"):
        require_format(repository)
        packs = list_packs(repository) or []
        newest = _worth_combining(packs)
        if git is None or len(newest) < 2:
            return None
        require_free_space(repository, min_free_bytes, sum(pack.size for pack in newest))
        folder = make_quarantine(tmp, "repack")
        try:
            stems = tuple(pack.stem for pack in newest)
            names = "".join(f"{pack.stem}.pack\n" for pack in newest)
            limits = limits_for((repository, pack) for pack in newest)
            stem = pack_objects(git, [repository], folder, ("--stdin-packs", names), limits)
            _require_all(repository, stems, folder / stem)
        except BaseException:
            remove_quarantine(folder)
            raise
    return Combined(repository, folder, stem, newest[0].time_ns, stems, frozenset(packs))


def list_packs(repository: Path) -> list[Pack] | None:
    """All packs, oldest first; None when not only we have a hand in them."""
    if any(len(name) == 2 for name in os.listdir(objects_dir(repository))):
        return None
    if os.path.exists(f"{objects_dir(repository)}/info/alternates"):
        return None
    if os.path.exists(f"{repository}/shallow"):
        return None
    folder = pack_dir(repository)
    names = frozenset(os.listdir(folder))
    packs = []
    for name in names:
        stem, _, suffix = name.rpartition(".")
        if suffix in _NOT_OURS or name == "multi-pack-index":
            return None
        if suffix == "idx" and f"{stem}.pack" in names:
            status = os.stat(f"{folder}/{stem}.pack")
            packs.append(Pack(status.st_mtime_ns, stem, status.st_size))
    return sorted(packs)


def _worth_combining(packs: Sequence[Pack]) -> Sequence[Pack]:
    later = sum(pack.size for pack in packs)
    for number, pack in enumerate(packs):
        later -= pack.size
        if pack.size <= _OLD_AND_LARGE * later:
            # Of one moment: which of them leans on which cannot be told.
            while number and packs[number - 1].time_ns == pack.time_ns:
                number -= 1
            return packs[number:]
    return ()


def pack_objects(
    git: str,
    repositories: Sequence[Path],
    folder: Path,
    wanted: tuple[str, str],
    limits: ChildLimits,
) -> str:
    """Let git make one pack in quarantine, as durable as its name is not yet; returns its name.

    Args:
      repositories: those that are read.
      folder: the quarantine folder, where the pack lies then.
      wanted: how git is told what shall be in it, and its input.

    Raises OSError and LocalFailure.
    """
    how, names = wanted
    result = run_git(
        [git, *_SETTINGS, "pack-objects", how, *_FLAGS, os.path.abspath(folder / "pack")],
        git_environment(repositories[0], folder, *repositories[1:]),
        names,
        limits,
        folder,
    )
    name = _NAME.match(result.stdout)
    if result.returncode != 0 or name is None:
        raise failure(f"repack {repositories[0]}", result)
    stem = f"pack-{name[0].decode()}"
    for suffix in ("pack", "idx"):
        os.chmod(folder / f"{stem}.{suffix}", 0o444)
        fsync_file(folder / f"{stem}.{suffix}")
    return stem


def run_git(
    command: Sequence[str],
    env: Mapping[str, str],
    names: str,
    limits: ChildLimits,
    folder: Path,
) -> ChildResult:
    """Run git behind everything else, with names as its input; blocks.

    Args:
      folder: the quarantine folder.
    """
    nice = shutil.which("nice")
    os.makedirs(pack_dir(folder), exist_ok=True)
    wanted = folder / "names"
    wanted.write_text(names)
    with wanted.open("rb") as stdin:
        return run_child(
            [*([nice, "-n", "10"] if nice else []), *command],
            env=env,
            stdin=stdin,
            scratch=folder,
            limits=limits,
        )


def failure(doing: str, result: ChildResult) -> LocalFailure:
    """What git said when it could not do it."""
    said = result.stderr.decode(errors="replace").strip()[-300:]
    return LocalFailure(f"git could not {doing} (it ended with {result.returncode}): {said}")


def limits_for(packs: Iterable[tuple[Path, Pack]]) -> ChildLimits:
    """What git may use to make one pack of what is in those packs of repositories."""
    size = objects = 0
    for repository, pack in packs:
        size += pack.size
        objects += os.stat(f"{pack_dir(repository)}/{pack.stem}.idx").st_size // 28
    return ChildLimits(
        memory_bytes=_MEMORY_BYTES + size + _MEMORY_PER_OBJECT_BYTES * objects,
        cpu_secs=_CPU_SECS,
        file_bytes=_FILE_BYTES + 2 * size,
    )


def _require_all(repository: Path, stems: Collection[str], combined: Path) -> None:
    """See with our own eyes that each object of the packs is in the combined one."""
    with ExitStack() as stack:

        def names(path: str) -> Iterator[bytes]:
            try:
                reader = PackIndexReader(path)
            except ValueError as error:
                raise LocalFailure(f"{error}: run git fsck on {repository}") from error
            stack.callback(reader.close)
            return reader.names()

        there = names(f"{combined}.idx")
        old = heapq.merge(*(names(f"{pack_dir(repository)}/{stem}.idx") for stem in stems))
        has = next(there, None)
        for number, name in enumerate(old):
            if not number % _NAMES_BETWEEN_STOPS:
                stop_if_cancelled()
            while has is not None and has < name:
                has = next(there, None)
            if has != name:
                raise LocalFailure(f"git left {name.hex()} out when it repacked {repository}")


def remove_pack(stem: str) -> None:
    """Remove a pack by its path without suffix."""
    # The index first: without it git does not look for the pack.
    for suffix in _SUFFIXES:
        with suppress(FileNotFoundError):
            os.unlink(f"{stem}.{suffix}")


def remove_halves(folder: str) -> None:
    """Remove what crashes left: packs and indexes without the other, files on their way.

    Not new ones: another program may be about to add the other half, without our lock.
    """
    names = frozenset(os.listdir(folder))
    for name in names:
        stem, _, suffix = name.rpartition(".")
        other = {"pack": "idx", "idx": "pack"}.get(suffix)
        half = other is not None and f"{stem}.{other}" not in names
        if half or name.startswith(_ON_THEIR_WAY):
            with suppress(FileNotFoundError):
                # Of its name: a pack that was linked or moved here may have been written long ago.
                if time.time() - os.stat(f"{folder}/{name}").st_ctime > _HALF_FOR_SECS:
                    os.unlink(f"{folder}/{name}")
