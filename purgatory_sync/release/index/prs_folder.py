"""The folder of what contributors push below `/prs/` (`<git_data>/prs/<hex>/<id>.git`; B 12.2).

A repository here belongs to no announcement and is asked for by key and identifier only: no path is
built from anything else. Which there are, and how large, is remembered, so that a look at one that
is not there touches no disk.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from ...errors import RepositoryError
from ...filenames import from_file_name, to_file_name
from ...git.disk.layout import begin_era, local_failure, rename_into
from ...git.disk.linking import link_objects, link_packs
from ...git.disk.refs import update_refs
from ...git.disk.repository import is_repository, list_refs, present_oids, remove_repository
from ...git.ingest.needed_packs import LOOSE, keep_packs, needed_packs, pack_names
from ...nostr.address import RepositoryId, is_hex_key, is_valid_identifier
from ...nostr.keys import encode_npub
from ...nostr.pull_request import PullRequest
from ...policy.contributions import PrsUse
from ...purgatory.uploads import Uploads
from ...settings import PrsSettings
from ...urls import PRS

FOLDER_BYTES = 32 * 1024
"""What an empty repository takes on a disk, by and large: small ones are not for nothing."""


@attrs.frozen
class Scan:
    """What was found on the disk.

    Attributes:
      repositories: by path, the refs.
      foreign: what was not made here, by path or name of ref.
      broken: sentences about what cannot be read.
    """

    repositories: dict[RepositoryId, dict[str, str]] = attrs.field(factory=dict)
    foreign: list[str] = attrs.field(factory=list)
    broken: list[str] = attrs.field(factory=list)


@attrs.frozen
class PrsCounts:
    """What is below `/prs/`, by whether a signed event names it."""

    repositories: int = 0
    claimed: int = 0
    unclaimed: int = 0
    claimed_bytes: int = 0
    unclaimed_bytes: int = 0


@attrs.frozen
class _There:
    """A repository as it was when it changed last: its bytes, and how many refs it has."""

    size: int
    refs: int


class PrsFolder:
    """Where repositories of contributors are; what touches the disk blocks.

    Attributes:
      service: our host[:port][/base], which `clone` values name.
      settings: its budgets.
      before_removal: called with the path of a repository that is about to be removed.
      events: what became of events that name paths of it, since the start.
      copies: how often commits were copied into announced repositories.
      changes: another number after each change of what is there.
    """

    def __init__(
        self, git_data: Path, tmp: Path, service: str, settings: PrsSettings | None = None
    ) -> None:
        self.folder = git_data / PRS
        self.tmp = tmp
        self.service = service
        self.settings = settings or PrsSettings()
        self.events = Counter({"held": 0, "served": 0, "refused": 0, "expired": 0})
        self.copies = Counter({"copied": 0, "failed": 0})
        self.before_removal: Callable[[Path], None] | None = None
        self._there: dict[RepositoryId, _There] = {}
        self._of_owner: dict[str, dict[RepositoryId, None]] = {}
        self._bytes = 0
        self.changes = 0

    def __contains__(self, repository: RepositoryId) -> bool:
        return repository in self._there

    def __iter__(self) -> Iterator[RepositoryId]:
        yield from tuple(self._there)

    def __len__(self) -> int:
        return len(self._there)

    def path(self, repository: RepositoryId) -> Path:
        """Where a repository is, or would be."""
        return self.folder / repository.owner / to_file_name(f"{repository.identifier}.git")

    def named_by(self, pr: PullRequest) -> tuple[RepositoryId, ...]:
        """Those that a pull request may be pushed to, here already or not (B 12.3)."""
        return pr.contributed(self.service)

    def holding(self, pr: PullRequest) -> tuple[Path, ...]:
        """The paths of those that are here."""
        return tuple(self.path(each) for each in self.named_by(pr) if each in self._there)

    def of_owner(self, owner: str) -> list[RepositoryId]:
        """Those below the paths of one key, no matter who pushed there."""
        return list(self._of_owner.get(owner, ()))

    def size(self, repository: RepositoryId) -> int:
        """Its bytes; what it shares by links counts as if it were a copy."""
        there = self._there.get(repository)
        return there.size if there is not None else 0

    def use(self, uploads: Uploads, repository: RepositoryId, address: str = "") -> PrsUse:
        """What is used of the budgets of one path, its key, and a client's address."""
        mine = [(each, *self._claimed(each, uploads)) for each in self.of_owner(repository.owner)]
        here = uploads.of_repository(repository)
        return PrsUse(
            bytes=self._bytes - uploads.size,
            bytes_of_author=sum(size for _, size, _ in mine),
            repositories=sum(bool(refs) for _, _, refs in mine),
            refs=next((refs for each, _, refs in mine if each == repository), 0),
            unclaimed_bytes=uploads.size,
            unclaimed_bytes_of_address=uploads.size_of_address(address),
            unclaimed=len(uploads),
            unclaimed_here=len(here),
        )

    def count(self, uploads: Uploads) -> PrsCounts:
        """How much is there in all, for metrics."""
        refs = sum(each.refs for each in self._there.values())
        waiting = len(uploads)
        return PrsCounts(
            len(self._there), refs - waiting, waiting, self._bytes - uploads.size, uploads.size
        )

    def _claimed(self, repository: RepositoryId, uploads: Uploads) -> tuple[int, int]:
        """Bytes and refs of it that signed events name."""
        there, waiting = self._there[repository], uploads.of_repository(repository)
        size = there.size - sum(each.size for each in waiting)
        return max(size, 0), max(there.refs - len(waiting), 0)

    def measure_again(self, repository: RepositoryId) -> None:
        """Remember how large it is now, or that it is gone."""
        self._forget(repository)
        self.changes += 1
        path = self.path(repository)
        if is_repository(path):
            there = _There(measure(path), len(list_refs(path)))
            self._bytes += there.size
            self._there[repository] = there
            self._of_owner.setdefault(repository.owner, {})[repository] = None

    def _forget(self, repository: RepositoryId) -> None:
        there = self._there.pop(repository, None)
        if there is not None:
            self._bytes -= there.size
            having = self._of_owner[repository.owner]
            del having[repository]
            if not having:
                del self._of_owner[repository.owner]

    def scan(self) -> Scan:
        """Look at the disk and take over what is there; strangers are left where they are.

        Raises OSError when the folder cannot be read.
        """
        found = Scan()
        if not self.folder.is_dir():
            return found
        for owner in sorted(os.listdir(self.folder)):
            if not is_hex_key(owner) or not (self.folder / owner).is_dir():
                found.foreign.append(str(self.folder / owner))
                continue
            for name in sorted(os.listdir(self.folder / owner)):
                self._look(owner, name, found)
        return found

    def _look(self, owner: str, name: str, found: Scan) -> None:
        path, text = self.folder / owner / name, from_file_name(name)
        identifier = text.removesuffix(".git")
        if identifier == text or not is_valid_identifier(identifier) or not is_repository(path):
            found.foreign.append(str(path))
            return
        repository = RepositoryId(owner, identifier)
        try:
            found.repositories[repository] = list_refs(path)
            self.measure_again(repository)
        except (RepositoryError, OSError) as error:
            found.broken.append(f"{path}: {error}")

    def place(self, stage: Path, repository: RepositoryId) -> None:
        """Show a repository that was made whole elsewhere, by one rename.

        Raises:
          RepositoryError: the disk refuses; it is where it was.
        """
        path = self.path(repository)
        try:
            rename_into(stage, path)
        except OSError as error:
            raise local_failure(f"make {path}", error) from error
        self.measure_again(repository)

    def take(self, stage: Path, repository: RepositoryId, tips: Collection[str]) -> None:
        """Link into a repository what a stage has beyond it.

        Raises:
          RepositoryError: the disk refuses; what came is whole.
        """
        link_objects([stage], self.path(repository), tips)
        self.measure_again(repository)

    def name(self, repository: RepositoryId, refs: Mapping[str, str | None]) -> None:
        """Make refs of a repository that is there, or delete them.

        Raises:
          RepositoryError: none was changed.
        """
        update_refs(self.path(repository), refs)
        self.measure_again(repository)

    def remove(self, repository: RepositoryId) -> None:
        """Remove a repository with all its refs.

        Raises:
          RepositoryError: the disk refuses.
        """
        path = self.path(repository)
        try:
            if self.before_removal is not None:
                self.before_removal(path)
            remove_repository(path, self.tmp)
        finally:
            self.measure_again(repository)

    def compact(self, repository: RepositoryId) -> None:
        """Remove what no ref needs any more, and the whole where no ref is left (B 12.5).

        Nothing joins it meanwhile: its identifier's lock is held.

        Raises:
          RepositoryError, LocalFailure, OSError: it stays as it is, or in part.
        """
        path = self.path(repository)
        try:
            refs = list_refs(path)
            if not refs and is_repository(path):
                self.remove(repository)
            elif refs:
                begin_era(path)
                keep_packs(path, needed_packs(path, refs.values()) or pack_names(path))
        finally:
            self.measure_again(repository)


