"""What an embedder opens: the engine that holds, hunts, proves and releases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import AsyncExitStack
from inspect import isawaitable
from pathlib import Path
from typing import Literal

import attrs
import httpx
import trio

from ..errors import InvalidKey
from ..git.fetch.client import GitClient
from ..git.folder.disk_probe import probe_disk
from ..git.folder.folder_owner import lock_git_folder
from ..git.ingest.quarantine import sweep_quarantine
from ..git.ingest.sink import Ingest
from ..hunt.limits.naughty import NaughtyList
from ..hunt.loop import start_sync_loop
from ..hunt.manager import ThrottleManager
from ..nostr import kinds
from ..nostr.announcement import Announcement
from ..nostr.authority.repository_data import KnownAnnouncement
from ..nostr.event import Event
from ..nostr.keys import decode_npub
from ..purgatory.entries import Origin
from ..purgatory.purgatory import Purgatory
from ..purgatory.release_result import ProcessResult
from ..release.commit import Core, Notify
from ..release.index.locks import IdentifierLocks
from ..release.index.repositories import Repositories, extract_identifier_from_repo_path
from ..release.index.repository_index import Gone, RepositoryIndex
from ..release.releaser import Releaser
from ..runtime.clock import WallClock
from ..runtime.logger import get_logger
from ..runtime.net.gate import Gate
from ..settings import Settings
from ..store.opening import open_store
from ..store.protocol import Journal, Store
from .admission.admission import Admission, Answer
from .admission.snapshot import SnapshotBuilder
from .context import RealSyncContext
from .pushes.in_flight import PushesInFlight
from .pushes.pushing import Pusher
from .status.explainer import Explainer
from .status.models import Statistics
from .status.repository_status import RepositoryStatus, repository_status
from .upkeep.caretaker import Caretaker
from .upkeep.catching_up import catch_up
from .upkeep.list_enforcement import end_what_is_blocked
from .upkeep.pairing import pair
from .upkeep.repacker import Repacker
from .upkeep.restore import held_identifiers, release_what_is_here, restore
from .upkeep.sweep import Sweeper
from .upkeep.throttle_journal import ThrottleJournal

GIT_THREADS = 4
SECS_PER_HOUR = 3600.0
RELEASED_KINDS = {
    kinds.ANNOUNCEMENT: "announcement",
    kinds.STATE: "state",
    **dict.fromkeys(sorted(kinds.PR_KINDS), "pr"),
}
log = get_logger(__name__)


def _tell_nobody(event: Event) -> None:
    """Nobody listens."""


def _note_nothing(event_ids: frozenset[str]) -> None:
    """Nobody keeps a list of his own."""


class PurgatorySync:
    """The engine: events in, proven events out.

    Args:
      settings: limits, delays, and where data lies.
      store: the event database and journal; SQLite in `settings.relay_data_path` when absent.
      notify: called with each event that becomes served, after it is saved; may be async (and is
        cancelled after ten seconds: the event's identifier is locked meanwhile).
      gone: called with the ids of events that are neither held nor served any more: replaced,
        deleted, evicted, expired.
      gate: opens every outgoing connection; by `settings.hunt` when absent.
      clock: wall-clock time; the system's when absent.
      git_transport: sends the requests to git servers in place of the gate, which then judges no
        address of theirs; an `httpx.MockTransport` in tests. It is closed when `run` ends.

    `run` it in a nursery; everything else is for tasks beside it, once `run` reported itself.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        notify: Notify = _tell_nobody,
        gone: Gone = _note_nothing,
        gate: Gate | None = None,
        clock: WallClock | None = None,
        git_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self.gate = gate or Gate.for_settings(settings.hunt)
        self._given_store = store
        self._notify = notify
        self._gone = gone
        self._given_clock = clock
        self._git_transport = git_transport
        self._released: Counter[str] = Counter()
        self._offered: Counter[str] = Counter()

    async def run(
        self, *, task_status: trio.TaskStatus[PurgatorySync] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Open what is needed, restore what was held, then hunt and sweep until cancelled.

        Reports itself when every event that was held is held again and everything that could be
        released was.

        Raises:
          ConfigurationError: the data directory cannot be used; nothing was changed.

        Cancelled, it ends running transfers at once and closes the store; a store that was given
        stays open.
        """
        async with AsyncExitStack() as stack:
            self.store = self._given_store or await self._open_store(stack)
            self._clock = self._given_clock or WallClock.from_system()
            journal = await self.store.load()
            repositories = await self._open_repositories(stack)
            journal = await pair(self.store, journal, repositories, self.settings)
            await self._put_together(stack, journal, repositories)
            await restore(journal, self._core, self._clock.now())
            await end_what_is_blocked(self._core, self.settings.curation, self.settings.service)
            await release_what_is_here(self._releaser, held_identifiers(self.purgatory))
            async with trio.open_nursery() as nursery:
                await nursery.start(self._throttles.run)
                nursery.start_soon(start_sync_loop, self.purgatory, self._context, self._throttles)
                nursery.start_soon(self._sweeper.run)
                nursery.start_soon(self._repacker.run)
                nursery.start_soon(self._throttle_journal.run)
                nursery.start_soon(self.explainer.run)
                nursery.start_soon(catch_up, self.store, self._core, self._releaser)
                task_status.started(self)
                await trio.sleep_forever()

    async def offer(self, event: Event, origin: Literal["user", "sync"]) -> Answer:
        """Judge one event: it is served, held, refused, or known already (B 1-5).

        Args:
          origin: `user` (first hunt after 180 s) or `sync`, from a relay (after 0.5 s).

        Returns the answer for OK: when it was accepted, it is on disk (mission N1). Whatever is
        wrong with the event or the disk is an answer too (`invalid: …`, `error: …`), never raised.

        Cancelled, the event is either accepted or was never seen.
        """
        answer = await self._admission.offer(event, Origin(origin))
        self._offered[answer.outcome] += 1
        return answer

    async def git_data_arrived(self, repository: Path, new_oids: Collection[str]) -> ProcessResult:
        """Somebody else (a push of yours) put objects into a repository: release what they allow.

        From now on objects of this repository are believed only with all their history: each is
        walked once (B 3.6).

        Args:
          repository: `<git_data>/<npub>/<identifier>.git`.
          new_oids: what came; a hint.

        Returns what was released; what went wrong with one event is in its `errors`. Cancelled,
        each event is either held or released; calling it again finishes what it began.

        Raises:
          RepositoryError: the disk refuses to note that others write there; nothing is released.
        """
        repositories = self._core.repositories
        await repositories.run(repositories.distrust, repository)
        identifier = extract_identifier_from_repo_path(repository)
        if identifier is not None:
            self.purgatory.note_change(identifier)
        return await self._releaser.process_newly_available_git_data(
            repository, frozenset(new_oids)
        )

    def statistics(self, *, events: bool = True) -> Statistics:
        """What is held and why, the queue, and each domain's limits, at this moment.

        Args:
          events: whether each held event is reported on; the counters alone are cheap.
        """
        return self.explainer.statistics(self._released, events=events)

    async def hosted(self, npub: str, identifier: str) -> Path | None:
        """The repository that git clients may read under this name; None when it is not here.

        What is on the disk without an announcement (deleted, delisted, found) is not (B 6.4).
        """
        known = await self._known(npub, identifier)
        if known is None:
            return None
        return self._core.repositories.path(known.announcement.owner, identifier)

    async def repository(self, npub: str, identifier: str) -> RepositoryStatus | None:
        """What the announcement of a hosted repository says of it; None when it is not here."""
        known = await self._known(npub, identifier)
        if known is None:
            return None
        data = await self._core.index.data(identifier)
        return repository_status(known, data, self.settings.service)

    async def _known(self, npub: str, identifier: str) -> KnownAnnouncement | None:
        try:
            owner = decode_npub(npub)
        except InvalidKey:
            return None
        if not self._core.repositories.exists(owner, identifier):
            return None  # without asking the store
        known = (await self._core.index.data(identifier)).known.get(owner)
        return known if known is not None and known.has_repository else None

    async def _open_store(self, stack: AsyncExitStack) -> Store:
        store = await open_store(self.settings.relay_data_path)
        stack.push_async_callback(store.aclose)
        return store

    async def _open_repositories(self, stack: AsyncExitStack) -> Repositories:
        """The git folder, kept from every other node until the stack ends."""
        folder = self.settings.git_data_path
        repositories = Repositories(folder, trio.CapacityLimiter(GIT_THREADS))
        stack.callback(os.close, await repositories.run(lock_git_folder, folder))
        traits = await repositories.run(probe_disk, repositories.tmp)
        repositories.exact_names = traits.exact_names
        if not traits.exact_names:
            log.warning(
                "the file system of NGIT_GIT_DATA_PATH takes names for one that differ in capitals"
                " or Unicode's forms: of two such repositories of an owner the second is refused"
            )
        if not traits.durable_names:
            log.warning(
                "the file system of NGIT_GIT_DATA_PATH cannot sync folders: a power cut may lose"
                " what was answered OK; choose a local one"
            )
        return repositories

    async def _put_together(
        self, stack: AsyncExitStack, journal: Journal, repositories: Repositories
    ) -> None:
        settings = self.settings
        limiter = repositories.limiter
        for folder in await repositories.run(repositories.scratch_folders):
            for left in await repositories.run(sweep_quarantine, folder):
                log.info("removed what a crash left", path=str(left))
        for refused in await repositories.run(repositories.adopt_all):
            log.error("a repository cannot be used", why=refused)
        self.purgatory = Purgatory(settings.purgatory, settings.sync)
        index = RepositoryIndex(
            self.store,
            self.purgatory,
            repositories,
            settings.service,
            settings.curation,
            self._gone,
        )
        self._core = Core(index, self.purgatory, repositories, self._count_and_notify)
        self._releaser = Releaser(self._core, IdentifierLocks())
        client = GitClient(
            settings.hunt,
            self.gate,
            repositories.tmp,
            limiter=limiter,
            ours=settings.service,
            transport=self._git_transport,
        )
        await stack.enter_async_context(client)
        self._context = RealSyncContext(
            self._core, self._releaser, client, self._clock, settings.service
        )
        self._throttle_journal = ThrottleJournal(self.store, index)
        self._throttles = self._make_throttles(journal)
        self._admission = Admission(
            self._core,
            self._releaser,
            SnapshotBuilder(
                self.store,
                index,
                self.purgatory,
                repositories,
                settings.service,
                settings.curation,
            ),
            settings,
            self._clock,
            self._forgive,
        )
        in_flight = PushesInFlight()
        limits = attrs.evolve(settings.hunt, max_pack_bytes=settings.push.max_pack_bytes)
        self.pusher = Pusher(
            self._core,
            self._releaser,
            Ingest(limits, repositories.tmp, limiter=limiter),
            settings.push,
            self._clock,
            in_flight,
            settings.curation.read_only,
        )
        self._sweeper = Sweeper(
            self._core,
            self._releaser,
            self._throttles,
            settings.purgatory,
            self._clock,
            self._clock.now(),
            in_flight,
        )
        self._repacker = Repacker(self._core, self._releaser, settings.hunt.min_free_bytes)
        self.caretaker = Caretaker(self._core, self._releaser)
        self.explainer = Explainer(
            self._core,
            self._throttles,
            settings.purgatory,
            self._clock,
            self._clock.now(),
            self._sweeper.last_moment,
            self._totals,
        )

    def _totals(self) -> dict[str, int]:
        """What was counted since the start, by the names of `HourCounters.counts`."""
        attempts = self._throttles.attempts.items()
        return {
            **{f"attempts.{result.value}": count for result, count in attempts},
            **{f"released.{kind}": count for kind, count in self._released.items()},
            **{f"offered.{outcome}": count for outcome, count in self._offered.items()},
            "oids_fetched": self._throttles.oids_fetched,
        }

    def _make_throttles(self, journal: Journal) -> ThrottleManager:
        sync = self.settings.sync
        naughty = NaughtyList(
            sync.naughty_hours * SECS_PER_HOUR,
            on_add=self._throttle_journal.naughty_added,
            on_forget=self._throttle_journal.naughty_forgotten,
        )
        naughty.restore(journal.naughty, self._clock.now())
        throttles = ThrottleManager(
            self._context,
            sync,
            self.settings.hunt,
            wall=self._clock,
            naughty=naughty,
            on_change=self._throttle_journal.domain_changed,
        )
        for row in journal.domains:
            throttles.restore(row.domain, row.starts, row.resting_until)
            if throttles.domains.get(row.domain) is None:  # over long ago: nothing to remember
                self._throttle_journal.domain_changed(row.domain, (), None)
        return throttles

    def _forgive(self, announcement: Announcement) -> None:
        for url in announcement.clone:
            self._throttles.naughty.forgive_url(url)

    async def _count_and_notify(self, event: Event) -> None:
        if (kind := RELEASED_KINDS.get(event.kind)) is not None:
            self._released[kind] += 1
        self.explainer.served.note(event.id, self._clock.now())
        if isawaitable(told := self._notify(event)):
            await told
