"""The data of a node that does not run, opened under its locks, for the operator's commands."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

import trio

from ...errors import ConfigurationError, InvalidEvent
from ...git.folder.folder_owner import lock_git_folder
from ...nostr.announcement import Announcement
from ...purgatory.entries import Origin
from ...purgatory.purgatory import Purgatory
from ...release.commit import Core
from ...release.index.ledger import Ledger
from ...release.index.locks import IdentifierLocks
from ...release.index.repositories import Repositories
from ...release.index.repository_index import RepositoryIndex
from ...release.releaser import Releaser
from ...runtime.clock import WallClock
from ...settings import Settings
from ...store.opening import DATABASE, open_store
from ...store.protocol import Journal, Store
from ..upkeep.pairing import require_pair
from .backup import Backup
from .caretaker import Caretaker
from .keepers import Keepers
from .verifier import Verifier

GIT_THREADS = 4


@asynccontextmanager
async def open_offline(settings: Settings) -> AsyncIterator[Keepers]:
    """What the node of these settings has on disk, while the block runs; it cannot start meanwhile.

    Raises:
      ConfigurationError: there is no store, a node uses it, or the git folder is another's.
      StoreError: the store cannot be read.
    """
    if not (settings.relay_data_path / DATABASE).exists():
        raise ConfigurationError(
            f"no node runs on {settings.relay_data_path}, and no store is there: name the data"
            " folder of one (--relay-data-path, NGIT_RELAY_DATA_PATH)"
        )
    async with aclosing(await open_store(settings.relay_data_path)) as store:
        repositories = Repositories(settings.git_data_path, trio.CapacityLimiter(GIT_THREADS))
        lock = await repositories.run(lock_git_folder, settings.git_data_path)
        try:
            journal = await store.load()
            await require_pair(store, journal, repositories, settings)
            core = _core(store, journal, repositories, settings)
            releaser = Releaser(core, IdentifierLocks())
            clock = WallClock.from_system()
            yield Keepers(
                Caretaker(core, releaser),
                Backup(core, releaser, settings, clock, nullcontext),
                Verifier(store, core, releaser, clock, nullcontext),
            )
        finally:
            os.close(lock)


def _core(store: Store, journal: Journal, repositories: Repositories, settings: Settings) -> Core:
    purgatory = Purgatory(settings.purgatory, settings.sync)
    for row in journal.held:
        if row.sort == "announcement":
            try:
                announcement = Announcement.parse(row.event)
            except InvalidEvent:
                continue
            purgatory.add_announcement(
                announcement,
                Origin(row.origin),
                row.accepted_at,
                soft_expired_at=row.soft_expired_at,
            )
    index = RepositoryIndex(store, purgatory, repositories, settings.service, settings.curation)
    ledger = Ledger(store, index)
    ledger.restore_made(journal.made)
    return Core(index, ledger, purgatory, repositories, lambda _: None)
