"""Where repositories are (`<git_data>/<npub>/<identifier>.git`) and what is proven in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeVar, TypeVarTuple

import trio

from ...errors import InvalidKey, RepositoryError, RepositoryUnusable
from ...filenames import from_file_name, to_file_name
from ...git.disk.alignment import ALIGNED
from ...git.disk.layout import fsync_dir, local_failure, write_durably
from ...git.disk.linking import link_objects
from ...git.disk.repository import (
    SCRATCH,
    create_bare,
    is_repository,
    list_haves,
    list_refs,
    present_oids,
    remove_repository,
)
from ...git.folder.borrowed import take_in_borrowed
from ...git.ingest.connectivity import complete_oids
from ...nostr.address import is_valid_identifier
from ...nostr.keys import decode_npub, encode_npub
from ...policy.push import NOSTR
from ...runtime.blocking import blocking
from ...runtime.bounded import Bounded
from ...runtime.logger import get_logger
from ...store.protocol import Made
from .prs_folder import PrsFolder

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROVEN_MARKER = "purgatory-sync-proven"
LEFT_MARKER = "purgatory-sync-left"
MADE_MARKER = "purgatory-sync-made"
REMEMBERED_WALKS = 100_000
REMEMBERED_PATHS = 4_096
log = get_logger(__name__)


def extract_identifier_from_repo_path(path: Path) -> str | None:
    """The identifier of a repository's path, `<npub>/<identifier>.git`; None for any other path."""
    try:
        decode_npub(path.parent.name)
    except InvalidKey:
        return None
    name = from_file_name(path.name)
    identifier = name.removesuffix(".git")
    return identifier if name != identifier and is_valid_identifier(identifier) else None


def _ignore(path: Path) -> None:
    """Default `changed`: do nothing."""


