"""What is used of the two budgets below `/prs/`, with pushes that are going on (B 12.8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from ...nostr.address import RepositoryId
from ...policy.contributions import ContributionVerdict, PrsUse, require_room
from ...purgatory.purgatory import Purgatory
from ...release.index.prs_folder import PrsFolder
from ...settings import PrsSettings


@attrs.define(eq=False)
class Reserved:
    """What pushes that are going on have sent: parallel ones do not add up past a limit."""

    _counts: Counter[tuple[bool, str]] = attrs.field(factory=Counter)
    _totals: Counter[bool] = attrs.field(factory=Counter)

    def of(self, *, unclaimed: bool, whose: str) -> int:
        """Bytes of one address, or author."""
        return self._counts[unclaimed, whose]

    def total(self, *, unclaimed: bool) -> int:
        """Bytes of all."""
        return self._totals[unclaimed]

    def add(self, size: int, *, unclaimed: bool, whose: str) -> None:
        """So many more, or fewer."""
        self._totals[unclaimed] += size
        self._counts[unclaimed, whose] += size
        if not self._counts[unclaimed, whose]:
            del self._counts[unclaimed, whose]


@attrs.frozen
class Budgets:
    """Asked before a pack, with each piece of it, and when it was proven.

    Attributes:
      sent: what pushes that are going on have sent.
    """

    prs: PrsFolder
    purgatory: Purgatory
    settings: PrsSettings
    sent: Reserved = attrs.field(factory=Reserved)

    def on_disk(self, target: RepositoryId, address: str) -> PrsUse:
        """What is used without pushes that are going on."""
        return self.prs.use(self.purgatory.uploads, target, address)

    def used(self, target: RepositoryId, address: str) -> PrsUse:
        """What is used with them."""
        return self._with_sent(self.on_disk(target, address), target, address)

    @contextmanager
    def sending(
        self, target: RepositoryId, verdict: ContributionVerdict, address: str
    ) -> Iterator[Callable[[int], None]]:
        """What judges each size that a pack has reached; all is given back at the end.

        What lies on the disk is counted again only when it has changed: pieces are many.
        """
        unclaimed = bool(verdict.unclaimed)
        whose = address if unclaimed else target.owner
        taken, counted, on_disk = 0, -1, PrsUse()

        def judge(size: int) -> None:
            nonlocal taken, counted, on_disk
            if not verdict.refs:
                return  # nothing of it is kept
            self.sent.add(size - taken, unclaimed=unclaimed, whose=whose)
            taken = size
            if counted != (now := self.prs.changes + self.purgatory.uploads.changes):
                counted, on_disk = now, self.on_disk(target, address)
            use = self._with_sent(on_disk, target, address)
            require_room(use, self.settings, 0, unclaimed=unclaimed)

        try:
            yield judge
        finally:
            self.sent.add(-taken, unclaimed=unclaimed, whose=whose)

    def _with_sent(self, use: PrsUse, target: RepositoryId, address: str) -> PrsUse:
        of, total = self.sent.of, self.sent.total
        return attrs.evolve(
            use,
            bytes=use.bytes + total(unclaimed=False),
            bytes_of_author=use.bytes_of_author + of(unclaimed=False, whose=target.owner),
            unclaimed_bytes=use.unclaimed_bytes + total(unclaimed=True),
            unclaimed_bytes_of_address=use.unclaimed_bytes_of_address
            + of(unclaimed=True, whose=address),
        )
