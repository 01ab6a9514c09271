"""The data of a node that does not run, opened under its locks, for the operator's commands."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from ...errors import ConfigurationError, InvalidEvent
from ...git.folder.folder_owner import lock_git_folder
from ...nostr.announcement import Announcement
from ...nostr.parsed import parse
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...purgatory.entries import Origin
from ...purgatory.overdue import Kept
from ...purgatory.purgatory import Purgatory
from ...release.commit import Core
from ...release.index.ledger import Ledger
from ...release.index.locks import IdentifierLocks
from ...release.index.prs_folder import PrsFolder
from ...release.index.repositories import Repositories
from ...release.index.repository_index import RepositoryIndex
from ...release.releaser import Releaser
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...settings import Settings
from ...store.opening import DATABASE, is_older, lock_store, open_store
from ...store.protocol import HeldRow, Journal, Store
from ..lists.list_keeper import ListKeeper
from ..pushes.last_seen import LastSeen
from ..upkeep.pairing import require_pair
from ..verifying.below_prs import PrsExaminer
from ..verifying.verifier import Verifier
from ..verifying.verify_record import VerifyRecord
from .backup import Backup
from .caretaker import Caretaker
from .deleted_keeper import retiring
from .exporting import Exporter
from .keepers import Keepers
from .prs_keeping import PrsKeeper
from .purging import Purger
from .store_copy import copy_database

GIT_THREADS = 4


@asynccontextmanager
async def open_offline(settings: Settings, *, looks: bool = False) -> AsyncIterator[Keepers]:
    """What the node of these settings has on disk, while the block runs; it cannot start meanwhile.

    Args:
      looks: nothing is changed: what an older version wrote stays as that version can read it.

    Raises:
      ConfigurationError: there is no store, a node uses it, or the git folder is another's.
      StoreError: the store cannot be read.
    """
    if not (settings.relay_data_path / DATABASE).exists():
        raise ConfigurationError(
            f"no node runs on {settings.relay_data_path}, and no store is there: name the data"
            " folder of one (--relay-data-path, NGIT_RELAY_DATA_PATH)"
        )
    async with _opened(settings.relay_data_path, looks=looks) as store:
        repositories = Repositories(settings.git_data_path, trio.CapacityLimiter(GIT_THREADS))
        lock = await repositories.run(lock_git_folder, settings.git_data_path)
        try:
            journal = await store.load()
            await require_pair(store, journal, repositories, settings)
            clock, record = WallClock.from_system(), VerifyRecord(settings.relay_data_path)
            core = _core(store, journal, repositories, settings, retiring(settings.keeping, clock))
            releaser = Releaser(core, IdentifierLocks())
            await repositories.run(record.load)
            seen = LastSeen()
            seen.restore(journal.server_notes)
            if settings.prs.enabled and not looks:  # refs there go with events that are purged
                prs = PrsFolder(settings.git_data_path, repositories.tmp, settings.service)
                await repositories.run(prs.scan)
                repositories.prs = prs
            lists = ListKeeper(store, core, releaser, settings, clock, live=False)
            await lists.restore(journal.list_entries)
            yield Keepers(
                Caretaker(core, releaser, record, settings.keeping, seen),
                Backup(core, releaser, settings, clock, nullcontext),
                Purger(store, core, releaser, clock),
                lists,
                Verifier(
                    *(store, core, releaser, clock, nullcontext),
                    record=record,
                    below_prs=PrsExaminer(store, core, settings.service),
                ),
                Exporter(store, core, releaser, settings),
                PrsKeeper(
                    *(store, core, releaser, record),
                    settings.purgatory.placeholder_expiry_secs,
                ),
            )
        finally:
            os.close(lock)


@asynccontextmanager
async def _opened(folder: Path, *, looks: bool) -> AsyncIterator[Store]:
    """The store in a folder, or a copy that is brought up to date where an older one stays."""
    if not (looks and is_older(folder)):
        async with aclosing(await open_store(folder)) as store:
            yield store
        return
    place = trio.CapacityLimiter(1)
    lock = await blocking(place, lock_store, folder)
    try:
        with TemporaryDirectory(prefix=".look-", dir=folder) as copy:
            await blocking(place, copy_database, folder / DATABASE, Path(copy) / DATABASE)
            async with aclosing(await open_store(Path(copy))) as store:
                yield store
    finally:
        os.close(lock)


def _core(
    store: Store,
    journal: Journal,
    repositories: Repositories,
    settings: Settings,
    retires: Callable[[], float] | None,
) -> Core:
    purgatory = Purgatory(settings.purgatory, settings.sync)
    for row in journal.held:
        with suppress(InvalidEvent):  # a start tells of it
            _hold(row, purgatory)
    for kept in journal.overdue:
        with suppress(InvalidEvent):
            identifiers = parse(kept.event).identifiers
            purgatory.overdue.add(Kept.of(kept.event, identifiers, kept.since, kept.since))
    for waiting in journal.uploads:
        purgatory.uploads.add(waiting)
    index = RepositoryIndex(store, purgatory, repositories, settings.service, settings.curation)
    ledger = Ledger(store, index)
    ledger.restore_made(journal.made)
    return Core(index, ledger, purgatory, repositories, lambda _: None, retires)


def _hold(row: HeldRow, purgatory: Purgatory) -> None:
    """Know that it is held; nothing is hunted for.

    Raises:
      InvalidEvent: it is not understood.
    """
    parsed, origin = parse(row.event), Origin(row.origin)
    if isinstance(parsed, Announcement):
        soft = row.soft_expired_at
        purgatory.add_announcement(parsed, origin, row.accepted_at, soft_expired_at=soft)
    elif isinstance(parsed, State):
        purgatory.add_state(parsed, origin, row.accepted_at)
    elif isinstance(parsed, PullRequest):
        purgatory.add_pr(parsed, origin, row.accepted_at)
