"""A push below `/prs/`, from its commands to its release (B 12.4-12.8)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    PrsUse,
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
from .staging import Stage, let_go, make_stage, newest_heads

MOST_RELATIVES = 8
"""Served repositories of the identifier that a push may lean on, the newest first."""
log = get_logger(__name__)


@attrs.define(eq=False)
class Reserved:
    """What pushes that are going on have sent: parallel ones do not add up past a limit."""

    _counts: Counter[tuple[bool, str]] = attrs.field(factory=Counter)

    def of(self, *, unclaimed: bool, whose: str) -> int:
        """Bytes of one address, or author."""
        return self._counts[unclaimed, whose]

    def total(self, *, unclaimed: bool) -> int:
        """Bytes of all."""
        return sum(size for (which, _), size in self._counts.items() if which is unclaimed)

    def add(self, size: int, *, unclaimed: bool, whose: str) -> None:
        """So many more, or fewer."""
        self._counts[unclaimed, whose] += size
        if not self._counts[unclaimed, whose]:
            del self._counts[unclaimed, whose]


@attrs.frozen
class Contributor:
    """Takes pushes below `/prs/`; what it changes is changed under the identifier's lock.

    Attributes:
      prs: the folder.
      ingest: proves packs; its own limit of bytes is not below that of `settings`.
      in_flight: what pushes rely on, which does not end meanwhile.
    """

    store: Store
    core: Core
    prs: PrsFolder
    releaser: Releaser
    ingest: Ingest
    settings: Settings
    clock: WallClock
    in_flight: PushesInFlight
    reserved: Reserved = attrs.field(factory=Reserved)

    async def refs(self, target: RepositoryId) -> dict[str, str]:
        """What is there: ref → OID; of what is not there nothing, without a look at the disk."""
        if target not in self.prs:
            return {}
        return await self.core.repositories.run(list_refs, self.prs.path(target))

    async def haves(self, target: RepositoryId) -> Sequence[str]:
        """Commits that clients need not send: heads of served repositories of the identifier."""
        relatives = await self._relatives(target.identifier)
        return await self.core.repositories.run(newest_heads, relatives) if relatives else ()

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
        with (
            self.in_flight.holding([*event_ids_of(changes), BelowPrs(target)]),
            self._reserving(target, verdict, address, read) as pack,
        ):
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
        relatives = await self._relatives(target.identifier)
        stage = await run(make_stage, repositories.tmp, self.prs.path(target), relatives)
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
        use = self.prs.use(self.core.purgatory.uploads, target, address)
        require_room(use, self.settings.prs, grown, unclaimed=bool(verdict.unclaimed))
        with trio.CancelScope(shield=True):  # journal, disk and memory change together
            await self._show(target, verdict, stage, address)
        log.info("pushed below /prs/", identifier=target.identifier, refs=len(verdict.refs))
        if verdict.claimed:
            await self.releaser.process_locked(target.identifier)

    async def _show(
        self, target: RepositoryId, verdict: ContributionVerdict, stage: Stage, address: str
    ) -> None:
        """The rows first: what a crash leaves of them without a ref ends at the next start."""
        run, before, now = self.core.repositories.run, self.prs.size(target), self.clock.now()
        rows = [
            Upload(target.owner, target.identifier, event_id, oid, now, 0, address)
            for name, oid in verdict.unclaimed.items()
            for event_id in event_ids_of({name: oid})
        ]
        if rows:
            await self.core.ledger.apply(Change(uploads=rows))
        try:
            if target in self.prs:
                await run(self.prs.take, stage.path, target, list(verdict.refs.values()))
                await run(self.prs.name, target, verdict.refs)
            else:
                await run(update_refs, stage.path, verdict.refs)
                await run(self.prs.place, stage.path, target)
        except BaseException:
            if rows:
                await self.core.ledger.apply(Change(forget_uploads=rows))
            raise
        if rows:
            rows[0] = attrs.evolve(rows[0], size=max(self.prs.size(target) - before, 0))
            await self.core.ledger.apply(Change(uploads=rows[:1]))
        for row in rows:
            self.core.purgatory.uploads.add(row)

    async def _judge(
        self, target: RepositoryId, changes: Changes, address: str, *, counted: bool = True
    ) -> ContributionVerdict:
        ids = event_ids_of(changes)
        _, tombstones = await self.store.look([], 0, ids) if ids else ((), ())
        use = self.prs.use(self.core.purgatory.uploads, target, address)
        known = ContributionKnown(
            target,
            self.settings.service,
            self._with_reserved(use, target, address) if counted else use,
            self.clock.now(),
            await self.refs(target),
            await self.core.index.pull_requests(ids),
            frozenset(each.target for each in tombstones if each.author == target.owner),
        )
        settings = self.settings
        return judge_contribution(
            changes, known, settings.prs, settings.purgatory, self.core.index.lists
        )

    def _with_reserved(self, use: PrsUse, target: RepositoryId, address: str) -> PrsUse:
        of, total = self.reserved.of, self.reserved.total
        return attrs.evolve(
            use,
            bytes=use.bytes + total(unclaimed=False),
            bytes_of_author=use.bytes_of_author + of(unclaimed=False, whose=target.owner),
            unclaimed_bytes=use.unclaimed_bytes + total(unclaimed=True),
            unclaimed_bytes_of_address=use.unclaimed_bytes_of_address
            + of(unclaimed=True, whose=address),
        )

    @contextmanager
    def _reserving(
        self, target: RepositoryId, verdict: ContributionVerdict, address: str, read: Read
    ) -> Iterator[CountedPack]:
        """The pack, each piece of which is taken off the budget until the push has ended."""
        unclaimed = bool(verdict.unclaimed)
        whose = address if unclaimed else target.owner
        taken = 0

        def judge(size: int) -> None:
            nonlocal taken
            if not verdict.refs:
                return  # nothing of it is kept
            self.reserved.add(size - taken, unclaimed=unclaimed, whose=whose)
            taken = size
            use = self.prs.use(self.core.purgatory.uploads, target, address)
            use = self._with_reserved(use, target, address)
            require_room(use, self.settings.prs, 0, unclaimed=unclaimed)

        try:
            yield CountedPack(read, self.settings.prs.max_pack_bytes, judge)
        finally:
            self.reserved.add(-taken, unclaimed=unclaimed, whose=whose)

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
