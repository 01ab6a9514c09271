"""The operator's limits of disk space, asked by pushes, hunts and announcements (B 13.11)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs
import trio

from ..errors import NoRoom, OverQuota
from ..policy.rules.quotas import Use, over_bytes, over_new
from ..release.index.disk_use import DiskUse
from ..release.index.repositories import Repositories
from ..runtime.bounded import Bounded
from ..runtime.logger import get_logger
from ..settings import QuotaSettings

MEASURED_EVERY_SECS: Final = 6 * 3600.0
REMEMBERED: Final = 4_096

log = get_logger(__name__)


@attrs.define(eq=False)
class Quotas:
    """Keeps what is received within the limits; `git.ingest.room.Room` for quarantine.

    What is being received counts, so that several at once do not add up past a limit.
    """

    settings: QuotaSettings
    repositories: Repositories
    use: DiskUse
    _received: dict[object, tuple[Path, int]] = attrs.field(factory=dict)
    _too_large: Bounded[tuple[Path, frozenset[str]], int] = attrs.field(
        factory=lambda: Bounded(REMEMBERED)
    )

    @classmethod
    async def of(cls, settings: QuotaSettings, repositories: Repositories) -> Quotas | None:
        """Those of an engine; None where nothing is limited, and so nothing is counted.

        Raises:
          OSError: the folder cannot be read.
        """
        if settings == QuotaSettings():
            return None
        use = DiskUse(repositories)
        await repositories.run(use.measure_all)
        repositories.changed = use.measure
        return cls(settings, repositories, use)

    async def run(self) -> None:
        """Look at all repositories every six hours, until cancelled: packing makes them smaller."""
        while True:
            await trio.sleep(MEASURED_EVERY_SECS)
            try:
                await self.repositories.run(self.use.measure_all)
            except OSError as error:
                log.warning("bytes of repositories not counted", error=str(error))

    def refuses_new(self, owner: str) -> str | None:
        """Why an owner (hex) may have no repository more; else None."""
        return over_new(self._use(self.repositories.path(owner, "x")), self.settings)

    def require(self, receiver: object, repository: Path, size: int) -> None:
        """Let a receiver have so many bytes in all for a repository.

        Raises:
          OverQuota: they would exceed a limit.
        """
        self._received.pop(receiver, None)
        if (over := over_bytes(self._use(repository), size, self.settings)) is not None:
            raise OverQuota(over, size)
        self._received[receiver] = repository, size

    def hand_over(self, receiver: object, other: object) -> None:
        """What a receiver has is another's from now on: it counts once, and still fits."""
        if (had := self._received.pop(receiver, None)) is not None:
            self._received[other] = had

    def give_back(self, receiver: object) -> None:
        """It receives no more."""
        self._received.pop(receiver, None)

    def joined(self, repository: Path) -> None:
        """Objects joined a repository; in a thread."""
        self.use.measure(repository)

    def require_hunt(self, repository: Path, oids: frozenset[str]) -> None:
        """Refuse to ask a server for what will not fit.

        Raises:
          NoRoom: no byte fits, or these objects did not fit before and no room came since.
        """
        more = self._too_large.get((repository, oids)) or 1
        if (over := over_bytes(self._use(repository), more, self.settings)) is not None:
            raise NoRoom(over)

    def note_hunt(self, repository: Path, oids: frozenset[str], size: int) -> None:
        """These objects need more than so many bytes, which did not fit."""
        self._too_large.put((repository, oids), size)

    def _use(self, repository: Path) -> Use:
        """What is used, with what is being received."""
        use, owner = self.use, repository.parent
        received = list(self._received.values())
        return Use(
            use.of_repository(repository) + sum(s for p, s in received if p == repository),
            use.of_owner(repository) + sum(s for p, s in received if p.parent == owner),
            use.total + sum(s for _, s in received),
            use.count_of_owner(repository),
        )
