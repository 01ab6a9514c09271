"""Writes down when repositories were pushed to and hunted for last (B 13.17)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ..errors import StoreError
from ..nostr.address import RepositoryId
from ..records import ServerNote
from ..release.commit import Core
from ..runtime.clock import WallClock
from ..runtime.logger import get_logger
from ..store.protocol import Change
from .pushes.last_seen import LastSeen

WRITE_SECS: Final = 60.0
LOOK_EVERY: Final = 60
"""So many writes lie between two looks at which repositories are gone."""
END_SECS: Final = 5.0

log = get_logger(__name__)


@attrs.frozen
class SeenJournal:
    """Once a minute, so that an attempt or a push costs no write of its own; a kill forgets it."""

    seen: LastSeen
    core: Core
    clock: WallClock

    async def run(self) -> None:
        """Write until cancelled, and once more then."""
        rounds = 0
        try:
            while True:
                await trio.sleep(WRITE_SECS)
                if rounds % LOOK_EVERY == 0:
                    await self.forget_what_is_gone()
                rounds += 1
                await self.write()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + END_SECS):
                await self.write()

    async def forget_what_is_gone(self) -> None:
        """Forget repositories that are not on the disk; a failure is logged."""
        repositories = self.core.repositories
        try:
            named = await repositories.run(repositories.all_named)
        except OSError as error:
            log.warning("repositories not looked for", error=str(error))
            return
        self.seen.keep_only({RepositoryId(*each) for each in named})

    async def write(self) -> None:
        """Write what has changed; what could not be written is written with the next."""
        if not (changes := self.seen.take_changes()):
            return
        now = self.clock.now()
        change = Change(
            server_notes=[ServerNote(k, v, now) for k, v in changes.items() if v is not None],
            forget_server_notes=[key for key, text in changes.items() if text is None],
        )
        try:
            await self.core.ledger.apply(change)
        except StoreError as error:
            self.seen.give_back(changes)
            log.warning("last pushes and hunts not written", error=str(error))
