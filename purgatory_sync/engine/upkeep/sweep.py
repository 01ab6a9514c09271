"""Once a minute: what ends, what was lost from the queue, what is forgotten (B 2.7, 4.3, 8.9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import attrs
import trio
from trio_util import periodic

from ...errors import PurgatorySyncError
from ...hunt.manager import ThrottleManager
from ...hunt.source_choice import survey
from ...nostr.address import RepositoryId
from ...policy.kinds.announcements import bars_of_ending
from ...purgatory.entries import HeldAnnouncement, HeldPr, HeldState, HuntedEvent
from ...purgatory.expiry import (
    AnnouncementStep,
    Outlook,
    announcement_step,
    event_ends,
    has_expired,
    last_moment,
    placeholder_ends,
    time_is_up,
)
from ...records import Placeholder
from ...release.beside import end_beside
from ...release.commit import Core, ReleaseReport, forget, serve
from ...release.index.held_rows import row_of
from ...release.index.missing_objects import identify_missing_oids
from ...release.making import remove_made_empty
from ...release.releaser import Releaser
from ...release.repository_sync import drop_refs
from ...release.retention import note_what_ends, note_what_leaves
from ...release.retiring import retire
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import PurgatorySettings
from ...store.protocol import Change, Expired, OverdueRow
from ..admission.asking_again import to_keep
from ..pushes.in_flight import PushesInFlight, Waiting

SWEEP_SECS = 60
PRUNE_SECS = 3600
log = get_logger(__name__)


@attrs.define
class Sweeper:
    """Ends what waited too long; nothing ends untried (N2).

    Attributes:
      started_at: Unix seconds of the start, for what a long stop left (B 8.9); moved to when the
        machine slept or its clock was set forward, which is like one.
      in_flight: what pushes rely on, which does not end meanwhile (B 6.7).
    """

    core: Core
    releaser: Releaser
    throttles: ThrottleManager
    settings: PurgatorySettings
    clock: WallClock
    started_at: float
    in_flight: PushesInFlight = attrs.field(factory=PushesInFlight)
    _epoch: float = attrs.field(init=False)
    _pruned_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._epoch = self.clock.epoch

    async def run(self) -> None:
        """Sweep every minute until cancelled."""
        async with aclosing(periodic(SWEEP_SECS)) as rounds:
            async for _ in rounds:
                await self.sweep()

    async def sweep(self) -> None:
        """One round; each event is judged and ended under its identifier's lock.

        What fails is logged and tried again in the next round; nothing else waits for it.
        """
        now = self.clock.now()
        self._follow_clock(now)
        if lost := self.core.purgatory.requeue_lost():
            log.warning("identifiers were lost from the queue", identifiers=lost[:10])
        for held in self.core.purgatory.hunted_events():
            if held.hopeless or time_is_up(held, now, self.settings):
                with _alone(event_id=held.event_id):
                    async with self.releaser.hold(*held.identifiers):
                        await self._end_event(held, now)
        for announcement in self.core.purgatory.announcements():
            if self._step(announcement, now, concerned=False) is not AnnouncementStep.KEEP:
                with _alone(event_id=announcement.event_id):
                    async with self.releaser.hold(announcement.identifier):
                        await self._end_announcement(announcement, now)
        for placeholder in tuple(self.core.purgatory.placeholders):
            if placeholder_ends(placeholder, now, self.settings):
                with _alone(event_id=placeholder.event_id):
                    await self._end_placeholder(placeholder)
        self.throttles.naughty.prune(now)
        with _alone():
            if gone := self.core.purgatory.expired.prune(now):
                await self.core.ledger.apply(Change(forget_expired=gone))
        if abs(now - self._pruned_at) >= PRUNE_SECS:
            with _alone():
                await self.core.ledger.apply(Change(tombstones_ended=now))
                self._pruned_at = now

    def _follow_clock(self, now: float) -> None:
        """The system's clock may have been set, or have gone on while the machine slept (B 9)."""
        moved = self.clock.epoch - self._epoch
        self._epoch += moved
        if moved > SWEEP_SECS:
            self.started_at = now
        elif moved < 0:
            self.started_at = min(self.started_at, now)
            self.core.purgatory.clamp_timestamps(now)

    def last_moment(self, held: HuntedEvent) -> float:
        """Unix seconds at which it ends even if untried (B 8.9), as it looks now."""
        return last_moment(held, self.started_at, self.settings)

    async def _end_event(self, held: HuntedEvent, now: float) -> None:
        purgatory = self.core.purgatory
        if purgatory.get(held.event_id) is not held:
            return
        if not held.hopeless and not has_expired(held, now):
            outlook = await self._outlook(held)
            if not event_ends(held, outlook, now, self.started_at, self.settings):
                return
        await note_what_ends(self.core, held)
        reason = (held.error or "") if held.hopeless else ""
        kept = await to_keep(self.core, held, now)
        outdated = purgatory.overdue.older_than(kept) if kept else (held.event_id,)
        change = Change(
            unhold=[held.event_id],
            expire=[Expired(held.event_id, now, reason)],
            overdue=[OverdueRow(held.event, kept.since)] if kept else [],
            forget_overdue=outdated,
        )
        with trio.CancelScope(shield=True):  # journal and memory change together
            await self.core.ledger.apply(change)
            purgatory.expired.remember(held.event_id, now, reason)
            purgatory.overdue.forget(*outdated)
            if kept is not None:
                purgatory.overdue.add(kept)
            forget(purgatory, held)
        prs = self.core.repositories.prs
        if prs is not None and isinstance(held, HeldPr) and prs.named_by(held.pr):
            prs.events["expired"] += 1
        log.info("expired", event_id=held.event_id, identifiers=held.identifiers, reason=reason)

    async def _outlook(self, held: HuntedEvent) -> Outlook:
        sources: list[str] = []
        excused: list[str] = []
        for identifier in () if held.unsatisfiable else held.identifiers:
            if (seen := await survey(self.throttles.ctx, identifier)) is None:
                continue
            for source in seen.sources:
                if held.event_id in source.event_ids:
                    sources.append(source.url)
                    target = self.throttles.ctx.find_target_repo(seen.data, source)
                    if target is None or self.throttles.is_naughty(source.url):
                        excused.append(source.url)
        return Outlook(
            sources,
            excused,
            push_in_hand=await self._is_pushed(held),
            release_failed=held.error is not None and await self._is_whole(held),
            in_hand=any(self.throttles.hunts.get(i) is not None for i in held.identifiers),
        )

    async def _is_whole(self, held: HuntedEvent) -> bool:
        """Whether all that it needs is here: only the release itself is outstanding (B 7.4)."""
        core = self.core
        missing = await identify_missing_oids([held], core.index, core.repositories)
        lack = missing.get(held.event_id)
        return lack is not None and not lack.oids and bool(lack.concern.holding)

    async def _is_pushed(self, held: HuntedEvent) -> bool:
        """Whether a push relies on it, or may: one that waits has not said so yet (B 6.7)."""
        if held.event_id in self.in_flight:
            return True
        for identifier in held.identifiers:
            data = await self.core.index.data(identifier)
            if isinstance(held, HeldState):
                owners = data.owners_authorising(held.state.author)
            else:
                owners = data.owners_of_pr(held.pr)
            if any(Waiting(RepositoryId(owner, identifier)) in self.in_flight for owner in owners):
                return True
        return False

    async def _end_announcement(self, held: HeldAnnouncement, now: float) -> None:
        purgatory, announcement = self.core.purgatory, held.announcement
        if purgatory.get(held.event_id) is not held:
            return
        step = self._step(held, now, concerned=await self._is_concerned(held))
        if step is AnnouncementStep.FORGET:
            # What its soft end could not remove; afterwards no record of it is left.
            await remove_made_empty(self.core, announcement.owner, announcement.identifier)
            data = await self.core.index.data(held.identifier)
            if data.needed_by_served(announcement.owner):
                # Its time is over, not what its author signed: it goes on to count (B 2.7).
                await serve(self.core, ReleaseReport(), [held.event_id])
            else:
                # Where others announce it, an older version may be a withdrawn acceptance.
                older = await self.core.index.served_versions(announcement.owner, held.identifier)
                bars = bars_of_ending(held.event, now, served=bool(older))
                bars = bars if len(data.known) > 1 else ()
                await self.core.ledger.apply(
                    Change(unhold=[held.event_id], delete=older, tombstones=bars)
                )
                forget(purgatory, held)
                await end_beside(self.core, data)
            # The keys that it authorised have no authority now: another state may rule (B 3.4).
            await self.releaser.process_locked(held.identifier, bring_up=True)
            for owner in data.known:
                await retire(self.core, owner, held.identifier)
        elif step is AnnouncementStep.SOFT_EXPIRE:
            row = attrs.evolve(row_of(held), soft_expired_at=now)
            await self.core.ledger.apply(Change(hold=[row]))
            purgatory.soft_expire(held, now)
            await remove_made_empty(self.core, announcement.owner, announcement.identifier)

    def _step(self, held: HeldAnnouncement, now: float, *, concerned: bool) -> AnnouncementStep:
        return announcement_step(held, concerned=concerned, now=now, settings=self.settings)

    async def _is_concerned(self, held: HeldAnnouncement) -> bool:
        identifier, owner = held.identifier, held.announcement.owner
        if RepositoryId(owner, identifier) in self.in_flight:
            return True
        if self.core.purgatory.placeholders.count(owner, identifier):
            return True  # halves of pull requests: their commits are nowhere else
        data = await self.core.index.data(identifier)
        states = self.core.purgatory.find_state(identifier)
        prs = self.core.purgatory.find_prs_for_identifier(identifier)
        members = data.maintainer_set(owner)
        return any(s.state.author in members for s in states) or any(
            data.addresses(pr.pr, owner) for pr in prs
        )

    async def _end_placeholder(self, held: Placeholder) -> None:
        repositories = self.core.repositories
        async with self.releaser.hold(held.identifier):
            if held not in self.core.purgatory.placeholders:
                return
            if repositories.exists(held.owner, held.identifier):
                path = repositories.path(held.owner, held.identifier)
                unless = {f"refs/nostr/{held.event_id}": await self._commit_of(held)}
                await repositories.run(drop_refs, path, unless)
            await note_what_leaves(self.core, held.identifier, [held.oid], held.owner)
            await self.core.ledger.apply(Change(forget_placeholders=[held]))
            self.core.purgatory.placeholders.remove(held)

    async def _commit_of(self, held: Placeholder) -> str | None:
        """What the ref shall name: the commit of the pull request, if that came, for good.

        It may be another one than was pushed first (B 4.2).
        """
        index = self.core.index
        pr = (await index.pull_requests([held.event_id])).get(held.event_id)
        data = await index.data(held.identifier)
        # Without an announcement that cannot be told; the owner may announce it again.
        if pr is None or (held.owner in data.known and not data.addresses(pr, held.owner)):
            return None
        return pr.commit


@contextmanager
def _alone(**what: str) -> Iterator[None]:
    """Log what goes wrong within the block; the rest of the sweep goes on."""
    try:
        yield
    except (PurgatorySyncError, OSError) as error:
        log.error("sweep failed", error=str(error), **what)
    except Exception:
        log.exception("sweep crashed", **what)
