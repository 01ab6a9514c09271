"""Missing objects of a repository, fetched whole beside it and linked in (B 13.7).

A server that is told what we have sends nothing that it takes to be there, and so fills no hole:
the history is fetched into an empty repository.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import attrs
import trio

from ...errors import AttemptFailed, NaughtyScope, RateLimited, RepositoryError
from ...git.disk.linking import link_objects
from ...git.disk.repository import create_bare, list_refs
from ...git.disk.scratch import scratch_name
from ...git.fetch.client import GitClient
from ...git.fetch.observer import SilentObserver
from ...hunt.limits.domain_throttle import Place
from ...hunt.limits.shared_limits import Throttles
from ...hunt.limits.sources import domain_of
from ...nostr.address import RepositoryId
from ...nostr.authority.repository_data import MAX_SOURCES
from ...release.commit import Core
from ...release.releaser import Releaser
from ...runtime.logger import get_logger
from ...urls import GIT_SCHEMES, names_service

log = get_logger(__name__)


@attrs.frozen
class HoleFiller:
    """Asks the clone URLs, within the limits of their domains (B 8.2, 8.7).

    Attributes:
      ours: our own host[:port], which is never asked (B 8.1).
    """

    core: Core
    releaser: Releaser
    client: GitClient
    throttles: Throttles
    ours: str

    async def fetch(self, repository: RepositoryId, missing: frozenset[str]) -> None:
        """Bring what a repository lacks, as far as a clone URL that may be asked now has it.

        Raises:
          RepositoryError, StoreError: the disk refuses, or the store cannot be asked.

        Cancelled, what was linked stays: it is proven and complete.
        """
        repositories = self.core.repositories
        path = repositories.path(repository.owner, repository.identifier)
        tips = await self._tips(repository, path)
        lacking = missing
        for url in await self._urls(repository):
            if not lacking:
                return
            scratch = repositories.tmp / scratch_name("holes")
            try:
                await repositories.run(create_bare, scratch, repositories.tmp)
                if await self._ask(url, scratch, tips):
                    async with self.releaser.hold(repository.identifier):
                        lacking -= await repositories.run(self._link, scratch, path, lacking)
            finally:
                with trio.CancelScope(shield=True):
                    await repositories.run(_remove, scratch)
                    await repositories.run(repositories.changed, scratch)

    def _link(self, scratch: Path, path: Path, lacking: frozenset[str]) -> frozenset[str]:
        try:
            return link_objects([scratch], path, lacking)
        finally:  # a part of it may be there
            self.core.repositories.changed(path)

    async def _tips(self, repository: RepositoryId, path: Path) -> frozenset[str]:
        state = (await self.core.index.ruling_states(repository.identifier)).get(repository.owner)
        named = await self.core.repositories.run(list_refs, path)
        of_state = state.oids if state is not None and not state.unsatisfiable else frozenset()
        return of_state.union(named.values())

    async def _urls(self, repository: RepositoryId) -> list[str]:
        data = await self.core.index.data(repository.identifier)
        urls = [each.url for each in data.clone_sources([repository.owner])]
        for pr in await self.core.index.served_pull_requests(repository.identifier):
            urls += pr.clone[:MAX_SOURCES]
        found = [url for url in urls if not names_service(url, self.ours, GIT_SCHEMES)]
        return list(dict.fromkeys(found))[:MAX_SOURCES]

    async def _ask(self, url: str, scratch: Path, tips: Collection[str]) -> bool:
        """Whether something came and joined the empty repository."""
        domain = domain_of(url)
        if domain is None or self.throttles.is_naughty(url) or self.throttles.is_throttled(domain):
            return False
        place = self.throttles.start_request(domain)
        if place is None:
            return False
        watching, succeeded = _Watching(self.throttles, place), False
        try:
            quarantined = await self.client.fetch_oids(scratch, url, tips, watching)
            succeeded = True
            async with quarantined:
                await quarantined.join()
            return True
        except AttemptFailed as error:
            log.info("not fetched", url=url, error=str(error))
            if isinstance(error, RateLimited):
                self.throttles.rest(domain, error.retry_after_secs)
            elif error.naughty is not NaughtyScope.NONE:
                self.throttles.note_naughty(url, error.naughty, str(error))
            return False
        finally:
            if watching.counted:
                self.throttles.complete_request(place, succeeded=succeeded)
            else:
                self.throttles.give_back(place)


@attrs.define(eq=False)
class _Watching(SilentObserver):
    """Counts the start by what the server has seen; follows no redirect to another domain."""

    throttles: Throttles
    place: Place
    counted: bool = False

    def contacted(self) -> None:
        """The start counts."""
        self.counted = True

    def answered(self) -> None:
        """The token's 60 seconds begin."""
        self.throttles.answered(self.place)

    def redirected(self, domain: str) -> bool:
        """Only within the domain whose place was taken."""
        return domain == self.place.domain


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RepositoryError(f"{folder} cannot be removed: {error.strerror}") from error
