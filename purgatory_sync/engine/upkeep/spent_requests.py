"""Deletion requests that had no effect leave after a time (B 5.4)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ...errors import StoreError
from ...nostr import kinds
from ...nostr.filters import Filter
from ...nostr.parsed import Deletion
from ...policy.kinds.deletions import is_spent, own_bars
from ...release.commit import Core
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import PurgatorySettings
from ...store.protocol import Change, Store

EVERY_SECS: Final = 3600.0
PAGE_EVENTS: Final = 200

log = get_logger(__name__)


@attrs.frozen
class RequestKeeper:
    """Looks at the deletion requests that are served, once an hour."""

    store: Store
    core: Core
    clock: WallClock
    settings: PurgatorySettings

    async def run(self) -> None:
        """Let go until cancelled; what fails is tried again an hour later."""
        while True:
            await trio.sleep(EVERY_SECS)
            try:
                await self.let_go()
                await self.core.ledger.apply(Change(tombstones_ended=self.clock.now()))
            except StoreError as error:
                log.warning("deletion requests not looked at", error=str(error))

    async def let_go(self) -> int:
        """Serve requests no more whose time is over; how many there were.

        What they name is kept out still, until their tombstones end.
        """
        gone, until = 0, None
        while True:
            condition = Filter(kinds=frozenset({kinds.DELETION}), until=until)
            page = await self.store.query([condition], PAGE_EVENTS)
            requests = [Deletion.parse(event) for event in page]
            named = list(dict.fromkeys(t for r in requests for t in (*r.ids, *r.addresses)))
            _, tombstones = await self.store.look([], 1, named)
            now = self.clock.now()
            spent = [
                each.event.id
                for each in requests
                if is_spent(each, own_bars(each, tombstones), now, self.settings)
            ]
            if spent:
                await self.core.ledger.apply(Change(delete=spent))
                gone += len(spent)
            if len(page) < PAGE_EVENTS:
                break
            oldest = page[-1].created_at
            # A page may end within a second; a second that fills a page is left behind.
            until = oldest if until is None or oldest < until else oldest - 1
        if gone:
            log.info("deletion requests without effect are served no more", count=gone)
        return gone
