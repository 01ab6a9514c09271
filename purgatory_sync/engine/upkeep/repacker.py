"""Removes unreachable objects and joins many packs into few, while the node works on.

One at a time, and never one in both ways at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import attrs
import trio

from ...errors import PurgatorySyncError
from ...git.maintenance.repacking import MANY_PACKS, Combined, combine_packs, count_packs
from ...release.commit import Core
from ...release.index.repositories import Repositories, extract_identifier_from_repo_path
from ...release.releaser import Releaser
from ...runtime.blocking import blocking
from ...runtime.logger import get_logger
from .garbage_collector import Dropper

LOOK_SECS = 60
LOOKS_AT_ONCE = 1_000
log = get_logger(__name__)


@attrs.define
class Repacker:
    """Goes round all repositories that only this program writes to.

    Attributes:
      min_free_bytes: bytes that must stay free on the disk.
      still: while it is held, nothing is repacked or dropped.
    """

    core: Core
    releaser: Releaser
    min_free_bytes: int
    still: trio.Lock = attrs.field(factory=trio.Lock)
    repositories: Repositories = attrs.field(init=False)
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    _dropper: Dropper = attrs.field(init=False)
    _round: Iterator[Path] = attrs.field(factory=lambda: iter(()))
    _given_up: dict[Path, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.repositories = self.core.repositories
        self._dropper = Dropper(self.core, self.releaser, self.min_free_bytes, self._place)

    async def run(self) -> None:
        """Look at some repositories every minute until cancelled."""
        while True:
            try:
                await self.look()
            except OSError as error:
                log.error("repositories cannot be listed", error=str(error))
                self._round = iter(())
            await trio.sleep(LOOK_SECS)

    async def look(self) -> None:
        """Look at the next 1,000 repositories and see to those that need it.

        What fails is logged and not tried again before there are twice as many packs.

        Cancelled, it leaves each repository as it was or repacked.
        """
        leaving, many = await blocking(self._place, self._find, trio.current_time())
        for path in leaving:
            async with self.still:
                await self._dropper.drop(path)
        for path, count in many:
            try:
                async with self.still:
                    await self._repack(path)
            except (PurgatorySyncError, OSError) as error:
                self._given_up[path] = count
                log.warning("not repacked", path=str(path), packs=count, error=str(error))
            except Exception:
                self._given_up[path] = count
                log.exception("repacking crashed", path=str(path), packs=count)

    def _find(self, now: float) -> tuple[list[Path], list[tuple[Path, int]]]:
        paths = list(islice(self._round, LOOKS_AT_ONCE))
        if not paths:
            self._round = self.repositories.ours_alone()
            paths = list(islice(self._round, LOOKS_AT_ONCE))
        leaving = [path for path in paths if self._dropper.is_due(path, now)]
        counted = ((path, count_packs(path)) for path in paths)
        return leaving, [
            (path, count)
            for path, count in counted
            if count > max(MANY_PACKS, 2 * self._given_up.get(path, 0))
        ]

    async def _repack(self, path: Path) -> None:
        identifier = extract_identifier_from_repo_path(path)
        if identifier is None:
            return
        tmp = self.repositories.tmp
        combined = await blocking(self._place, combine_packs, path, tmp, self.min_free_bytes)
        if combined is None:
            return
        try:
            async with self.releaser.hold(identifier):
                await self._put_in_place(combined)
        finally:
            with trio.CancelScope(shield=True):
                await blocking(self._place, combined.discard)

    async def _put_in_place(self, combined: Combined) -> None:
        # Another program may have begun to write there meanwhile.
        if not self.repositories.is_ours_alone(combined.repository):
            return
        if await blocking(self._place, combined.put_in_place):
            await blocking(self._place, self.repositories.changed, combined.repository)
            self._given_up.pop(combined.repository, None)
            packs = len(combined.replaces)
            log.info("repacked", path=str(combined.repository), packs=packs)
            await blocking(self._place, self._share, combined)

    def _share(self, combined: Combined) -> None:
        for other in self.repositories.relatives(combined.repository):
            if combined.share_with(other):
                self.repositories.changed(other)
                log.info("repacked", path=str(other), packs=len(combined.replaces))
