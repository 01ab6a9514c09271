"""A push from its commands to its release: judged, received, proven, judged again (B 6.5-6.8)."""

from __future__ import annotations

from pathlib import Path

import attrs
import trio

from ...errors import (
    LocalFailure,
    PushRefused,
    RepositoryError,
    StoreError,
)
from ...git.disk.refs import update_refs
from ...git.disk.repository import list_refs
from ...git.ingest.quarantine import Quarantined
from ...git.ingest.sink import Ingest
from ...nostr.address import RepositoryId
from ...nostr.authority.repository_data import KnownAnnouncement, Standing
from ...policy.push import ALIGNED, NOSTR, PushKnown, PushVerdict, event_ids_of, judge_push
from ...policy.rules.hosting import is_read_only
from ...records import Placeholder
from ...release.commit import Core
from ...release.index.held_rows import row_of
from ...release.making import make_repository
from ...release.releaser import Releaser
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import PushSettings
from ...store.protocol import Change
from .in_flight import PushesInFlight
from .last_seen import LastSeen
from .receiving import OUR_FAULT, Changes, CountedPack, Read, prove_pack, require_commits

_READ_ONLY = "this is a read-only copy: push to a server that the announcement names"
log = get_logger(__name__)


@attrs.frozen
class Pusher:
    """Takes pushes; what it changes is changed under the identifier's lock.

    Attributes:
      ingest: proves packs; its own limit of bytes is not below that of `settings`.
      service: our host[:port].
      seen: is told of what was pushed.
    """

    core: Core
    releaser: Releaser
    ingest: Ingest
    settings: PushSettings
    clock: WallClock
    in_flight: PushesInFlight
    service: str = ""
    seen: LastSeen = attrs.field(factory=LastSeen)

    async def refs(self, target: RepositoryId) -> dict[str, str] | None:
        """What a push builds on: ref → OID; None when the repository is not hosted (B 6.4).

        One whose announcement is softly expired answers as an empty one (B 2.7).
        """
        if await self._announcement(target) is None:
            return None
        repositories = self.core.repositories
        path = repositories.path(target.owner, target.identifier)
        return await repositories.run(list_refs, path)

    async def receive(self, target: RepositoryId, changes: Changes, read: Read) -> None:
        """Take a whole push, or nothing of it; when this returns, release has finished (B 6.8).

        Args:
          changes: ref → the OID that it shall name, None to delete it.
          read: the next piece of the pack, empty at its end (at once, when there is no pack); read
            to the end unless the push is refused. No lock is held meanwhile (B 6.7).

        Raises:
          PushRefused: nothing was changed but that proven objects may have joined.
          What `read` raises, as it is: nothing was changed.

        Cancelled while the pack comes, nothing has changed; later, each event is held or released
        and each ref old or new, and the start after a crash ends what was begun.
        """
        try:
            await self._receive(target, changes, CountedPack(read, self.settings.max_pack_bytes))
        except trio.TooSlowError as error:
            raise PushRefused(
                f"the push took longer than {self.settings.max_secs:g} seconds"
            ) from error
        except (RepositoryError, StoreError, LocalFailure, OSError) as error:
            log.error("push failed", identifier=target.identifier, error=str(error))
            raise PushRefused(OUR_FAULT) from error

    async def _receive(self, target: RepositoryId, changes: Changes, pack: CountedPack) -> None:
        hosted = await self._announcement(target)
        if hosted and is_read_only(hosted.announcement, self.service, self.core.index.lists):
            raise PushRefused(_READ_ONLY)
        verdict = await self._judge(target, changes)
        state = verdict.state
        relied_on = [*event_ids_of(changes), *([state.event.id] if state is not None else [])]
        with self.in_flight.holding([*relied_on, target]):
            if verdict.changes_nothing:
                with trio.fail_after(self.settings.max_secs):
                    while await pack.read():
                        pass
                await self._revive(target)
                return
            await self._revive(target)
            with trio.fail_after(self.settings.max_secs):
                quarantined = await prove_pack(self.ingest, self._path(target), pack)
            try:
                async with self.releaser.hold(target.identifier):
                    await self._finish(target, changes, quarantined)
            finally:
                if quarantined is not None:
                    await quarantined.discard()

    def _path(self, target: RepositoryId) -> Path:
        return self.core.repositories.path(target.owner, target.identifier)

    async def _announcement(self, target: RepositoryId) -> KnownAnnouncement | None:
        """The announcement by which the repository is hosted here."""
        data = await self.core.index.data(target.identifier)
        known = data.known.get(target.owner)
        if known is None:
            return None
        hosted = known.has_repository or known.standing is Standing.SOFT_EXPIRED
        return known if hosted else None

    async def _judge(self, target: RepositoryId, changes: Changes) -> PushVerdict:
        refs = await self.refs(target)
        if refs is None:
            raise PushRefused("no announcement (kind 30617) of this repository is here any more")
        index = self.core.index
        known = PushKnown(
            target.owner,
            await index.data(target.identifier),
            refs,
            tuple(held.state for held in self.core.purgatory.find_state(target.identifier)),
            await index.served_states(target.identifier),
            await index.pull_requests(event_ids_of(changes)),
            self._room_for_placeholders(target),
        )
        return judge_push(changes, known)

    def _room_for_placeholders(self, target: RepositoryId) -> int:
        """How many more may wait: of this repository, and in all as many as events (B 4.3)."""
        bounds, waiting = self.core.purgatory.settings, self.core.purgatory.placeholders
        here = waiting.count(target.owner, target.identifier)
        return min(bounds.max_placeholders_per_repository - here, bounds.max_events - len(waiting))

    async def _finish(
        self, target: RepositoryId, changes: Changes, quarantined: Quarantined | None
    ) -> None:
        """Judge again, join, align, release; the caller holds the identifier's lock."""
        verdict = await self._judge(target, changes)
        if verdict.changes_nothing:
            return
        if quarantined is not None:
            await quarantined.join()
            self.core.purgatory.note_change(target.identifier)
        try:
            await self._release(target, verdict)
        except BaseException:
            if quarantined is not None:
                await self._note_left(target)
            raise
        self.seen.pushed(target, self.clock.now())
        log.info("pushed", identifier=target.identifier, refs=len(changes))

    async def _release(self, target: RepositoryId, verdict: PushVerdict) -> None:
        await require_commits(self.core.repositories, self._path(target), verdict.nostr)
        await self.releaser.process_locked(target.identifier, bring_up=verdict.state is not None)
        await self._require_done(target, verdict)
        if verdict.nostr:
            with trio.CancelScope(shield=True):  # journal, ref and memory change together
                await self._name(target, verdict)

    async def _note_left(self, target: RepositoryId) -> None:
        """What joined, and was refused or cancelled then, need not stay for ever."""
        repositories = self.core.repositories
        path = repositories.path(target.owner, target.identifier)
        with trio.CancelScope(shield=True):
            try:
                await repositories.run(repositories.note_left, path)
            except RepositoryError as error:
                log.warning("not noted what was left", path=str(path), error=str(error))

    async def _require_done(self, target: RepositoryId, verdict: PushVerdict) -> None:
        """The state that authorised the push rules now, or a newer one does."""
        state = verdict.state
        if state is None:
            return
        if (held := self.core.purgatory.get(state.event.id)) is not None:
            why = held.error or "objects that the state names did not come with the pack"
            raise PushRefused(f"the state could not be released: {why}")
        refs = await self.refs(target) or {}
        aligned = {name: oid for name, oid in refs.items() if name.startswith(ALIGNED)}
        newer = await self.core.index.served_states(target.identifier)
        if aligned != state.refs and not any(s.event.order > state.event.order for s in newer):
            raise PushRefused("not all objects that the state names are here: push them all")

    async def _name(self, target: RepositoryId, verdict: PushVerdict) -> None:
        """Make the refs of pull requests; those without an event wait as placeholders (B 4.3)."""
        repositories, purgatory = self.core.repositories, self.core.purgatory
        now = self.clock.now()
        rows = [
            Placeholder(target.owner, target.identifier, each, verdict.nostr[f"{NOSTR}{each}"], now)
            for each in verdict.placeholders
        ]
        if rows:
            await self.core.ledger.apply(Change(placeholders=rows))
        for row in rows:
            purgatory.placeholders.add(row)
        path = repositories.path(target.owner, target.identifier)
        await repositories.run(update_refs, path, verdict.nostr)

    async def _revive(self, target: RepositoryId) -> None:
        """Give a softly expired announcement its repository and 30 minutes more (B 2.7)."""
        purgatory = self.core.purgatory
        held = purgatory.find_announcement(target.owner, target.identifier)
        if held is None or held.soft_expired_at is None:
            return
        async with self.releaser.hold(target.identifier):
            held = purgatory.find_announcement(target.owner, target.identifier)
            if held is None or held.soft_expired_at is None:
                return
            now = self.clock.now()
            row = attrs.evolve(row_of(held), accepted_at=now, soft_expired_at=None)
            with trio.CancelScope(shield=True):  # journal, disk and memory change together
                await self.core.ledger.apply(Change(hold=[row]))
                await make_repository(self.core, target.owner, target.identifier)
                purgatory.revive_announcement(held, now)
