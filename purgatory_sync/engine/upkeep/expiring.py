"""Events that expire are served until that second and no longer (NIP-40; B 5.3)."""

from __future__ import annotations

import attrs
import trio

from ...errors import RepositoryError, StoreError
from ...nostr.filters import Filter
from ...nostr.pull_request import PullRequest
from ...policy.kinds.deletions import bars_of_expiring
from ...purgatory.entries import Origin, as_hunted
from ...release.commit import Core
from ...release.pr_release import drop_deleted_pull_request_refs
from ...release.releaser import Releaser
from ...release.retention import note_what_ends
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...store.protocol import Change, Store

AT_ONCE = 200
LOOK_SECS, AGAIN_SECS = 3600.0, 60.0
log = get_logger(__name__)


@attrs.frozen
class Expirer:
    """Deletes served events when their time has come."""

    store: Store
    core: Core
    releaser: Releaser
    clock: WallClock

    async def run(self) -> None:
        """Wait for the next event that expires, and for one that comes and does so sooner."""
        while True:
            came = self.core.ledger.expiring_came
            try:
                wait = await self.expire()
            except (StoreError, RepositoryError) as error:
                log.warning("what expired is still served", error=str(error))
                wait = AGAIN_SECS
            with trio.move_on_after(wait):
                await came.wait()

    async def expire(self) -> float:
        """Delete all that expired by now; in how many seconds the next one does, 3,600 at most.

        Raises:
          StoreError: what was not deleted yet is served still.
        """
        while True:
            now = self.clock.now()
            ids, following = await self.store.expiring(now, AT_ONCE)
            if not ids:
                return min(LOOK_SECS, following - now) if following is not None else LOOK_SECS
            found = await self.store.query([Filter(ids=frozenset(ids))], len(ids))
            for each in await self.core.index.parser.stored(found):
                async with self.releaser.hold(*each.identifiers):
                    with trio.CancelScope(shield=True):
                        bars = bars_of_expiring(each.event, now)
                        await self.core.ledger.apply(
                            Change(delete=[each.event.id], tombstones=bars)
                        )
                        if isinstance(each, PullRequest):
                            await drop_deleted_pull_request_refs(self.core, each)
                            entry = as_hunted(each, Origin.USER, now)
                            await note_what_ends(self.core, entry)
