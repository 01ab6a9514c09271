"""Every hour the sources of expired events are asked again, in small numbers (B 8.12)."""

from __future__ import annotations

from contextlib import aclosing

import attrs
from trio_util import periodic

from ...errors import PurgatorySyncError
from ...nostr.authority.repository_data import KnownAnnouncement, Standing
from ...nostr.parsed import parse
from ...nostr.pull_request import PullRequest
from ...nostr.state import State
from ...purgatory.entries import HeldState, HuntedEvent, Origin, as_hunted
from ...purgatory.expiry import has_expired
from ...purgatory.overdue import Kept
from ...release.commit import Core
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import PurgatorySettings
from ...store.protocol import Change
from .admission import Admission, Outcome

ROUND_SECS = 60
AT_ONCE = 500
log = get_logger(__name__)


@attrs.frozen
class AskAgain:
    """Holds expired events anew, each until every source of it was asked once."""

    core: Core
    admission: Admission
    clock: WallClock
    settings: PurgatorySettings

    async def run(self) -> None:
        """Look every minute what is due, until cancelled."""
        async with aclosing(periodic(ROUND_SECS)) as rounds:
            async for _ in rounds:
                await self.ask()

    async def ask(self) -> None:
        """One round; what finds no room, or fails here, is tried in another one."""
        overdue = self.core.purgatory.overdue
        for kept in overdue.due(self.clock.now(), AT_ONCE):
            if not self._has_room():
                return
            try:
                await self._ask(kept)
            except (PurgatorySyncError, OSError) as error:
                overdue.postpone(kept.event_id, self.clock.now())
                log.error("not looked for again", event_id=kept.event_id, error=str(error))
            except Exception:
                overdue.postpone(kept.event_id, self.clock.now())
                log.exception("looking again crashed", event_id=kept.event_id)

    def _has_room(self) -> bool:
        """What is new comes first: half of the room is left to it."""
        total, most = self.core.purgatory.room.total, self.settings
        return 2 * total.events < most.max_events and 2 * total.size < most.max_bytes

    async def _ask(self, kept: Kept) -> None:
        purgatory, now = self.core.purgatory, self.clock.now()
        stays = purgatory.get(kept.event_id) is not None
        if not stays and await self._is_worth_it(kept, now):
            answer = await self.admission.offer(kept.event, Origin.SYNC, again=True)
            stays = answer.outcome is Outcome.HELD or answer.transient
        if stays:
            purgatory.overdue.postpone(kept.event_id, now)
            return
        await self.core.ledger.apply(Change(forget_overdue=[kept.event_id]))
        purgatory.overdue.forget(kept.event_id)

    async def _is_worth_it(self, kept: Kept, now: float) -> bool:
        """Whether a served announcement wants its data; one that is held does for seven days."""
        if now < kept.since + self.settings.expired_memory_secs:
            return True
        parsed = parse(kept.event)
        if not isinstance(parsed, State | PullRequest):
            return False
        found = await concerned(self.core, as_hunted(parsed, Origin.SYNC, now))
        return any(each.standing is Standing.SERVED and each.has_repository for each in found)


async def to_keep(core: Core, held: HuntedEvent, now: float) -> Kept | None:
    """What is kept of an event whose time is over, so that its data is looked for again.

    Nothing of one that no source can satisfy, that no repository here waits for, of which a newer
    version is kept, or for which there is no room; `now` in Unix seconds.
    """
    if held.hopeless or held.unsatisfiable or has_expired(held, now):
        return None
    overdue = core.purgatory.overdue
    known = overdue.get(held.event_id)
    since = now if known is None else known.since
    kept = Kept.of(held.event, held.identifiers, since, now + overdue.retry_secs)
    if overdue.is_outdated(kept) or not overdue.has_room_for(kept):
        return None
    hosted = any(each.is_hosted for each in await concerned(core, held))
    return kept if hosted else None


async def concerned(core: Core, held: HuntedEvent) -> list[KnownAnnouncement]:
    """The announcements of the repositories that an event concerns (B 3.6)."""
    found: list[KnownAnnouncement] = []
    for identifier in held.identifiers:
        data = await core.index.data(identifier)
        if isinstance(held, HeldState):
            owners = data.owners_authorising(held.state.author)
        else:
            owners = data.owners_of_pr(held.pr)
        found += [data.known[owner] for owner in owners if owner in data.known]
    return found
