"""What waited too long below `/prs/` ends; what announcements concern is copied (B 12.5-12.9).

A start puts in order what a crash, or another program, left there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Final

import attrs
import trio
from trio_util import periodic

from ...errors import PurgatorySyncError
from ...git.disk.repository import list_refs
from ...git.maintenance.garbage import pack_what_is_needed
from ...nostr import kinds
from ...nostr.address import RepositoryId
from ...nostr.event import Event
from ...nostr.pull_request import PullRequest
from ...policy.contributions import unmet
from ...policy.push import event_ids_of
from ...purgatory.entries import Origin, as_hunted
from ...records import Upload
from ...release.commit import Core
from ...release.index.missing_objects import concern_of
from ...release.index.prs_folder import PrsFolder
from ...release.releaser import Releaser
from ...release.repository_sync import bring_contributed, bring_pull_request
from ...release.settling import end_uploads, settle_uploads
from ...runtime.blocking import blocking
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from ...settings import PurgatorySettings
from ...store.protocol import Change
from ..pushes.in_flight import BelowPrs, PushesInFlight

SWEEP_SECS: Final = 60
TIDY_SECS: Final = 3_600
MOST_COPIED: Final = 1_000
NAMED_AT_MOST: Final = 10
log = get_logger(__name__)


@attrs.define(eq=False)
class ContributionKeeper:
    """Keeps in order what is below `/prs/`.

    Attributes:
      min_free_bytes: bytes that must stay free on the disk.
      still: while it is held, nothing is dropped.
    """

    core: Core
    prs: PrsFolder
    releaser: Releaser
    settings: PurgatorySettings
    clock: WallClock
    in_flight: PushesInFlight
    min_free_bytes: int = 0
    still: trio.Lock = attrs.field(factory=trio.Lock)
    _place: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    _announced: dict[str, None] = attrs.field(factory=dict)
    _came: trio.Event = attrs.field(factory=trio.Event)

    async def start(self, rows: Iterable[Upload]) -> None:
        """Bring the disk and the journal's rows together; before anything else is done (B 12.9).

        A row without its ref ends. A ref without a row is its event's where the event says so; one
        whose event is not known waits anew, noted durably; other refs and folders are told of and
        left. Repositories without refs go.
        """
        now, run = self.clock.now(), self.core.repositories.run
        try:
            found = await run(self.prs.scan)
        except OSError as error:
            log.error("what is below /prs/ cannot be read", error=str(error))
            return
        known = {row.key: row for row in rows}
        unexplained = list(found.foreign)
        for repository, refs in found.repositories.items():
            try:
                unexplained += await self._adopt(repository, refs, known, now)
            except (PurgatorySyncError, OSError) as error:
                found.broken.append(f"{self.prs.path(repository)}: {error}")
        if known:  # what is left of them has no ref
            await self.core.ledger.apply(Change(forget_uploads=list(known.values())))
        self.core.purgatory.uploads.clamp_timestamps(now)
        if unexplained or found.broken:
            log.warning(
                "what is below /prs/ without an explanation is left as it is",
                count=len(unexplained) + len(found.broken),
                paths=[*found.broken, *unexplained][:NAMED_AT_MOST],
            )
        self._note({each.identifier for each in found.repositories})

    async def _adopt(
        self,
        repository: RepositoryId,
        refs: Mapping[str, str],
        known: dict[tuple[str, str, str], Upload],
        now: float,
    ) -> list[str]:
        """Explain each ref of one repository; returns those that nothing explains."""
        if not refs:
            await self.core.repositories.run(self.prs.compact, repository)
            return []
        uploads, unexplained, new = self.core.purgatory.uploads, [], []
        ids = {name: each for name in refs for each in event_ids_of({name: None})}
        events = await self.core.index.pull_requests(tuple(ids.values()))
        path, named = self.prs.path(repository), 0
        for name, oid in refs.items():
            event_id = ids.get(name)
            key = (repository.owner, repository.identifier, event_id or "")
            row = known.pop(key, None)
            if event_id is None:
                unexplained.append(f"{path} {name}")
            elif row is not None:
                uploads.add(row if row.oid == oid else attrs.evolve(row, oid=oid))
            elif event_id not in events:
                new.append(Upload(*key, oid, now))
            elif (pr := events[event_id]) is None or self._unmet(pr, oid, repository):
                unexplained.append(f"{path} {name}")
            else:
                named += 1
        waiting = uploads.of_repository(repository)
        sized = sum(each.size for each in waiting)
        if not named and not (new or sized):
            new = waiting[:1]  # an older version noted sizes last: a crash kept it from that
        if new:
            if not named:  # bytes that no event names never count for the path's key
                rest = max(self.prs.size(repository) - sized, 0)
                new[0] = attrs.evolve(new[0], size=rest)
            await self.core.ledger.apply(Change(uploads=new))
            for each in new:
                uploads.add(each)
        return unexplained

    def _unmet(self, pr: PullRequest, oid: str, repository: RepositoryId) -> bool:
        return unmet(pr, oid, repository, self.prs.service) is not None

    async def run(self) -> None:
        """Sweep every minute, and copy for announcements as they come, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._copy)
            nursery.start_soon(self._tidy_hourly)
            async with aclosing(periodic(SWEEP_SECS)) as rounds:
                async for _ in rounds:
                    await self.sweep()

    async def sweep(self) -> None:
        """End what waited its time, and settle what its event came for; failures are logged."""
        waiting = {
            RepositoryId(each.owner, each.identifier) for each in self.core.purgatory.uploads
        }
        for repository in sorted(waiting):
            if BelowPrs(repository) in self.in_flight:
                continue
            try:
                async with self.releaser.hold(repository.identifier):
                    await self._sweep(repository)
            except (PurgatorySyncError, OSError) as error:
                log.error("sweep failed", path=str(self.prs.path(repository)), error=str(error))
            except Exception:
                log.exception("sweep crashed", path=str(self.prs.path(repository)))

    async def _sweep(self, repository: RepositoryId) -> None:
        rows = self.core.purgatory.uploads.of_repository(repository)
        events = await self.core.index.pull_requests([each.event_id for each in rows])
        now, time = self.clock.now(), self.settings.placeholder_expiry_secs
        for row in rows:
            if row.event_id in events:
                await settle_uploads(self.core, row.event_id, events[row.event_id], [row])
        over = [row for row in rows if row.event_id not in events and now >= row.at + time]
        await end_uploads(self.core, over)

    async def _tidy_hourly(self) -> None:
        while True:
            await trio.sleep(TIDY_SECS)
            for repository in self.prs:
                try:
                    async with self.still:
                        await self.tidy(repository)
                except (PurgatorySyncError, OSError) as error:
                    log.warning(
                        "nothing dropped", path=str(self.prs.path(repository)), error=str(error)
                    )
                except Exception:
                    log.exception("dropping crashed", path=str(self.prs.path(repository)))

    async def tidy(self, repository: RepositoryId) -> None:
        """Drop objects that no ref of a repository names, where some were left (B 7.5, 12.5).

        It is packed alone: with what no event names it must share nothing. Cancelled, it is as
        before, or without them.
        """
        repositories, path = self.core.repositories, self.prs.path(repository)
        noted = await blocking(self._place, repositories.left, path)
        if noted is None or not await blocking(self._place, repositories.is_ours_alone, path):
            return
        free, tmp = self.min_free_bytes, repositories.tmp
        needed = await blocking(
            self._place, pack_what_is_needed, path, (), frozenset[str](), tmp, free
        )
        if needed is None:
            return
        try:
            async with self.releaser.hold(repository.identifier):
                worth_it = needed.dropped_bytes > 0
                if not worth_it or await blocking(self._place, needed.put_in_place, ()):
                    await blocking(self._place, repositories.forget_left, path, noted)
                await blocking(self._place, self.prs.measure_again, repository)
        finally:
            with trio.CancelScope(shield=True):
                await blocking(self._place, needed.discard)

    def note_served(self, event: Event) -> None:
        """An announcement became served: what is here for it is copied soon."""
        if event.kind == kinds.ANNOUNCEMENT:
            self._note([event.first("d") or ""])

    def _note(self, identifiers: Iterable[str]) -> None:
        self._announced |= dict.fromkeys(identifiers)
        self._came.set()

    async def _copy(self) -> None:
        while True:
            while self._announced:
                identifier = next(iter(self._announced))
                del self._announced[identifier]
                try:
                    async with self.releaser.hold(identifier):
                        await self.copy(identifier)
                except (PurgatorySyncError, OSError) as error:
                    log.error("nothing copied", identifier=identifier, error=str(error))
                except Exception:
                    log.exception("copying crashed", identifier=identifier)
            self._came = trio.Event()
            await self._came.wait()

    async def copy(self, identifier: str) -> None:
        """Copy served pull requests from below `/prs/` into repositories announced later (B 12.6).

        The newest 1,000; the identifier's lock is held. It promotes nothing.
        """
        served = await self.core.index.served_pull_requests(identifier)
        here = [pr for pr in served if self.prs.holding(pr)]
        here.sort(key=lambda pr: pr.event.order, reverse=True)
        run, repositories = self.core.repositories.run, self.core.repositories
        for pr in here[:MOST_COPIED]:
            entry = as_hunted(pr, Origin.USER, 0.0)
            concern = await concern_of(entry, self.core.index, repositories)
            lacking = [
                path for path in concern.repositories if pr.ref not in await run(list_refs, path)
            ]
            if not lacking:
                continue
            concern = attrs.evolve(concern, repositories=tuple(lacking))
            try:
                await run(bring_contributed, repositories, concern, pr)
                await run(bring_pull_request, repositories, lacking, pr)
                self.prs.copies["copied"] += len(lacking)
            except (PurgatorySyncError, OSError) as error:
                self.prs.copies["failed"] += len(lacking)
                log.warning("not copied", event_id=pr.event.id, error=str(error))
