"""Opening an engine: what it is made of, in the order in which it is needed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import attrs
import httpx
import trio

from ..errors import ConfigurationError
from ..git.fetch.client import GitClient
from ..git.fetch.server_cache import KnownServers
from ..git.folder.disk_probe import probe_disk
from ..git.folder.folder_owner import lock_git_folder
from ..git.folder.foreign_files import foreign_files
from ..git.ingest.quarantine import sweep_quarantine
from ..git.ingest.sink import Ingest
from ..hunt.limits.naughty import NaughtyList
from ..hunt.loop import start_sync_loop
from ..hunt.manager import ThrottleManager
from ..nostr.announcement import Announcement
from ..nostr.event import Event
from ..purgatory.purgatory import Purgatory
from ..release.commit import Core, Notify
from ..release.index.ledger import Gone, Ledger
from ..release.index.locks import IdentifierLocks
from ..release.index.prs_folder import PrsFolder
from ..release.index.repositories import Repositories
from ..release.index.repository_index import RepositoryIndex
from ..release.releaser import Releaser
from ..runtime.clock import WallClock
from ..runtime.logger import get_logger
from ..runtime.net.gate import Gate
from ..settings import Settings
from ..store.opening import open_store
from ..store.protocol import Change, Journal, Store
from .admission.admission import Admission
from .admission.asking_again import AskAgain
from .admission.snapshot import SnapshotBuilder
from .context import RealSyncContext
from .contributions.contributing import Contributor
from .contributions.keeper import ContributionKeeper
from .counting import Counts, Telling
from .disk_quotas import Quotas
from .engine import PurgatorySync
from .keeping.backup import Backup
from .keeping.caretaker import Caretaker
from .keeping.deleted_keeper import DeletedKeeper, retiring
from .keeping.exporting import Exporter
from .keeping.keepers import Keepers
from .keeping.prs_keeping import PrsKeeper
from .keeping.purging import Purger
from .lists.list_keeper import ListKeeper
from .lists.private_mark import keep_private
from .predecessor import Predecessor, PredecessorContext
from .private_peers import PrivatePeers
from .pushes.in_flight import PushesInFlight
from .pushes.last_seen import LastSeen
from .pushes.pushing import Pusher
from .relay_notes import RelayNotes
from .seen_journal import SeenJournal
from .status.catalogue import Cataloguer
from .status.explainer import Explainer
from .status.hourly import Hourly
from .status.repository_contents import ContentsReader
from .status.served_recently import ServedRecently
from .upkeep.catching_up import catch_up
from .upkeep.expiring import Expirer
from .upkeep.list_enforcement import end_what_is_blocked
from .upkeep.pairing import pair
from .upkeep.repacker import Repacker
from .upkeep.restore import held_identifiers, release_what_is_here, restore
from .upkeep.spent_requests import RequestKeeper
from .upkeep.sweep import Sweeper
from .upkeep.throttle_journal import ThrottleJournal
from .upkeep.vanish_journal import VanishJournal
from .verifying.below_prs import PrsExaminer
from .verifying.hole_filling import HoleFiller
from .verifying.verifier import Verifier
from .verifying.verify_record import VerifyRecord
from .verifying.verify_rounds import VerifyRounds

ChooseKey: TypeAlias = Callable[[str | None], str]

GIT_THREADS = 4
SECS_PER_HOUR = 3600.0
log = get_logger(__name__)


def _ignore(event: Event) -> None:
    """Default `notify` and `held`: do nothing."""


def _say_nothing(stage: str) -> None:
    """The default `begins`: do nothing."""


def _note_nothing(event_ids: frozenset[str]) -> None:
    """The default `gone`: do nothing."""


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    store: Store | None = None,
    notify: Notify = _ignore,
    held: Callable[[Event], None] = _ignore,
    gone: Gone = _note_nothing,
    gate: Gate | None = None,
    clock: WallClock | None = None,
    git_transport: httpx.AsyncBaseTransport | None = None,
    choose_key: ChooseKey | None = None,
    begins: Callable[[str], None] = _say_nothing,
    predecessor: str | None = None,
) -> AsyncIterator[PurgatorySync]:
    """Yield a running engine; when the block ends, it has ended.

    What was held is held again before the block begins, and everything that could be released was.

    Args:
      settings: limits, delays, and where data lies.
      store: the event database and journal; SQLite in `settings.relay_data_path` when absent.
      notify: called with each event that becomes served, after it is saved; may be async (and is
        cancelled after ten seconds: the event's identifier is locked meanwhile).
      held: called with each event that begins to wait for its git data.
      gone: called with the ids of events that are neither held nor served any more: replaced,
        deleted, evicted, expired.
      gate: opens every outgoing connection; by `settings.hunt` when absent.
      clock: wall-clock time; the system's when absent.
      git_transport: sends the requests to git servers in place of the gate, which then judges no
        address of theirs; an `httpx.MockTransport` in tests. It is closed at the end.
      choose_key: told the public key (hex) that the store knows the service by, or None, before
        anything begins; returns the one that the store knows from then on, or raises.
      begins: called with each thing that the start does, for whom it takes long.
      predecessor: where the server that had our name so far is reached, as
        http(s)://host[:port][/path]; git data is then asked for there and nowhere else (B 13.15).

    Raises:
      ConfigurationError: the data directory cannot be used; nothing was changed.
      What the block raises, as it is. What ends the engine itself (`StoreError`), in an
      exception group; the block is cancelled then.

    At the end, and cancelled, running transfers end at once and the store is closed; a store that
    was given stays open.
    """
    raised: Exception | None = None
    async with AsyncExitStack() as stack:
        begins("opening the store")
        given = _Given(
            settings,
            None if store else settings.relay_data_path,
            store or await _open_store(settings, stack),
            notify,
            held,
            gone,
            gate or Gate.for_settings(settings.hunt),
            clock or WallClock.from_system(),
            git_transport,
            Predecessor(predecessor, settings.service) if predecessor is not None else None,
        )
        journal = await given.store.load()
        begins("looking at the git folder")
        repositories = await _open_repositories(settings, stack)
        journal = await pair(given.store, journal, repositories, settings)
        if choose_key is not None:
            journal = await _keep_key(given.store, journal, choose_key)
        engine, tasks = await _put_together(given, stack, journal, repositories)
        await engine.keepers.lists.restore(journal.list_entries)
        await keep_private(engine.keepers.lists, given.store)
        begins(f"restoring {len(journal.held)} held events")
        await restore(journal, tasks.core, given.clock.now())
        if tasks.contributions is not None:
            begins("looking at what contributors pushed")
            await tasks.contributions.start(journal.uploads)
        await end_what_is_blocked(tasks.core, tasks.releaser, settings.service)
        begins("releasing what is here")
        await release_what_is_here(tasks.releaser, held_identifiers(engine.purgatory))
        vanishing = VanishJournal(given.folder)
        await vanishing.catch_up(given.store, lambda request: engine.offer(request, "user"))
        async with trio.open_nursery() as nursery:
            await tasks.start(nursery)
            try:
                yield engine
            except Exception as error:
                raised = error  # not in a group: the block is no child of the nursery
            nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


async def _keep_key(store: Store, journal: Journal, choose_key: ChooseKey) -> Journal:
    chosen = choose_key(journal.service_key)
    if chosen != journal.service_key:
        await store.apply(Change(service_key=chosen))
    return attrs.evolve(journal, service_key=chosen)


async def run_engine(
    settings: Settings,
    *,
    store: Store | None = None,
    notify: Notify = _ignore,
    held: Callable[[Event], None] = _ignore,
    gone: Gone = _note_nothing,
    gate: Gate | None = None,
    clock: WallClock | None = None,
    git_transport: httpx.AsyncBaseTransport | None = None,
    task_status: trio.TaskStatus[PurgatorySync] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run an engine in a nursery until cancelled: `engine = await nursery.start(run_engine, …)`.

    Args and errors are those of `open_engine`.
    """
    async with open_engine(
        settings,
        store=store,
        notify=notify,
        held=held,
        gone=gone,
        gate=gate,
        clock=clock,
        git_transport=git_transport,
    ) as engine:
        task_status.started(engine)
        await trio.sleep_forever()


@attrs.frozen
class _Given:
    """What the embedder brings, completed.

    Attributes:
      folder: where the store lies, and the files beside it; None with a store of the embedder's,
        since what lies in NGIT_RELAY_DATA_PATH may then belong to a node.
    """

    settings: Settings
    folder: Path | None
    store: Store
    notify: Notify
    held: Callable[[Event], None]
    gone: Gone
    gate: Gate
    clock: WallClock
    git_transport: httpx.AsyncBaseTransport | None
    predecessor: Predecessor | None


@attrs.frozen
class _Tasks:
    """What works by itself."""

    store: Store
    core: Core
    releaser: Releaser
    context: RealSyncContext
    throttles: ThrottleManager
    contributions: ContributionKeeper | None
    upkeep: Sequence[Callable[[], Awaitable[None]]]

    async def start(self, nursery: trio.Nursery) -> None:
        """Begin all of it; the nursery ends it."""
        await nursery.start(self.throttles.run)
        nursery.start_soon(start_sync_loop, self.core.purgatory, self.context, self.throttles)
        for task in self.upkeep:
            nursery.start_soon(task)
        nursery.start_soon(catch_up, self.store, self.core, self.releaser)


async def _open_store(settings: Settings, stack: AsyncExitStack) -> Store:
    store = await open_store(settings.relay_data_path)
    stack.push_async_callback(store.aclose)
    return store


async def _open_repositories(settings: Settings, stack: AsyncExitStack) -> Repositories:
    """The git folder, kept from every other node until the stack ends."""
    folder = settings.git_data_path
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


async def _clean_up(repositories: Repositories) -> None:
    for folder in await repositories.run(repositories.scratch_folders):
        for left in await repositories.run(sweep_quarantine, folder):
            log.info("removed what a crash left", path=str(left))
    for refused in await repositories.run(repositories.adopt_all):
        log.error("a repository cannot be used", why=refused)


async def _name_foreign_files(repositories: Repositories, settings: Settings) -> None:
    git, relay = settings.git_data_path, settings.relay_data_path
    for path, sentence in await repositories.run(lambda: [*foreign_files(git, relay)]):
        log.warning(sentence, path=str(path))


async def _put_together(
    given: _Given, stack: AsyncExitStack, journal: Journal, repositories: Repositories
) -> tuple[PurgatorySync, _Tasks]:
    await _clean_up(repositories)
    await _name_foreign_files(repositories, given.settings)
    settings, store, clock = given.settings, given.store, given.clock
    purgatory = Purgatory(settings.purgatory, settings.sync)
    index = RepositoryIndex(store, purgatory, repositories, settings.service, settings.curation)
    ledger = Ledger(store, index, given.gone)
    counts, served = Counts(), ServedRecently()
    listening: list[ContributionKeeper] = []

    def notify(event: Event) -> Awaitable[None] | None:
        for keeper in listening:
            keeper.note_served(event)
        return given.notify(event)

    told = Telling(notify, counts, served, clock)
    retires = retiring(settings.keeping, clock)
    core = Core(index, ledger, purgatory, repositories, told, retires)
    releaser = Releaser(core, IdentifierLocks())
    throttle_journal = ThrottleJournal(store, ledger, clock)
    known = KnownServers()
    known.on_note = throttle_journal.server_noted
    relay_notes = RelayNotes(throttle_journal.server_noted)
    hourly = Hourly(throttle_journal.server_noted)
    seen = LastSeen()
    notes = seen.restore(hourly.restore(journal.server_notes, clock.now()))
    known.restore(relay_notes.restore(notes, clock.now()), clock.now())
    quotas = await _quotas(settings, repositories)
    peers = PrivatePeers.of(settings, clock)
    client = GitClient(
        settings.hunt,
        given.gate,
        repositories.tmp,
        limiter=repositories.limiter,
        ours=settings.service,
        transport=given.git_transport,
        known=known,
        room=quotas,
        prove=peers.authorization if peers is not None else None,
    )
    await stack.enter_async_context(client)
    context = _make_context(given, core, releaser, client)
    context.quotas, context.served, context.seen = quotas, served, seen
    throttles = _make_throttles(given, context, journal, throttle_journal)
    in_flight = PushesInFlight()
    sweeper = Sweeper(core, releaser, throttles, settings.purgatory, clock, clock.now(), in_flight)
    explainer = Explainer(
        core,
        throttles,
        settings.purgatory,
        clock,
        clock.now(),
        sweeper.last_moment,
        partial(counts.totals, throttles),
        hourly,
        served,
    )
    repacker = Repacker(core, releaser, settings.hunt.min_free_bytes)
    record = VerifyRecord(given.folder)
    await repositories.run(record.load)
    filler = HoleFiller(core, releaser, client, throttles, settings.service)
    examiner = PrsExaminer(store, core, settings.service)
    verifier = Verifier(
        *(store, core, releaser, clock, lambda: repacker.still, filler.fetch, record, examiner)
    )
    contributor, contributions = _make_contributions(
        given, core, releaser, in_flight, repacker.still
    )
    listening += [contributions] if contributions is not None else []
    own_key = journal.service_key
    admission = _make_admission(given, core, releaser, throttles.naughty, own_key, quotas)
    lists = ListKeeper(store, core, releaser, settings, clock)
    engine = PurgatorySync(
        settings,
        store,
        given.gate,
        purgatory,
        attrs.evolve(_make_pusher(given, core, releaser, in_flight, quotas), seen=seen),
        contributor,
        explainer,
        Keepers(
            Caretaker(core, releaser, record, settings.keeping, seen),
            Backup(core, releaser, settings, clock, lambda: repacker.still),
            Purger(store, core, releaser, clock),
            lists,
            verifier,
            Exporter(store, core, releaser, settings),
            PrsKeeper(
                *(store, core, releaser, record),
                settings.purgatory.placeholder_expiry_secs,
            ),
        ),
        relay_notes,
        peers,
        Cataloguer(store, core),
        ContentsReader(core, served),
        core,
        releaser,
        admission,
        counts,
    )
    expirer = Expirer(store, core, releaser, clock)
    requests = RequestKeeper(store, core, clock, settings.purgatory)
    rounds = VerifyRounds(verifier, record, clock, settings.keeping.verify_interval_days)
    free = settings.hunt.min_free_bytes
    deleted = DeletedKeeper(core, releaser, clock, settings.keeping, free)
    again = AskAgain(core, admission, clock, settings.purgatory)
    upkeep = (
        *(sweeper.run, expirer.run, repacker.run, throttle_journal.run, explainer.run),
        *(requests.run, rounds.run, again.run, deleted.run, lists.run),
        SeenJournal(seen, core, clock).run,
        *((contributions.run,) if contributions is not None else ()),
    )
    if quotas is not None:
        upkeep = (*upkeep, quotas.run)
    return engine, _Tasks(store, core, releaser, context, throttles, contributions, upkeep)


async def _quotas(settings: Settings, repositories: Repositories) -> Quotas | None:
    try:
        return await Quotas.of(settings.quotas, repositories)
    except OSError as error:
        raise ConfigurationError(
            f"the repositories in {settings.git_data_path} cannot be counted: {error}"
        ) from error


def _make_admission(
    given: _Given,
    core: Core,
    releaser: Releaser,
    naughty: NaughtyList,
    own_key: str | None,
    quotas: Quotas | None,
) -> Admission:
    settings = given.settings

    def forgive(announcement: Announcement) -> None:
        for url in announcement.clone:
            naughty.forgive_url(url)

    snapshots = SnapshotBuilder(
        given.store,
        core.index,
        core.purgatory,
        core.repositories,
        settings.service,
        settings.prs,
        plus=settings.follows_participants,
    )
    if quotas is not None:
        snapshots = attrs.evolve(snapshots, refuses_new=quotas.refuses_new)
    vanished = VanishJournal(given.folder).note
    return Admission(
        core, releaser, snapshots, settings, given.clock, forgive, given.held, vanished, own_key
    )


def _make_pusher(
    given: _Given,
    core: Core,
    releaser: Releaser,
    in_flight: PushesInFlight,
    quotas: Quotas | None,
) -> Pusher:
    settings, repositories = given.settings, core.repositories
    limits = attrs.evolve(settings.hunt, max_pack_bytes=settings.push.max_pack_bytes)
    return Pusher(
        core,
        releaser,
        Ingest(limits, repositories.tmp, limiter=repositories.limiter, room=quotas),
        settings.push,
        given.clock,
        in_flight,
        settings.service,
    )


def _make_context(
    given: _Given, core: Core, releaser: Releaser, client: GitClient
) -> RealSyncContext:
    if given.predecessor is None:
        return RealSyncContext(core, releaser, client, given.clock, given.settings.service)
    return PredecessorContext(core, releaser, client, given.clock, None, given.predecessor)


def _make_contributions(
    given: _Given,
    core: Core,
    releaser: Releaser,
    in_flight: PushesInFlight,
    still: trio.Lock,
) -> tuple[Contributor | None, ContributionKeeper | None]:
    """What takes and keeps pull requests below `/prs/`; nothing where that is off (GRASP-06)."""
    settings, repositories = given.settings, core.repositories
    if not settings.prs.enabled:
        return None, None
    prs = PrsFolder(repositories.git_data, repositories.tmp, settings.service, settings.prs)
    repositories.prs = prs
    limits = attrs.evolve(settings.hunt, max_pack_bytes=settings.prs.max_pack_bytes)
    contributor = Contributor(
        given.store,
        core,
        prs,
        releaser,
        Ingest(limits, repositories.tmp, limiter=repositories.limiter),
        settings,
        given.clock,
        in_flight,
    )
    keeper = ContributionKeeper(
        core,
        prs,
        releaser,
        settings.purgatory,
        given.clock,
        in_flight,
        settings.hunt.min_free_bytes,
        still,
    )
    return contributor, keeper


def _make_throttles(
    given: _Given, context: RealSyncContext, journal: Journal, noted: ThrottleJournal
) -> ThrottleManager:
    sync = given.settings.sync
    naughty = NaughtyList(
        sync.naughty_hours * SECS_PER_HOUR,
        on_add=noted.naughty_added,
        on_forget=noted.naughty_forgotten,
    )
    naughty.restore(journal.naughty, given.clock.now())
    throttles = ThrottleManager(
        context,
        sync,
        given.settings.hunt,
        wall=given.clock,
        naughty=naughty,
        on_change=noted.domain_changed,
    )
    for row in journal.domains:
        throttles.restore(row.domain, row.starts, row.resting_until)
        if throttles.domains.get(row.domain) is None:  # over long ago: nothing to remember
            noted.domain_changed(row.domain, (), None)
    return throttles
