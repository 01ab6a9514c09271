"""How many repositories are served, and the newest of them, for the landing page (B 6.4)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ...nostr import kinds
from ...nostr.announcement import Announcement
from ...nostr.filters import Filter
from ...nostr.keys import encode_npub
from ...policy.curation import is_blacklisted
from ...policy.rules.hosting import coordinate_of
from ...release.commit import Core
from ...store.protocol import Store
from .repository_status import NAME_SHOWN, cut

ANNOUNCEMENTS_READ: Final = 5_000
NEWEST_SHOWN: Final = 20
FRESH_SECS: Final = 60.0
_STEP: Final = 100


@attrs.frozen
class CatalogueEntry:
    """A served repository.

    Attributes:
      npub: its owner.
      announced_at: Unix seconds of its announcement.
    """

    npub: str
    identifier: str
    name: str
    announced_at: int


@attrs.frozen
class Catalogue:
    """What is served.

    Attributes:
      total: how many repositories; where `more`, at least so many.
      newest: those that were announced last, newest first.
    """

    total: int
    more: bool
    newest: tuple[CatalogueEntry, ...]


@attrs.define(eq=False)
class Cataloguer:
    """Reads the store once a minute at most, however many ask."""

    store: Store
    core: Core
    _looking: trio.Lock = attrs.field(factory=trio.Lock)
    _last: Catalogue | None = None
    _fresh_until: float = 0.0

    async def look(self) -> Catalogue:
        """What is served, at most a minute ago.

        Raises:
          StoreError: the store cannot be read.
        """
        async with self._looking:
            if self._last is None or trio.current_time() >= self._fresh_until:
                self._last = await self._read()
                self._fresh_until = trio.current_time() + FRESH_SECS
            return self._last

    async def _read(self) -> Catalogue:
        condition = Filter(kinds=frozenset({kinds.ANNOUNCEMENT}))
        events = await self.store.query([condition], ANNOUNCEMENTS_READ)
        served = []
        for number, each in enumerate(await self.core.index.announcements(events)):
            if number % _STEP == 0:
                await trio.lowlevel.checkpoint()
            if self._is_listed(each):
                served.append(each)
        newest = tuple(map(_entry, served[:NEWEST_SHOWN]))
        return Catalogue(len(served), len(events) >= ANNOUNCEMENTS_READ, newest)

    def _is_listed(self, announcement: Announcement) -> bool:
        """One that serves only as an acceptance has no repository; what is private is not told."""
        lists = self.core.index.lists
        return (
            not announcement.is_private
            and not is_blacklisted(coordinate_of(announcement), lists)
            and self.core.repositories.exists(announcement.owner, announcement.identifier)
        )


def _entry(announcement: Announcement) -> CatalogueEntry:
    return CatalogueEntry(
        encode_npub(announcement.owner),
        announcement.identifier,
        cut(announcement.event.first("name") or announcement.identifier, NAME_SHOWN),
        announcement.event.created_at,
    )
