"""A push below `/prs/`, from its commands to its release (B 12.4-12.8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from ...errors import LocalFailure, NotClosed, PushRefused, RepositoryError, StoreError
from ...git.disk.refs import update_refs
from ...git.disk.repository import list_refs
from ...git.ingest.quarantine import remove_quarantine
from ...git.ingest.sink import Ingest
from ...nostr.address import RepositoryId
from ...nostr.authority.repository_data import Standing
from ...policy.contributions import (
    ContributionKnown,
    ContributionVerdict,
    judge_contribution,
    require_room,
)
from ...policy.push import event_ids_of
from ...records import Upload
from ...release.commit import Core
from ...release.index.prs_folder import PrsFolder, measure
from ...release.releaser import Releaser
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import Settings
from ...store.protocol import Change, Store
from ..pushes.in_flight import BelowPrs, PushesInFlight
from ..pushes.receiving import (
    OUR_FAULT,
    Changes,
    CountedPack,
    Read,
    prove_pack,
    require_commits,
)
from .budgets import Budgets
from .lenders import Lenders
from .staging import Stage, let_go, make_stage

MOST_RELATIVES = 8
"""Served repositories of the identifier that a push may lean on, the newest first."""
log = get_logger(__name__)


@attrs.frozen
class Contributor:
    """Takes pushes below `/prs/`; what it changes is changed under the identifier's lock.

    Attributes:
      prs: the folder.
      ingest: proves packs; its own limit of bytes is not below that of `settings`.
      in_flight: what pushes rely on, which does not end meanwhile.
      showing: held from the last look at the budgets until what was looked at is on the disk, so
        that no two pushes take the same room; never while a lock of an identifier is waited for.
    """

    store: Store
    core: Core
    prs: PrsFolder
    releaser: Releaser
    ingest: Ingest
    settings: Settings
    clock: WallClock
    in_flight: PushesInFlight
    budgets: Budgets = attrs.field(
        default=attrs.Factory(
            lambda self: Budgets(self.prs, self.core.purgatory, self.settings.prs), takes_self=True
        )
    )
    lenders: Lenders = attrs.field(
        default=attrs.Factory(lambda self: Lenders(self.core.repositories.tmp), takes_self=True)
    )
    showing: trio.Lock = attrs.field(factory=trio.Lock)

    async def refs(self, target: RepositoryId) -> dict[str, str]:
        """What is there: ref → OID; of what is not there nothing, without a look at the disk."""
        if target not in self.prs:
            return {}
        return await self.core.repositories.run(list_refs, self.prs.path(target))

    async def haves(self, target: RepositoryId) -> Sequence[str]:
        """Commits that clients need not send: heads of served repositories of the identifier."""
        relatives = await self._relatives(target.identifier)
        return (
            await self.core.repositories.run(self.lenders.newest_heads, relatives)
            if relatives
            else ()
        )

    async def receive(
        self, target: RepositoryId, changes: Changes, read: Read, address: str
    ) -> None:
        """Take a whole push, or nothing of it; when this returns, release has finished.

        Args:
          changes: ref → the OID that it shall name, None to delete it.
          read: the next piece of the pack, empty at its end.
          address: the client's network, for its budget.

        Raises:
          PushRefused: nothing was changed. What `read` raises, as it is: nothing was changed.

        Cancelled while the pack comes, nothing has changed; later, each event is held or released
        and each ref old or new, and the start after a crash ends what was begun.
        """
        limit = self.settings.push.max_secs
        try:
            await self._receive(target, changes, read, address)
        except trio.TooSlowError as error:
            raise PushRefused(f"the push took longer than {limit:g} seconds") from error
        except NotClosed as error:
            raise PushRefused(f"the history in the pack has holes ({error})") from error
        except (RepositoryError, StoreError, LocalFailure, OSError) as error:
            log.error("push below /prs/ failed", identifier=target.identifier, error=str(error))
            raise PushRefused(OUR_FAULT) from error

    async def _receive(
        self, target: RepositoryId, changes: Changes, read: Read, address: str
    ) -> None:
        verdict = await self._judge(target, changes, address)
        most = self.settings.prs.max_pack_bytes
        with (
            self.in_flight.holding([*event_ids_of(changes), BelowPrs(target)]),
            self.budgets.sending(target, verdict, address) as judge,
        ):
            pack = CountedPack(read, most, judge)
            with trio.fail_after(self.settings.push.max_secs):
                if not verdict.refs:
                    while await pack.read():
                        pass
                    return
                await self._stage(target, changes, pack, address)

    async def _stage(
        self, target: RepositoryId, changes: Changes, pack: CountedPack, address: str
    ) -> None:
        """Receive and prove it beside its place, then bring it there under the lock."""
        repositories, run = self.core.repositories, self.core.repositories.run
        relatives = await run(self.lenders.lending, await self._relatives(target.identifier))
        stage = await run(make_stage, repositories.tmp, self.prs.path(target), relatives)
        self.lenders.note_apart(stage.apart)
        try:
            if (proven := await prove_pack(self.ingest, stage.path, pack)) is not None:
                async with proven:
                    await proven.join()
            named = {name: oid for name, oid in changes.items() if oid is not None}
            await require_commits(repositories, stage.path, named)
            untidy = await run(let_go, stage, named)
            async with self.releaser.hold(target.identifier):
                await self._finish(target, changes, stage, address)
                if untidy and target in self.prs:
                    await run(repositories.note_left, self.prs.path(target))
        finally:
            with trio.CancelScope(shield=True):
                await run(remove_quarantine, stage.path)

    async def _finish(
        self, target: RepositoryId, changes: Changes, stage: Stage, address: str
    ) -> None:
        """Judge again, show, claim, release; the caller holds the identifier's lock."""
        run = self.core.repositories.run
        verdict = await self._judge(target, changes, address, counted=False)
        if not verdict.refs:
            return
        grown = max(await run(measure, stage.path) - self.prs.size(target), 0)
        async with self.showing:
            use = self.budgets.on_disk(target, address)
            require_room(use, self.settings.prs, grown, unclaimed=bool(verdict.unclaimed))
            with trio.CancelScope(shield=True):  # journal, disk and memory change together
                await self._show(target, verdict, stage, address, grown)
        log.info("pushed below /prs/", identifier=target.identifier, refs=len(verdict.refs))
        if verdict.claimed:
            await self.releaser.process_locked(target.identifier)

    async def _show(
        self,
        target: RepositoryId,
        verdict: ContributionVerdict,
        stage: Stage,
        address: str,
        grown: int,
    ) -> None:
        """The rows first: what a crash leaves of them without a ref ends at the next start.

        So do the bytes by which the repository will have grown: they are the address's.
        """
        run, before, now = self.core.repositories.run, self.prs.size(target), self.clock.now()
        rows = [
            Upload(target.owner, target.identifier, event_id, oid, now, 0, address)
            for name, oid in verdict.unclaimed.items()
            for event_id in event_ids_of({name: oid})
        ]
        if rows:
            rows[0] = attrs.evolve(rows[0], size=grown)
            await self.core.ledger.apply(Change(uploads=rows))
        try:
            if target in self.prs:
                await run(self.prs.take, stage.path, target, list(verdict.refs.values()))
                await run(self.prs.name, target, verdict.refs)
            else:
                await run(update_refs, stage.path, verdict.refs)
                await run(self.prs.place, stage.path, target)
        except BaseException:
            await self._take_back(target, rows)
            raise
        if rows and (size := max(self.prs.size(target) - before, 0)) != grown:
            rows[0] = attrs.evolve(rows[0], size=size)
            await self.core.ledger.apply(Change(uploads=rows[:1]))
        for row in rows:
            self.core.purgatory.uploads.add(row)

    async def _take_back(self, target: RepositoryId, rows: Sequence[Upload]) -> None:
        """What was linked and no ref names goes, and the rows with it."""
        try:
            if target in self.prs:
                await self.core.repositories.run(self.prs.compact, target)
        except (RepositoryError, LocalFailure, NotClosed, OSError) as error:
            log.warning("not freed", path=str(self.prs.path(target)), error=str(error))
        if rows:
            await self.core.ledger.apply(Change(forget_uploads=rows))

    async def _judge(
        self, target: RepositoryId, changes: Changes, address: str, *, counted: bool = True
    ) -> ContributionVerdict:
        ids = event_ids_of(changes)
        _, tombstones = await self.store.look([], 0, ids) if ids else ((), ())
        used = self.budgets.used if counted else self.budgets.on_disk
        known = ContributionKnown(
            target,
            self.settings.service,
            used(target, address),
            self.clock.now(),
            await self.refs(target),
            await self.core.index.pull_requests(ids),
            frozenset(each.target for each in tombstones if each.author == target.owner),
        )
        settings = self.settings
        return judge_contribution(
            changes, known, settings.prs, settings.purgatory, self.core.index.lists
        )

    async def _relatives(self, identifier: str) -> list[Path]:
        """Served repositories of the identifier that only this program wrote into, newest first."""
        data = await self.core.index.data(identifier)
        repositories = self.core.repositories
        served = [
            known.announcement
            for known in data.known.values()
            if known.standing is Standing.SERVED and known.has_repository and not known.blocked
        ]
        served.sort(key=lambda each: each.event.order, reverse=True)
        paths = [repositories.path(each.owner, identifier) for each in served[:MOST_RELATIVES]]
        return [path for path in paths if repositories.is_ours_alone(path)]
