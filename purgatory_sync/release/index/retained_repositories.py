"""The deleted repositories that stay for a time, by owner and identifier (B 13.10)."""

from __future__ import annotations

import attrs

from ...filenames import from_file_name
from ...git.folder.retained import (
    Retained,
    bring_back,
    date_anew,
    find_retained,
    remove_retained,
    retain,
)
from ...nostr.keys import decode_npub
from ...runtime.logger import get_logger
from ...store.protocol import Made
from .repositories import Repositories, extract_identifier_from_repo_path

log = get_logger(__name__)


@attrs.frozen
class DeletedRepository:
    """One of them.

    Attributes:
      owner: hex key.
      at: when it was deleted, in Unix seconds.
    """

    owner: str
    identifier: str
    at: int
    retained: Retained


@attrs.frozen
class RetainedRepositories:
    """Those of one git folder; synchronous, as `Repositories`, under the identifier's lock."""

    repositories: Repositories

    def all(self) -> list[DeletedRepository]:
        """Every one, the oldest first; raises OSError."""
        return self._named(find_retained(self.repositories.git_data))

    def of_owner(self, owner: str) -> list[DeletedRepository]:
        """Those of an owner, the oldest first; raises OSError."""
        folder = self.repositories.path(owner, "x").parent.name
        return self._named(find_retained(self.repositories.git_data, folder))

    def of(self, owner: str, identifier: str) -> list[DeletedRepository]:
        """Those of an owner and identifier, the oldest first; raises OSError."""
        return [each for each in self.of_owner(owner) if each.identifier == identifier]

    def identifiers_of(self, owner: str) -> tuple[str, ...]:
        """The identifiers of an owner's; raises OSError."""
        return tuple(sorted({each.identifier for each in self.of_owner(owner)}))

    def leaves(self, each: DeletedRepository, note: Made | None) -> bool:
        """Whether it is deleted when its time is over (B 13.10).

        Not what the store does not know, nor what was never made here: such a one leaves where the
        operator's word took it out, as long as it is not announced again (B 13.8).
        """
        if note is None or note.found:
            return note is not None
        path = each.retained.path
        # Of two that lie here by the same name the note means one; both were made.
        return bool(self.repositories.token_of(path)) or self.repositories.is_noted(path, note)

    def put(self, owner: str, identifier: str, at: int) -> None:
        """Take a repository out of its place.

        Raises:
          RepositoryError: the disk refuses; it is where it was.
        """
        path = self.repositories.path(owner, identifier)
        with self.repositories.leaving(path):
            kept = retain(path, self.repositories.git_data, at)
        self.repositories.changed(kept)
        log.info("a deleted repository is kept for a time", path=str(kept))

    def take_back(self, each: DeletedRepository) -> bool:
        """Put one at its place; its objects are proven anew from then on, each when it is needed.

        Returns False where that is on another disk.

        Raises:
          RepositoryError: the disk refuses.
        """
        self.repositories.distrust(each.retained.path)
        place = self.repositories.path(each.owner, each.identifier)
        with self.repositories.leaving(each.retained.path):
            back = bring_back(each.retained, place)
        if back:
            self.repositories.changed(place)
            log.info("a deleted repository is back: it is announced again", path=str(place))
        return back

    def remove(self, each: DeletedRepository) -> None:
        """Delete one for good.

        Raises:
          RepositoryError: the disk refuses.
        """
        with self.repositories.leaving(each.retained.path):
            remove_retained(each.retained, self.repositories.tmp)

    def remove_all(self, owner: str, identifier: str) -> None:
        """Delete all of an owner and identifier for good.

        Raises:
          RepositoryError, OSError: the disk refuses.
        """
        for each in self.of(owner, identifier):
            self.remove(each)

    def date_anew(self, each: DeletedRepository, at: int) -> None:
        """Let it be deleted at another time.

        Raises:
          RepositoryError: the disk refuses.
        """
        with self.repositories.leaving(each.retained.path):
            dated = date_anew(each.retained, at)
        self.repositories.changed(dated)

    def _named(self, found: list[Retained]) -> list[DeletedRepository]:
        named = []
        for each in found:
            place = self.repositories.git_data / each.folder / each.name
            if (identifier := extract_identifier_from_repo_path(place)) is not None:
                owner = decode_npub(from_file_name(each.folder))
                named.append(DeletedRepository(owner, identifier, each.at, each))
        return named
