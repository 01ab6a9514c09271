"""Which repositories are on the disk, whose they are, and the operator's word that removes one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import attrs

from ...errors import InvalidKey, RepositoryError, ResultClass
from ...git.disk.layout import local_failure, require_format
from ...git.disk.repository import list_refs
from ...nostr.authority.repository_data import Standing
from ...nostr.keys import decode_npub, encode_npub
from ...policy.push import ALIGNED
from ...release.commit import Core
from ...release.index.repositories import Repositories
from ...release.index.retained_repositories import RetainedRepositories
from ...release.releaser import Releaser
from ...release.retiring import forget_note
from ...runtime.folders import folder_bytes
from ...settings import KeepingSettings
from ...store.protocol import Change, Made
from ..pushes.last_seen import LastSeen
from ..upkeep.authority_report import RepositoryAuthority, report_authority
from ..verifying.verify_record import VerifyRecord
from .deleted_keeper import SECS_PER_DAY

_STANDINGS: dict[Standing, Literal["served", "held", "expired"]] = {
    Standing.SERVED: "served",
    Standing.HELD: "held",
    Standing.SOFT_EXPIRED: "expired",
}


@attrs.frozen
class ListedRepository:
    """One repository of the git folder.

    Attributes:
      made: whether it was made for an announcement here; else it was found and adopted.
      has_data: whether it has branches or tags.
      standing: of its announcement; `expired`: no data came in time, `none`: there is none.
      problem: why it cannot be used, or what the last verification found, or None.
      refs: how many it has.
      size: bytes of its files; those that others have by hard links too count.
      state_at: `created_at` of the state that rules it, Unix seconds; None where none does.
      lags: in what it is not as the newest state says, or None.
      pushed_at: when a push changed it last, Unix seconds; None where that is not known.
      hunted_at, hunt_result: when the last attempt at a git server for its identifier ended, Unix
        seconds, and its class; None where that is not known.
    """

    npub: str
    identifier: str
    made: bool
    has_data: bool
    standing: Literal["served", "held", "expired", "none"]
    problem: str | None = None
    refs: int = 0
    size: int = 0
    state_at: int | None = None
    lags: str | None = None
    pushed_at: float | None = None
    hunted_at: float | None = None
    hunt_result: ResultClass | None = None


@attrs.frozen
class ListedDeleted:
    """One repository that was deleted and is kept for a time.

    Attributes:
      deleted_at, leaves_at: Unix seconds; `leaves_at` is None where it leaves by no time.
      size: bytes of its files; those that others have by hard links too count.
    """

    npub: str
    identifier: str
    deleted_at: int
    leaves_at: float | None
    size: int


@attrs.frozen
class Caretaker:
    """Looks at the git folder as a whole; changes it under the identifier's lock."""

    core: Core
    releaser: Releaser
    record: VerifyRecord = attrs.field(factory=lambda: VerifyRecord(None))
    keeping: KeepingSettings = attrs.field(factory=KeepingSettings)
    seen: LastSeen = attrs.field(factory=LastSeen)

    async def list(self) -> tuple[ListedRepository, ...]:
        """Every repository on the disk, no matter who put it there, by owner and identifier.

        Raises:
          RepositoryError: the folder cannot be read.
          StoreError: the store cannot be asked.
        """
        repositories = self.core.repositories
        try:
            named = await repositories.run(repositories.all_named)
        except OSError as error:
            raise RepositoryError(f"{repositories.git_data} cannot be read: {error}") from error
        return tuple([await self._look(owner, identifier) for owner, identifier in named])

    async def deleted(self) -> tuple[ListedDeleted, ...]:
        """Those that were deleted and are kept for a time, the oldest first (B 13.10).

        Raises:
          RepositoryError: the folder cannot be read.
        """
        repositories = self.core.repositories
        try:
            return await repositories.run(self._deleted)
        except OSError as error:
            raise RepositoryError(f"{repositories.git_data} cannot be read: {error}") from error

    def _deleted(self) -> tuple[ListedDeleted, ...]:
        kept_secs = self.keeping.deleted_retention_days * SECS_PER_DAY
        listed, retained = [], RetainedRepositories(self.core.repositories)
        for each in retained.all():
            note = self.core.ledger.made(each.owner, each.identifier)
            by_time = kept_secs < math.inf and retained.leaves(each, note)
            leaves = each.at + kept_secs if by_time else None
            size = folder_bytes(each.retained.path)
            npub = encode_npub(each.owner)
            listed.append(ListedDeleted(npub, each.identifier, each.at, leaves, size))
        return tuple(listed)

    async def remove(self, name: str) -> ListedRepository:
        """Remove a repository that is neither served nor held, no matter who put it there.

        Also one that was deleted and is kept for a time.

        Args:
          name: `npub1…/identifier`.

        Returns what was removed.

        Raises:
          RepositoryError: there is none of this name, its announcement is here, or the disk
            refuses; the sentence says so.
          StoreError: the store cannot be asked.
        """
        repositories = self.core.repositories
        owner, identifier = await self._find(name)
        async with self.releaser.hold(identifier):
            if not repositories.exists(owner, identifier):
                return await self._remove_deleted(owner, identifier)
            known = (await self.core.index.data(identifier)).known.get(owner)
            # Whether it is hosted depends on settings, which a stopped node's shell may not have.
            if known is not None and known.standing in (Standing.SERVED, Standing.HELD):
                raise RepositoryError(
                    f"{name} is {_STANDINGS[known.standing]}: it can be removed when its"
                    " announcement is deleted by its author or has ended"
                )
            listed = await self._look(owner, identifier)
            await repositories.run(repositories.remove, owner, identifier)
            if (made := self.core.ledger.made(owner, identifier)) is not None:
                await forget_note(self.core, made)
        return listed

    async def _remove_deleted(self, owner: str, identifier: str) -> ListedRepository:
        repositories = self.core.repositories
        retained = RetainedRepositories(repositories)
        npub, made = encode_npub(owner), self.core.ledger.made(owner, identifier)
        try:
            if not await repositories.run(retained.of, owner, identifier):
                raise RepositoryError(f"there is no repository {npub}/{identifier} here")
            await repositories.run(retained.remove_all, owner, identifier)
        except OSError as error:
            raise local_failure(f"remove {npub}/{identifier}", error) from error
        if made is not None:
            await self.core.ledger.apply(Change(forget_made=[made]))
        made_here = made is not None and not made.found
        return ListedRepository(npub, identifier, made_here, True, "none")

    async def _find(self, name: str) -> tuple[str, str]:
        """The repository of that very name on the disk; `.git` at its end may be left out or not.

        Raises:
          RepositoryError: there is none.
        """
        owner, identifier = _parse(name)
        repositories = self.core.repositories
        there = set(await repositories.run(repositories.all_named))
        retained = RetainedRepositories(repositories)
        there.update((owner, i) for i in await repositories.run(retained.identifiers_of, owner))
        for each in (identifier, identifier.removesuffix(".git")):
            if (owner, each) in there:
                return owner, each
        raise RepositoryError(f"there is no repository {name} here")

    async def authority(self, name: str = "") -> tuple[RepositoryAuthority, ...]:
        """Who rules the repositories of this name; see `report_authority`."""
        return await report_authority(self.core, name)

    async def _look(self, owner: str, identifier: str) -> ListedRepository:
        repositories, index = self.core.repositories, self.core.index
        known = (await index.data(identifier)).known.get(owner)
        hosted = known is not None and (
            known.has_repository or known.standing is Standing.SOFT_EXPIRED
        )
        path = repositories.path(owner, identifier)
        note = self.core.ledger.made(owner, identifier)
        made, has_data, problem = await repositories.run(_judge, repositories, path, note)
        refs, size = await repositories.run(_measure, path, problem is None)
        standing = _STANDINGS[known.standing] if known is not None and hosted else "none"
        lags = None
        if known is not None and known.standing is Standing.SERVED and problem is None:
            lags = await self._lags(owner, identifier, refs)
        state = (await index.ruling_states(identifier)).get(owner)
        npub, seen = encode_npub(owner), self.seen.of(owner, identifier)
        return ListedRepository(
            *(npub, identifier, made, has_data, standing),
            problem=problem or self.record.problem(f"{npub}/{identifier}"),
            refs=len(refs),
            size=size,
            state_at=state.event.created_at if state is not None else None,
            lags=lags,
            pushed_at=seen.pushed_at,
            hunted_at=seen.hunted_at,
            hunt_result=seen.result,
        )

    async def _lags(self, owner: str, identifier: str, refs: Mapping[str, str]) -> str | None:
        index = self.core.index
        members = (await index.data(identifier)).maintainer_set(owner)
        state = (await index.ruling_states(identifier)).get(owner)
        for held in self.core.purgatory.find_state(identifier):
            newer = state is None or held.event.order > state.event.order
            if newer and held.state.author in members:
                return "a newer state waits for its data"
        aligned = {name: oid for name, oid in refs.items() if name.startswith(ALIGNED)}
        if state is not None and aligned != state.refs:
            return "refs are not as its state says"
        return None


def _judge(
    repositories: Repositories, path: Path, note: Made | None
) -> tuple[bool, bool, str | None]:
    """Whether it was made here, whether it has data, and what is wrong with it."""
    made = repositories.is_noted(path, note)
    try:
        require_format(path)
        return made, repositories.has_data(path), None
    except (RepositoryError, OSError) as error:
        return made, True, str(error)


def _measure(path: Path, usable: bool) -> tuple[dict[str, str], int]:
    """Its refs, none where it cannot be used, and its bytes."""
    try:
        return (list_refs(path) if usable else {}), folder_bytes(path)
    except (RepositoryError, OSError):
        return {}, 0  # gone meanwhile, or damaged: `_judge` tells what is wrong


def _parse(name: str) -> tuple[str, str]:
    npub, _, identifier = name.partition("/")
    try:
        return decode_npub(npub), identifier
    except InvalidKey as error:
        raise RepositoryError(
            f"{name} names no repository: write npub1…/identifier, as `list` does ({error})"
        ) from error
