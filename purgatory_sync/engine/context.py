"""The world as the hunt sees it: real database, real git, real release (S12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from ..errors import AttemptFailed, BadPack, LocalFailure, OverQuota, RepositoryError, ResultClass
from ..git.disk.repository import list_refs
from ..git.fetch.client import GitClient
from ..git.ingest.quarantine import Quarantined
from ..hunt.limits.sync_context import AttemptObserver, Need, Source
from ..nostr.address import RepositoryId
from ..nostr.authority.repository_data import MAX_SOURCES, RepositoryData
from ..purgatory.change_signals import Watch
from ..purgatory.entries import HuntedEvent
from ..purgatory.purgatory import Purgatory
from ..purgatory.release_result import ProcessResult
from ..release.commit import Core
from ..release.index.missing_objects import identify_missing_oids, needed_oids, owners_concerned
from ..release.index.repositories import extract_identifier_from_repo_path
from ..release.releaser import Releaser
from ..runtime.bounded import Bounded
from ..runtime.clock import WallClock
from ..runtime.logger import get_logger
from .disk_quotas import Quotas
from .kindred import kindred_of, lend_public
from .pushes.last_seen import LastSeen
from .status.served_recently import ServedRecently

MAX_LENT: Final = 10_000

log = get_logger(__name__)


@attrs.define
class RealSyncContext:
    """What `hunt.SyncContext` asks for, answered by the rooms of this project.

    Attributes:
      our_domain: our host[:port], which is never hunted (B 8.1).
      quotas: the operator's limits of disk space, if there are any.
      served: is told which URL had data of an event.
      seen: is told when attempts ended.
    """

    core: Core
    releaser: Releaser
    client: GitClient
    clock: WallClock
    our_domain: str | None
    quotas: Quotas | None = attrs.field(default=None, init=False)
    served: ServedRecently = attrs.field(factory=ServedRecently, init=False)
    seen: LastSeen = attrs.field(factory=LastSeen, init=False)
    _lent: Bounded[tuple[RepositoryId, RepositoryId], int] = attrs.field(
        factory=lambda: Bounded(MAX_LENT), init=False
    )

    @property
    def _purgatory(self) -> Purgatory:
        return self.core.purgatory

    async def fetch_repository_data(self, identifier: str) -> RepositoryData | None:
        """The announcements of the identifier; None when there is none."""
        data = await self.core.index.data(identifier)
        return data if data.known else None

    async def collect_needed_oids(self, identifier: str, data: RepositoryData) -> tuple[Need, ...]:
        """What each held event of the identifier lacks (B 3.6); never satisfiable ones left out."""
        missing = await identify_missing_oids(
            self._entries(identifier), self.core.index, self.core.repositories
        )
        return tuple(
            Need(event_id, lack.oids, lack.concern.owners[identifier])
            for event_id, lack in missing.items()
        )

    def collect_pr_clone_urls(self, identifier: str) -> Mapping[str, tuple[str, ...]]:
        """The clone values of each held pull request of the identifier, the first 50 (N3)."""
        return {
            held.event_id: held.pr.clone[:MAX_SOURCES]
            for held in self._purgatory.find_prs_for_identifier(identifier)
        }

    async def fetch_oids(
        self, repository: Path, url: str, oids: frozenset[str], observer: AttemptObserver
    ) -> frozenset[str]:
        """Fetch, prove and join what a server has of the OIDs; returns those that are here then.

        What other repositories concerned have is linked first, so that nothing is fetched twice.

        Raises:
          AttemptFailed: nothing joined. Cancelled: nothing joined, or all that was proven.
        """
        identifier = extract_identifier_from_repo_path(repository) or ""
        await self._link_relatives(identifier, repository, oids)
        keep = partial(self._keep, identifier, repository)
        try:
            if self.quotas is not None:
                self.quotas.require_hunt(repository, oids)
            quarantined = await self.client.fetch_oids(repository, url, oids, observer, keep)
        except OverQuota as error:
            if self.quotas is not None and error.size:
                self.quotas.note_hunt(repository, oids, error.size)
            raise
        async with quarantined, self.releaser.hold(identifier):
            needed = frozenset[str]().union(*map(needed_oids, self._entries(identifier)))
            if not quarantined.obtained <= needed:  # an event that wanted it ended meanwhile
                repositories = self.core.repositories
                await repositories.run(repositories.note_left, repository)
            await quarantined.join()
        return quarantined.obtained

    async def _keep(self, identifier: str, repository: Path, quarantined: Quarantined) -> None:
        """Let a whole history join that did not hold what was wanted: the next attempt is small.

        Objects of it that stay unreachable are collected later (B 7.5).
        """
        repositories = self.core.repositories
        try:
            async with self.releaser.hold(identifier):
                await repositories.run(repositories.note_left, repository)
                await quarantined.join()
        except (LocalFailure, RepositoryError) as error:
            log.warning("not kept", path=str(repository), error=str(error))

    async def _link_relatives(
        self, identifier: str, repository: Path, oids: frozenset[str]
    ) -> None:
        """Link what the other repositories have that the events concern which lack the OIDs."""
        data = await self.core.index.data(identifier)
        repositories = self.core.repositories
        owners: dict[str, None] = {}
        for entry in self._entries(identifier):
            if not needed_oids(entry).isdisjoint(oids):
                owners |= dict.fromkeys(owners_concerned(entry, data))
        for owner in data.with_repository(owners):
            relative = repositories.path(owner, identifier)
            if relative != repository:
                async with self.releaser.hold(identifier):
                    await self._link(relative, repository)
        for owner in data.known:
            if repositories.path(owner, identifier) == repository:
                await self._link_kindred(RepositoryId(owner, identifier), oids)

    async def _link_kindred(self, target: RepositoryId, oids: frozenset[str]) -> None:
        """Link what is public of repositories of the same origin, where something lacks still."""
        core, repositories = self.core, self.core.repositories
        path = repositories.path(target.owner, target.identifier)
        here = await repositories.run(repositories.here, {"": ((path,), oids)})
        if here[""] == oids:
            return
        for other in await kindred_of(target, core.index, repositories):
            async with self.releaser.hold(target.identifier, other.identifier):
                # Whether it may lend was looked up without its lock.
                if other in await kindred_of(target, core.index, repositories):
                    await self._lend(other, target)

    async def _lend(self, other: RepositoryId, target: RepositoryId) -> None:
        repositories = self.core.repositories
        path = repositories.path(other.owner, other.identifier)
        try:
            tips = hash(frozenset((await repositories.run(list_refs, path)).values()))
            # To look through the packs is much work: once for each change.
            if self._lent.get((target, other)) != tips:
                self._lent.put((target, other), tips)
                await repositories.run(lend_public, other, target, repositories)
        except (RepositoryError, BadPack, AttemptFailed, OSError) as error:
            log.warning("nothing lent", repository=str(other), error=str(error))

    async def _link(self, relative: Path, repository: Path) -> None:
        repositories = self.core.repositories
        try:
            await repositories.run(repositories.gather_tips, [relative], repository)
        except (RepositoryError, OSError) as error:
            # What is damaged there is fetched, as if it were not there.
            log.warning("nothing linked", path=str(relative), error=str(error))

    async def process_newly_available_git_data(
        self, source_repo: Path, new_oids: frozenset[str]
    ) -> ProcessResult:
        """Release what became satisfiable (S14)."""
        return await self.releaser.process_newly_available_git_data(source_repo, new_oids)

    def has_pending_events(self, identifier: str) -> bool:
        """Whether a state or a pull request of the identifier is held."""
        return self._purgatory.has_pending_events(identifier)

    def find_target_repo(self, data: RepositoryData, source: Source) -> Path | None:
        """Where the objects of a source go: B 8.8; None when no repository concerned is here."""
        concerned = self._concerned(data, source)
        if not concerned:
            return None
        owner = source.owner if source.owner in concerned else concerned[0]
        return self.core.repositories.path(owner, data.identifier)

    def _concerned(self, data: RepositoryData, source: Source) -> tuple[str, ...]:
        """The owners whose repositories concern every event of the source that is still held."""
        entries = (self._purgatory.get(event_id) for event_id in source.event_ids)
        each_concerns = {
            owners_concerned(entry, data) for entry in entries if isinstance(entry, HuntedEvent)
        }
        if not each_concerns:
            return ()
        common = frozenset.intersection(*map(frozenset, each_concerns))
        return data.with_repository(sorted(common))

    def record_attempt(
        self,
        identifier: str,
        event_ids: frozenset[str],
        url: str,
        result: ResultClass,
        detail: str,
    ) -> None:
        """Note on each held event that a source was tried for it (B 8.3, second memory)."""
        now = self.clock.now()
        if result is not ResultClass.CANCELLED:
            self.seen.hunted(identifier, now, result)
        for event_id in event_ids:
            self._purgatory.record_attempt(event_id, url, result, detail, now)
            if result in (ResultClass.SUCCESS, ResultClass.PARTIAL):
                self.served.brought(event_id, url)

    def watch(self, identifier: str, on_change: Callable[[], None]) -> Watch:
        """An eye on the identifier for as long as it is hunted."""
        return self._purgatory.watch(identifier, on_change)

    def _entries(self, identifier: str) -> list[HuntedEvent]:
        entries: list[HuntedEvent] = [
            *self._purgatory.find_state(identifier),
            *self._purgatory.find_prs_for_identifier(identifier),
        ]
        return sorted(entries, key=lambda entry: entry.event.order)