def all_contributed(git_data: Path) -> list[tuple[str, Path]]:
    """Identifier and path of every repository below `/prs/` on the disk, on or off; blocks."""
    found = ((from_file_name(path.name), path) for path in git_data.glob(f"{PRS}/*/*.git"))
    return sorted((name.removesuffix(".git"), path) for name, path in found)


def contributed_repositories(git_data: Path) -> list[RepositoryId]:
    """Those of them whose names say key and identifier, in their order; blocks. Raises OSError."""
    found = ((path.parent.name, identifier) for identifier, path in all_contributed(git_data))
    return sorted(RepositoryId(*e) for e in found if is_hex_key(e[0]) and is_valid_identifier(e[1]))


def name_below_prs(repository: RepositoryId) -> str:
    """By what commands name one: `prs/npub1…/identifier`."""
    return f"{PRS}/{encode_npub(repository.owner)}/{repository.identifier}"


def any_names(paths: Iterable[Path], pr: PullRequest) -> bool:
    """Whether some repository has the commit of a pull request under its ref; blocks."""
    for path in paths:
        with suppress(RepositoryError):  # one that is damaged has nothing
            if list_refs(path).get(pr.ref) == pr.commit:
                return True
    return False


def copy_commit(sources: Sequence[Path], target: Path, oid: str) -> bool:
    """Link a commit of a contributor into an announced repository, with no more than it needs.

    Returns whether the target has it afterwards.

    Raises:
      RepositoryError, LocalFailure, NotClosed: it cannot be; what came is whole.
    """
    for source in sources:
        if present_oids(target, [oid]):
            return True
        if not present_oids(source, [oid]):
            continue
        needed = needed_packs(source, [oid], there=target) or frozenset()
        if LOOSE in needed:
            link_objects([source], target, [oid])
        else:
            link_packs(source, target, needed)
    return bool(present_oids(target, [oid]))


def measure(path: Path) -> int:
    """Bytes of the files of packs, indexes and loose objects, and of an empty repository."""
    total = FOLDER_BYTES
    for folder, _, names in os.walk(path / "objects"):
        total += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
    return total