class Repositories:
    """The bare repositories of one data folder.

    What touches the disk is synchronous, so that steps that belong together take one way to a
    worker thread and back: `await repositories.run(repositories.create, owner, identifier)`.

    Only closed packs join a repository that we made, so an object that is there is there with all
    its history (B 3.6). Where another program writes too, the marker is missing and each object is
    walked once instead.

    Args:
      git_data: the folder that holds them.
      limiter: places for git work in threads.

    Attributes:
      prs: what contributors push below `/prs/`; None where that is off (GRASP-06).
      removals: how many repositories were removed, or begun to be, since the start.
      before_removal: called with the path of a repository that is about to be removed or moved.
      changed: told, in a thread, of paths where files came or went.
      exact_names: whether the file system tells names apart that differ in case or Unicode's form.
    """

    def __init__(self, git_data: Path, limiter: trio.CapacityLimiter) -> None:
        self.git_data = git_data
        self.tmp = git_data / SCRATCH
        self.limiter = limiter
        self.exact_names = True
        self._walking = Lock()
        self._walked: Bounded[tuple[Path, str], bool] = Bounded(REMEMBERED_WALKS)
        self._existing: set[Path] = set()
        self.removals = 0
        self.prs: PrsFolder | None = None
        self.before_removal: Callable[[Path], None] | None = None
        self.changed: Callable[[Path], None] = _ignore

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run synchronous git work in a thread; see `runtime.blocking`."""
        return await blocking(self.limiter, function, *args)

    def path(self, owner: str, identifier: str) -> Path:
        """Where the repository of an owner (hex) is, or would be."""
        return _path(self.git_data, owner, identifier)

    def exists(self, owner: str, identifier: str) -> bool:
        """Whether the repository is on this disk, for the event loop.

        What was seen once is remembered until we remove it: a look at a busy disk can take long.
        """
        path = self.path(owner, identifier)
        if path not in self._existing:
            if not is_repository(path) or not self._has_exact_name(path):
                return False
            self._existing.add(path)
        return True

    def look_again(self, owner: str, identifier: str) -> None:
        """Look at the disk for it again: another program may have taken it away."""
        self._existing.discard(self.path(owner, identifier))
        self.removals += 1

    def create(self, owner: str, identifier: str, token: str = "") -> None:
        """Make an empty bare repository unless it is there (B 2.4).

        Args:
          token: by which it is known again as the one that was made (`was_made`); without one
            it never is.

        Raises:
          RepositoryError: the disk refuses, or what is there cannot be used; nothing was made.
        """
        path = self.path(owner, identifier)
        if is_repository(path):
            self.adopt(path)
        marks = {PROVEN_MARKER: b""} | ({MADE_MARKER: token.encode()} if token else {})
        create_bare(path, self.tmp, marks)
        self.changed(path)

    def adopt(self, path: Path) -> None:
        """Let a repository that was found be whole by itself.

        Raises:
          RepositoryError: it cannot be; the sentence says what to do.
        """
        self._require_exact_name(path)
        if take_in_borrowed(path):
            log.info("took in what a repository borrowed", path=str(path))
            self.distrust(path)

    def adopt_all(self) -> list[str]:
        """Do so with every repository on the disk; returns the sentences of those that cannot be.

        Raises OSError when the folder cannot be read.
        """
        refused = []
        for owner, identifier in self.all_named():
            try:
                self.adopt(self.path(owner, identifier))
            except RepositoryError as error:
                refused.append(str(error))
            except OSError as error:  # this one alone: a start goes on
                path = self.path(owner, identifier)
                refused.append(str(local_failure(f"look at {path}", error)))
        return refused

    def scratch_folders(self) -> list[Path]:
        """Where work in progress lies; owners' folders on other disks have one of their own."""
        return [self.tmp, *self.git_data.glob(f"npub1*/{SCRATCH}")]

    def _require_exact_name(self, path: Path) -> None:
        if not self.exact_names and path.name not in os.listdir(path.parent):
            raise RepositoryUnusable(
                f"the file system takes {path} for another name that is there: use one that tells"
                " capitals and Unicode's forms apart (NGIT_GIT_DATA_PATH)"
            )

    def note_made(self, path: Path, token: str) -> None:
        """Let a repository be known as one that was made, as if `create` had been given the token.

        Raises:
          RepositoryError: the disk refuses.
        """
        try:
            write_durably(path / MADE_MARKER, token.encode())
            fsync_dir(path)
        except OSError as error:
            raise local_failure(f"note who made {path}", error) from error

    def was_made(self, path: Path, token: str) -> bool:
        """Whether it is the very repository that was made with the token."""
        try:
            return bool(token) and (path / MADE_MARKER).read_bytes() == token.encode()
        except OSError:
            return False

    def token_of(self, path: Path) -> str:
        """The token that it was made with, in this store's time or another's; empty without one."""
        try:
            return (path / MADE_MARKER).read_bytes().decode("ascii", "replace")
        except OSError:
            return ""

    def is_noted(self, path: Path, note: Made | None) -> bool:
        """Whether a repository is the one that was made here and that a note means.

        Of those that older versions made and that were served no token is known.
        """
        if note is None or note.found:
            return False
        return self.was_made(path, note.token) if note.token else note.filled

    def has_data(self, path: Path) -> bool:
        """Whether a branch or a tag is there, so that it was served, or belongs to another program.

        Raises:
          RepositoryError: its refs cannot be read.
        """
        return any(name.startswith(ALIGNED) for name in list_refs(path))

    def pull_request_ids(self, path: Path) -> list[str]:
        """The event ids of its `refs/nostr/`.

        Raises:
          RepositoryError: its refs cannot be read.
        """
        return [name.removeprefix(NOSTR) for name in list_refs(path) if name.startswith(NOSTR)]

    def remove_made_empty(self, owner: str, identifier: str, token: str) -> bool:
        """Remove it if it was made with the token and no branch or tag ever came; whether it was.

        Raises:
          RepositoryError: it cannot be looked at, or the disk refuses.
        """
        path = self.path(owner, identifier)
        if not self.was_made(path, token) or self.has_data(path):
            return False
        self.remove(owner, identifier)
        return True

    def remove(self, owner: str, identifier: str) -> None:
        """Take a repository out of sight by one rename, then delete it.

        Raises:
          RepositoryError: the disk refuses.
        """
        path = self.path(owner, identifier)
        with self.leaving(path):
            remove_repository(path, self.tmp)

    @contextmanager
    def leaving(self, path: Path) -> Iterator[None]:
        """What is remembered of a repository is forgotten: in the block it leaves its place."""
        if self.before_removal is not None:
            self.before_removal(path)
        self._existing.discard(path)
        self.removals += 1
        yield
        self._existing.discard(path)
        self.removals += 1
        with self._walking:
            for key in [key for key in self._walked if key[0] == path]:
                self._walked.pop(key)
        self.changed(path)

    def distrust(self, path: Path) -> None:
        """Another program wrote into the repository: its objects are walked from now on, for ever.

        Raises:
          RepositoryError: the disk refuses.
        """
        try:
            (path / PROVEN_MARKER).unlink()
            fsync_dir(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise local_failure(f"note that others write to {path}", error) from error

    def is_ours_alone(self, path: Path) -> bool:
        """Whether only this program ever wrote into the repository, as far as we were told."""
        return (path / PROVEN_MARKER).exists()

    def all_named(self) -> list[tuple[str, str]]:
        """Owner and identifier of every repository on the disk, no matter who put it there."""
        named = []
        for path in self.git_data.glob("npub1*/*.git"):
            identifier = extract_identifier_from_repo_path(path)
            if identifier is not None:
                named.append((decode_npub(path.parent.name), identifier))
        return sorted(named)

    def identifiers_of(self, owner: str) -> tuple[str, ...]:
        """The identifiers of an owner's repositories on the disk, no matter who put them there."""
        folder = self.path(owner, "x").parent
        found = map(extract_identifier_from_repo_path, folder.glob("*.git"))
        return tuple(sorted(identifier for identifier in found if identifier is not None))

    def ours_alone(self) -> Iterator[Path]:
        """Every repository that only this program wrote into, as they are found on the disk."""
        for path in self.git_data.glob("npub1*/*.git"):
            if self.is_ours_alone(path):
                yield path

    def of_identifier(self, identifier: str) -> list[Path]:
        """Every repository of an identifier on the disk, announced or not."""
        name = to_file_name(f"{identifier}.git")
        paths = (folder / name for folder in self.git_data.glob("npub1*"))
        return [path for path in paths if is_repository(path)]

    def relatives(self, path: Path) -> list[Path]:
        """The other repositories of the same identifier that only this program wrote into."""
        paths = (folder / path.name for folder in self.git_data.glob("npub1*"))
        return [each for each in paths if each != path and self.is_ours_alone(each)]

    def note_left(self, path: Path) -> None:
        """Note durably that the repository may hold unreachable objects.

        Raises:
          RepositoryError: the disk refuses.
        """
        try:
            # Other words each time: what is noted again while it is seen to is not forgotten then.
            write_durably(path / LEFT_MARKER, os.urandom(16).hex().encode())
            fsync_dir(path)
        except OSError as error:
            raise local_failure(f"note what was left in {path}", error) from error

    def note_unnamed(self, paths: Iterable[Path], oids: Collection[str]) -> None:
        """Do so where one of the OIDs is here and no ref names it.

        What cannot be looked at is logged; its objects stay.
        """
        for path in paths:
            try:
                if present_oids(path, frozenset(oids).difference(list_refs(path).values())):
                    self.note_left(path)
            except (RepositoryError, OSError) as error:
                log.warning("not noted what was left", path=str(path), error=str(error))

    def left(self, path: Path) -> bytes | None:
        """What `note_left` noted last; None when there is nothing to drop."""
        try:
            return (path / LEFT_MARKER).read_bytes()
        except OSError:
            return None

    def forget_left(self, path: Path, noted: bytes) -> None:
        """It was seen to, unless something else was noted since.

        Raises OSError when the disk refuses.
        """
        if self.left(path) == noted:
            (path / LEFT_MARKER).unlink()
            fsync_dir(path)

    def here(
        self, wanted: Mapping[str, tuple[Sequence[Path], Collection[str]]]
    ) -> dict[str, frozenset[str]]:
        """Which objects are here with all their history, in one go for many events (B 3.6).

        Args:
          wanted: a key of the caller's → repositories concerned, and OIDs.

        Returns, by key, the OIDs that some of its repositories holds. A damaged repository holds
        nothing; the answers of the others count all the same.
        """
        by_path: dict[Path, set[str]] = {}
        for paths, oids in wanted.values():
            for path in paths:
                by_path.setdefault(path, set()).update(oids)
        found = {path: self._readable(path, oids) for path, oids in by_path.items()}
        return {
            key: frozenset(oids) & frozenset().union(*(found[path] for path in paths))
            for key, (paths, oids) in wanted.items()
        }

    def gather(
        self, sources: Sequence[Path], target: Path, oids: Collection[str]
    ) -> frozenset[str]:
        """Link what the target lacks from other repositories; returns the OIDs it then holds.

        A source that another program writes to gives only what is proven in it, and the target is
        believed no more than the source from then on.
        """
        before = there = self._proven(target, oids)
        for source in sources:
            lacking = frozenset(oids) - there
            if not lacking:
                break
            if source != target and self._proven(source, lacking):
                if not self.is_ours_alone(source):
                    self.distrust(target)
                link_objects([source], target, lacking)
                there |= self._proven(target, lacking)
        if there != before:
            self.changed(target)
        return there

    def gather_tips(self, sources: Sequence[Path], target: Path) -> None:
        """Link what the refs of other repositories reach and the target lacks (docs/storage.md)."""
        for source in sources:
            self.gather([source], target, list_haves(source))

    def _has_exact_name(self, path: Path) -> bool:
        try:
            self._require_exact_name(path)
        except RepositoryUnusable:
            return False
        return True

    def _readable(self, path: Path, oids: Collection[str]) -> frozenset[str]:
        try:
            return self._proven(path, oids)
        except (RepositoryError, OSError) as error:
            log.error("repository cannot be read", path=str(path), error=str(error))
            return frozenset()

    def _proven(self, path: Path, oids: Collection[str]) -> frozenset[str]:
        present = present_oids(path, oids)
        if not present or self.is_ours_alone(path):
            return present
        unknown = [oid for oid in sorted(present) if (path, oid) not in self._walked]
        complete = complete_oids(path, unknown) if unknown else frozenset()
        with self._walking:
            for oid in sorted(complete):
                self._walked.put((path, oid), True)
        return (present - frozenset(unknown)) | complete


@lru_cache(maxsize=REMEMBERED_PATHS)
def _path(git_data: Path, owner: str, identifier: str) -> Path:
    return git_data / encode_npub(owner) / to_file_name(f"{identifier}.git")
