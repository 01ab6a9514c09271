"""Deleted repositories are kept for a time, and leave when it is over (B 13.10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from ...errors import RepositoryError, StoreError
from ...release.commit import Core
from ...release.index.retained_repositories import DeletedRepository, RetainedRepositories
from ...release.releaser import Releaser
from ...release.retiring import forget_note, retire
from ...runtime.clock import WallClock
from ...runtime.folders import free_bytes
from ...runtime.logger import get_logger
from ...settings import KeepingSettings

SECS_PER_DAY: Final = 86_400.0
EVICT_LOOK_SECS: Final = 60.0
READ_AT_ONCE: Final = 200

log = get_logger(__name__)


def retiring(settings: KeepingSettings, clock: WallClock) -> Callable[[], float] | None:
    """The time for `Core.retires`; None where nothing leaves by time."""
    return None if settings.deleted_retention_days == float("inf") else clock.now


@attrs.frozen
class DeletedKeeper:
    """Looks at what was deleted: at a start, every day, and where space is short more often.

    Attributes:
      min_free_bytes: free space below which it is short.
    """

    core: Core
    releaser: Releaser
    clock: WallClock
    settings: KeepingSettings
    min_free_bytes: int

    @property
    def retained(self) -> RetainedRepositories:
        """Those that were deleted."""
        return RetainedRepositories(self.core.repositories)

    async def run(self) -> None:
        """Do so until cancelled; what fails is logged and tried again in the next round."""
        due = trio.current_time()
        while True:
            try:
                if trio.current_time() >= due:
                    due = trio.current_time() + SECS_PER_DAY
                    await self.retire_unannounced()
                    await self.let_go()
                if self.settings.deleted_evict:
                    await self.evict()
            except (StoreError, RepositoryError, OSError) as error:
                log.warning("deleted repositories not looked at", error=str(error))
            await trio.sleep(EVICT_LOOK_SECS if self.settings.deleted_evict else SECS_PER_DAY)

    async def retire_unannounced(self) -> None:
        """Take out what was made here and is not announced: a crash left it, or an older version.

        Raises:
          StoreError: the store cannot be asked.
        """
        if self.core.retires is None:
            return
        core = self.core
        there = [
            each
            for each in core.ledger.all_made()
            if core.repositories.exists(each.owner, each.identifier)
        ]
        for start in range(0, len(there), READ_AT_ONCE):
            some = there[start : start + READ_AT_ONCE]
            await core.index.read_ahead(each.identifier for each in some)
            for each in some:
                if each.owner not in (await core.index.data(each.identifier)).known:
                    async with self.releaser.hold(each.identifier):
                        await retire(core, each.owner, each.identifier)

    async def let_go(self) -> int:
        """Delete those whose time is over; how many there were.

        Raises:
          OSError: the folder cannot be read.
        """
        if self.core.retires is None:
            return 0
        gone, now = 0, self.clock.now()
        for each in await self.core.repositories.run(self.retained.all):
            if each.at > now + SECS_PER_DAY:  # the clock was wrong: it counts from now on
                with trio.CancelScope(shield=True):
                    async with self.releaser.hold(each.identifier):
                        await self._change(each, lambda e: self.retained.date_anew(e, int(now)))
            elif each.at + self.settings.deleted_retention_days * SECS_PER_DAY <= now:
                gone += await self._delete(each)
        return gone

    async def evict(self) -> int:
        """Delete the oldest of each disk until enough of it is free; how many there were.

        Raises:
          OSError: the folder cannot be read.
        """
        gone, run = 0, self.core.repositories.run
        for each in await run(self.retained.all):
            if await run(self._is_short, each.retained.path.parent):
                gone += await self._delete(each)
        if gone:
            log.warning("deleted before their time: little space is free", repositories=gone)
        return gone

    def _is_short(self, folder: Path) -> bool:
        """Whether too little is free on the disk of a folder: owners' may be on other disks."""
        try:
            return free_bytes(folder) < self.min_free_bytes
        except OSError:  # gone meanwhile, or that disk is: the others are looked at
            return False

    async def _delete(self, each: DeletedRepository) -> int:
        """One that this store knows; what it does not know of was found, and stays (B 2.7)."""
        ledger = self.core.ledger
        async with self.releaser.hold(each.identifier):
            made = ledger.made(each.owner, each.identifier)
            leaves = await self.core.repositories.run(self.retained.leaves, each, made)
            if made is None or not leaves or not await self._change(each, self.retained.remove):
                return 0
            if not self.core.repositories.exists(each.owner, each.identifier):
                await forget_note(self.core, made)
        log.info("a deleted repository is gone", path=str(each.retained.path))
        return 1

    async def _change(
        self, each: DeletedRepository, change: Callable[[DeletedRepository], None]
    ) -> bool:
        """Do it unless it was brought back meanwhile; what fails is logged."""
        try:
            if not await self.core.repositories.run(each.retained.path.exists):
                return False
            await self.core.repositories.run(change, each)
        except RepositoryError as error:
            log.warning("a deleted repository stays", error=str(error))
            return False
        return True
