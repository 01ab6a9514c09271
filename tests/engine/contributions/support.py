"""A world with `/prs/` on, and what contributors push there."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from purgatory_sync.engine.contributions.contributing import Contributor
from purgatory_sync.engine.contributions.keeper import ContributionKeeper
from purgatory_sync.engine.pushes.in_flight import PushesInFlight
from purgatory_sync.engine.pushes.receiving import Read
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.release.index.prs_folder import PrsFolder
from purgatory_sync.settings import CurationSettings, HuntSettings, PrsSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from ...git.local_repos import Step
from ...world import NOW, SERVICE, World
from ..pushes.pushing_support import pack

OWNER, CONTRIBUTOR, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
HERE = RepositoryId(CONTRIBUTOR.pubkey, "repo")
ADDRESS = "192.0.2.7"


@attrs.define
class Contributing:
    """The world, and what takes and keeps contributions in it."""

    world: World
    prs: PrsFolder
    contributor: Contributor
    keeper: ContributionKeeper

    async def push(
        self,
        steps: list[Step],
        event_id: str,
        target: RepositoryId = HERE,
        *,
        tip: str = "",
        read: Read | None = None,
        address: str = ADDRESS,
    ) -> None:
        changes = {f"refs/nostr/{event_id}": tip or steps[-1].oid}
        await self.contributor.receive(target, changes, read or pack(steps), address)

    async def refused(self, steps: list[Step], event_id: str, **how: str) -> str:
        with pytest.raises(PushRefused) as refusal:
            await self.push(steps, event_id, **how)  # type: ignore[arg-type]
        return str(refusal.value)

    def refs(self, target: RepositoryId = HERE) -> dict[str, str]:
        return list_refs(self.prs.path(target))

    def files(self) -> list[str]:
        """All that is on the disk below `/prs/`, by path."""
        found = self.prs.folder.rglob("*")
        return sorted(str(each.relative_to(self.prs.folder)) for each in found)

    def tmp(self) -> list[Path]:
        tmp = self.world.repositories.tmp
        return list(tmp.iterdir()) if tmp.exists() else []

    async def at(self, secs: float) -> None:
        """Let it be so many seconds after the beginning, and sweep."""
        for each in (self.contributor, self.keeper):
            object.__setattr__(each, "clock", clock_at(NOW + secs))
        await self.keeper.sweep()

    async def start_again(self) -> Contributing:
        """What a start makes of disk and journal; memory is that of a new process."""
        self.world.purgatory.uploads = type(self.world.purgatory.uploads)()
        again = contributing(self.world, self.contributor.settings.prs)
        await again.keeper.start((await self.world.store.load()).uploads)
        return again


def contributing(
    world: World, settings: PrsSettings | None = None, lists: CurationSettings | None = None
) -> Contributing:
    """Turn `/prs/` on in a world."""
    prs_settings = attrs.evolve(settings or PrsSettings(), enabled=True)
    world.settings = attrs.evolve(world.settings, prs=prs_settings)
    world.index.use_lists(lists or world.settings.curation)
    prs = PrsFolder(world.repositories.git_data, world.repositories.tmp, SERVICE)
    world.repositories.prs = prs
    snapshots = attrs.evolve(world.admission.snapshots, prs=prs_settings)
    world.admission = attrs.evolve(world.admission, settings=world.settings, snapshots=snapshots)
    in_flight, clock = PushesInFlight(), world.admission.clock
    contributor = Contributor(
        world.store,
        world.core,
        prs,
        world.releaser,
        Ingest(HuntSettings(min_free_bytes=0), world.repositories.tmp),
        world.settings,
        clock,
        in_flight,
    )
    keeper = ContributionKeeper(
        world.core, prs, world.releaser, world.settings.purgatory, clock, in_flight
    )
    return Contributing(world, prs, contributor, keeper)


def request(
    commit: str,
    *addressed: RepositoryId,
    author: Author = CONTRIBUTOR,
    clone: str | None = None,
    at: int = NOW - 50,
) -> Event:
    """A pull request that names its path below `/prs/`."""
    addressed = addressed or (RepositoryId(OWNER.pubkey, "repo"),)
    url = clone or f"https://{SERVICE}/prs/{author.npub}/{addressed[0].identifier}.git"
    return events.pull_request(author, addressed, commit, clone=[url], created_at=at)
