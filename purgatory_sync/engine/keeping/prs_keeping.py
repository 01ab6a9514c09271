"""What is below `/prs/`, for the operator, and the word that takes it out (B 12.11).

It works on what lies on the disk, whether the profile is on or off.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import attrs
import trio

from ...errors import ConfigurationError, InvalidKey, PurgatorySyncError, RepositoryError
from ...git.disk.repository import list_refs
from ...nostr.address import RepositoryId
from ...nostr.keys import decode_npub, encode_npub
from ...nostr.pull_request import PullRequest
from ...policy.contributions import unmet
from ...policy.push import NOSTR
from ...purgatory.entries import Origin, as_hunted
from ...records import Upload
from ...release.commit import Core, forget
from ...release.index.missing_objects import concern_of
from ...release.index.prs_folder import (
    PrsFolder,
    any_names,
    contributed_repositories,
    name_below_prs,
)
from ...release.pr_release import drop_deleted_pull_request_refs
from ...release.releaser import Releaser
from ...release.retention import note_what_ends
from ...runtime.folders import folder_bytes
from ...runtime.logger import get_logger
from ...store.protocol import Change, Store
from ...urls import PRS
from ..verifying.below_prs import waiting_below_prs
from ..verifying.verify_record import VerifyRecord
from .purging import IDS_SHOWN, Purged

log = get_logger(__name__)

Standing = Literal["served", "held", "waiting", "unexplained"]


@attrs.frozen
class ListedRef:
    """One ref of a repository below `/prs/`.

    Attributes:
      standing: of its event: `served`, `held`; `waiting`: it has not come; `unexplained`: it says
        otherwise, or nothing waits for it.
      at: Unix seconds: `created_at` of the event, or the end of the push of what waits.
      ends_at: when what waits ends, or None.
    """

    name: str
    oid: str
    standing: Standing
    at: float | None = None
    ends_at: float | None = None


@attrs.frozen
class ListedPrs:
    """One repository below `/prs/`.

    Attributes:
      npub: the key of its path.
      size: bytes of its files; those that others have by hard links too count.
      problem: why it cannot be used, or what the last verification found, or None.
    """

    npub: str
    identifier: str
    size: int
    refs: tuple[ListedRef, ...] = ()
    problem: str | None = None


@attrs.frozen
class _Doomed:
    """What is to leave.

    Attributes:
      requests: pull requests whose commit is nowhere else here.
    """

    repositories: tuple[RepositoryId, ...]
    rows: tuple[Upload, ...]
    requests: tuple[PullRequest, ...]


@attrs.frozen
class PrsKeeper:
    """Lists what is below `/prs/`, and takes it out under the identifiers' locks.

    Attributes:
      wait_secs: how long a ref waits for its event.
    """

    store: Store
    core: Core
    releaser: Releaser
    record: VerifyRecord
    wait_secs: float

    async def listing(self) -> tuple[ListedPrs, ...]:
        """All that are on the disk, by key and identifier.

        Raises:
          RepositoryError: the folder cannot be read.
          StoreError: the store cannot be asked.
        """
        rows = {row.key: row for row in await waiting_below_prs(self.core, self.store)}
        return tuple([await self._look(each, rows) for each in await self._there()])

    async def purge(self, name: str, *, execute: bool) -> Purged:
        """Take out a repository, or all of a key, with the pull requests that only they have.

        A pull request whose commit an announced repository here has too stays with that.

        Args:
          name: `npub1…/identifier` or `npub1…`, `prs/` before it or not.
          execute: else only what would go is told.

        Raises:
          ConfigurationError: nothing of it is here.
          StoreError: nothing was changed. RepositoryError: the events are gone; what is left on
            the disk ends by itself (B 12.9), or by another purge.

        Cancelled before it begins nothing has changed; what has begun is ended.
        """
        doomed = await self._find(name)
        if not execute:
            return await self._told(doomed, executed=False)
        async with self.releaser.hold(*_identifiers(doomed)):
            doomed = await self._find(name)
            told = await self._told(doomed, executed=True)
            with trio.CancelScope(shield=True):
                await self._carry_out(doomed)
        log.info("purged", what=name, below=PRS, repositories=len(doomed.repositories))
        return told

    async def _there(self) -> list[RepositoryId]:
        git_data, run = self.core.repositories.git_data, self.core.repositories.run
        try:
            return await run(contributed_repositories, git_data)
        except OSError as error:
            raise RepositoryError(f"{git_data} cannot be read: {error}") from error

    def _folder(self) -> PrsFolder:
        repositories = self.core.repositories
        return repositories.prs or PrsFolder(repositories.git_data, repositories.tmp, "")

    async def _look(
        self, each: RepositoryId, rows: Mapping[tuple[str, str, str], Upload]
    ) -> ListedPrs:
        refs, size, problem = await self.core.repositories.run(_read, self._folder().path(each))
        ids = [name.removeprefix(NOSTR) for name in refs]
        events = await self.core.index.pull_requests(ids)
        listed = []
        for (name, oid), event_id in zip(refs.items(), ids, strict=True):
            row = rows.get((each.owner, each.identifier, event_id))
            if (pr := events.get(event_id)) is not None and not unmet(pr, oid, each, None):
                held = self.core.purgatory.get(event_id) is not None
                at = pr.event.created_at
                listed.append(ListedRef(name, oid, "held" if held else "served", at))
            elif event_id not in events and row is not None:
                ends = row.at + self.wait_secs
                listed.append(ListedRef(name, oid, "waiting", row.at, ends))
            else:
                listed.append(ListedRef(name, oid, "unexplained"))
        problem = problem or self.record.problem(name_below_prs(each))
        return ListedPrs(encode_npub(each.owner), each.identifier, size, tuple(listed), problem)

    async def _find(self, name: str) -> _Doomed:
        npub, slash, identifier = name.removeprefix(f"{PRS}/").partition("/")
        try:
            owner = decode_npub(npub)
        except InvalidKey as error:
            raise ConfigurationError(
                f"{name} names nothing below /prs/: write npub1…/identifier or npub1… ({error})"
            ) from error
        chosen = [
            each
            for each in await self._there()
            if each.owner == owner and (not slash or each.identifier == identifier)
        ]
        if not chosen:
            raise ConfigurationError(
                f"nothing of {name} is below /prs/ here: `list --prs` names all"
            )
        there = {(each.owner, each.identifier) for each in chosen}
        rows = tuple(
            row
            for row in await waiting_below_prs(self.core, self.store)
            if (row.owner, row.identifier) in there
        )
        return _Doomed(tuple(chosen), rows, await self._only_there(chosen))

    async def _only_there(self, chosen: Collection[RepositoryId]) -> tuple[PullRequest, ...]:
        """The pull requests of these repositories whose commit no other repository here has."""
        run, folder, found = self.core.repositories.run, self._folder(), dict[str, PullRequest]()
        for each in chosen:
            refs, _, _ = await run(_read, folder.path(each))
            events = await self.core.index.pull_requests([n.removeprefix(NOSTR) for n in refs])
            for pr in events.values():
                if pr is not None and not unmet(pr, refs.get(pr.ref, ""), each, None):
                    found[pr.event.id] = pr
        return tuple([pr for pr in found.values() if not await self._is_elsewhere(pr, chosen)])

    async def _is_elsewhere(self, pr: PullRequest, chosen: Collection[RepositoryId]) -> bool:
        entry = as_hunted(pr, Origin.USER, 0.0)
        concern = await concern_of(entry, self.core.index, self.core.repositories)
        named = (RepositoryId(pr.event.pubkey, each) for each in pr.identifiers)
        others = [each for each in named if each not in chosen]
        paths = [*concern.repositories, *map(self._folder().path, others)]
        return await self.core.repositories.run(any_names, paths, pr)

    async def _carry_out(self, doomed: _Doomed) -> None:
        """One transaction; then memory, refs elsewhere, and the repositories."""
        core, run, folder = self.core, self.core.repositories.run, self._folder()
        ids = [pr.event.id for pr in doomed.requests]
        held = [each for event_id in ids if (each := core.purgatory.get(event_id)) is not None]
        unheld = {each.event_id for each in held}
        await core.ledger.apply(
            Change(
                delete=[event_id for event_id in ids if event_id not in unheld],
                unhold=[each.event_id for each in held],
                forget_uploads=doomed.rows,
            )
        )
        for each in held:
            forget(core.purgatory, each)
        for row in doomed.rows:
            core.purgatory.uploads.remove(row)
        failed: PurgatorySyncError | None = None
        for repository in doomed.repositories:
            try:
                await run(folder.remove, repository)
            except RepositoryError as error:  # the others go all the same
                failed = error
        for pr in doomed.requests:
            await drop_deleted_pull_request_refs(core, pr)
            await note_what_ends(core, as_hunted(pr, Origin.USER, 0.0))
        if failed is not None:
            raise failed

    async def _told(self, doomed: _Doomed, *, executed: bool) -> Purged:
        ids = [pr.event.id for pr in doomed.requests]
        held = sum(self.core.purgatory.get(event_id) is not None for event_id in ids)
        names = tuple(map(name_below_prs, doomed.repositories))
        return Purged(
            *(executed, names, len(ids) - held, held, tuple(ids[:IDS_SHOWN])),
            waiting=len(doomed.rows),
        )


def _identifiers(doomed: _Doomed) -> list[str]:
    found = {each.identifier for each in doomed.repositories}
    return sorted(found.union(*(pr.identifiers for pr in doomed.requests)))


def _read(path: Path) -> tuple[dict[str, str], int, str | None]:
    """Its refs, its bytes, and why it cannot be used, or None."""
    try:
        return list_refs(path), folder_bytes(path), None
    except (RepositoryError, OSError) as error:
        return {}, 0, str(error)
