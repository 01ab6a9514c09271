"""`MockSyncContext`: a world in memory for tests of the hunt (S13).

It lives in the event loop, so that `autojump_clock` drives all of it. It is built step by step:

    ctx = (
        MockSyncContext()
        .with_urls(["https://a.example/r.git", "https://b.example/r.git"])
        .with_needed_oids(["oid1", "oid2"])
        .url_provides("https://a.example/r.git", ["oid1"])
    )

OIDs may be any strings. Everything goes under one identifier unless another is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path

import attrs
import trio

from ..errors import AttemptFailed, RedirectRefused, ResultClass
from ..hunt.limits.sync_context import AttemptObserver, Need, Source
from ..nostr import kinds
from ..nostr.announcement import Announcement
from ..nostr.authority.repository_data import KnownAnnouncement, RepositoryData
from ..nostr.event import Event
from ..nostr.roles import Roles
from ..purgatory.change_signals import Changes, Watch
from ..purgatory.purgatory import Purgatory
from ..purgatory.release_result import ProcessResult
from ..runtime.clock import WallClock

IDENTIFIER = "test-repo"
OWNER = "a" * 64


@attrs.define(eq=False)
class Fetch:
    """One call of `fetch_oids`.

    Attributes:
      at: Trio's time of the start; `ended_at` of the end, None while it goes on.
      outcome: `obtained`, the name of the error, or `cancelled`.
    """

    at: float
    identifier: str
    url: str
    oids: frozenset[str]
    ended_at: float | None = None
    outcome: str | None = None


@attrs.frozen
class Release:
    """One call of `process_newly_available_git_data`, at Trio's time."""

    at: float
    identifier: str
    new_oids: frozenset[str]
    released: tuple[str, ...]


@attrs.frozen
class MockAttempt:
    """One call of `record_attempt`, at Trio's time."""

    at: float
    identifier: str
    event_ids: frozenset[str]
    url: str
    result: ResultClass


@attrs.define(eq=False)
class _Server:
    """How one URL behaves."""

    provides: set[str] = attrs.field(factory=set)
    latency: float = 0.0
    answer_after: float = 0.0
    bytes_per_sec: float | None = None
    errors: list[Exception] = attrs.field(factory=list)
    always: Exception | None = None
    redirect: str | None = None

    def next_error(self) -> Exception | None:
        """What the next attempt fails with."""
        return self.errors.pop(0) if self.errors else self.always


@attrs.define(eq=False)
class _World:
    """One identifier."""

    identifier: str
    events: dict[str, Need] = attrs.field(factory=dict)
    clone: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    announcements: list[KnownAnnouncement] = attrs.field(factory=list)
    data: RepositoryData | None = None
    here: set[str] = attrs.field(factory=set)
    newly_queued_due: float | None = None
    has_data: bool = True
    has_target: bool = True
    paths: dict[str, Path] = attrs.field(factory=dict)
    release_error: str | None = None


class MockSyncContext:
    """A `SyncContext` whose events, servers and releases are written down by the test.

    Args:
      our_domain: our own host[:port], which is never hunted.
      purgatory: when given, what is held there is what is needed, and releases take it out.
    """

    def __init__(
        self, our_domain: str | None = None, *, purgatory: Purgatory | None = None
    ) -> None:
        self.our_domain = our_domain
        self.purgatory = purgatory
        self.fetches: list[Fetch] = []
        self.releases: list[Release] = []
        self.attempts: list[MockAttempt] = []
        self.look_up_secs = 0.0
        self.release_secs = 0.0
        self._worlds: dict[str, _World] = {}
        self._servers: dict[str, _Server] = {}
        self._identifier_of: dict[Path, str] = {}
        self._changes = Changes()
        self._wall = WallClock(0.0)

    def with_urls(
        self,
        urls: Iterable[str],
        identifier: str = IDENTIFIER,
        *,
        owner: str = OWNER,
        maintainers: tuple[str, ...] = (),
    ) -> MockSyncContext:
        """An announcement of this owner with these clone URLs (and maintainers)."""
        world = self._world(identifier)
        event = Event(
            id=f"{len(world.announcements):064x}",
            pubkey=owner,
            created_at=len(world.announcements),
            kind=kinds.ANNOUNCEMENT,
            tags=(("d", identifier),),
            content="",
            sig="0" * 128,
        )
        announcement = Announcement(event, identifier, tuple(urls), (), Roles(named=maintainers))
        world.announcements.append(KnownAnnouncement(announcement))
        world.data = None
        return self

    def with_needed_oids(
        self,
        oids: Iterable[str],
        identifier: str = IDENTIFIER,
        *,
        event_id: str | None = None,
        owners: tuple[str, ...] = (OWNER,),
        clone: tuple[str, ...] = (),
    ) -> MockSyncContext:
        """A held event that lacks these; none: its release is due. `clone` makes it a PR."""
        world = self._world(identifier)
        event_id = event_id or f"event-{len(world.events) + 1}"
        world.events[event_id] = Need(event_id, frozenset(oids), owners)
        if clone:
            world.clone[event_id] = clone
        return self

    def with_pending(self, pending: bool = True, identifier: str = IDENTIFIER) -> MockSyncContext:
        """Something is held that lacks nothing; or nothing is held any more."""
        if not pending:
            self._world(identifier).events.clear()
            return self
        return self.with_needed_oids((), identifier)

    def with_repo_data(
        self, data: RepositoryData | None, identifier: str = IDENTIFIER
    ) -> MockSyncContext:
        """What `fetch_repository_data` returns; None: it cannot be had."""
        world = self._world(identifier)
        world.data, world.has_data = data, data is not None
        return self

    def without_target(self, identifier: str = IDENTIFIER) -> MockSyncContext:
        """No repository of the identifier exists here."""
        self._world(identifier).has_target = False
        return self

    def release_fails(self, error: str | None, identifier: str = IDENTIFIER) -> MockSyncContext:
        """Releases of the identifier fail with this text; None: they work again."""
        self._world(identifier).release_error = error
        return self

    def url_provides(self, url: str, oids: Iterable[str]) -> MockSyncContext:
        """The URL has these objects; every URL has none unless it is said."""
        self._server(url).provides.update(oids)
        return self

    def latency(self, url: str, secs: float) -> MockSyncContext:
        """The URL's transfers take so long; the first byte comes at once."""
        self._server(url).latency = secs
        return self

    def hangs(self, url: str) -> MockSyncContext:
        """The URL's transfers never end."""
        return self.latency(url, inf)

    def answers_after(self, url: str, secs: float) -> MockSyncContext:
        """The first byte of the URL's answer takes so long, before all else."""
        self._server(url).answer_after = secs
        return self

    def drips(self, url: str, bytes_per_sec: float, secs: float) -> MockSyncContext:
        """The URL's transfers take so many seconds and bring that many bytes in each."""
        server = self._server(url)
        server.bytes_per_sec, server.latency = bytes_per_sec, secs
        return self

    def fails(self, url: str, error: Exception, times: int | None = None) -> MockSyncContext:
        """The URL's attempts fail after its latency: so many of them, or all.

        An `AttemptFailed` that was not contacted fails before anything is begun. Any other
        exception is a crash.
        """
        server = self._server(url)
        if times is None:
            server.always = error
        else:
            server.errors += [error] * times
        return self

    def redirects(self, url: str, domain: str) -> MockSyncContext:
        """The URL leads to another domain."""
        self._server(url).redirect = domain
        return self

    def arrives(
        self, oids: Iterable[str], delay: float, identifier: str = IDENTIFIER
    ) -> MockSyncContext:
        """A new event comes now and wants to be hunted for after `delay` seconds (B 8.11)."""
        world, due = self._world(identifier), trio.current_time() + delay
        self.with_needed_oids(oids, identifier)
        world.newly_queued_due = (
            due if world.newly_queued_due is None else min(due, world.newly_queued_due)
        )
        self._changes.announce((identifier,))
        return self

    def push(self, oids: Iterable[str], identifier: str = IDENTIFIER) -> tuple[str, ...]:
        """A push brings these objects and releases what it completes; returns the ids."""
        self._world(identifier).here.update(oids)
        return self._release(identifier, frozenset(oids)).states_released

    @property
    def fetched_urls(self) -> list[str]:
        """The URLs that were asked, in order."""
        return [fetch.url for fetch in self.fetches]

    @property
    def needed(self) -> frozenset[str]:
        """All OIDs that are missing for some event of the usual identifier."""
        needs = self._needs(IDENTIFIER)
        return frozenset().union(*(need.oids for need in needs))

    async def fetch_repository_data(self, identifier: str) -> RepositoryData | None:
        """See `SyncContext`."""
        if self.look_up_secs:
            await trio.sleep(self.look_up_secs)
        world = self._world(identifier)
        if world.data is None and world.has_data:
            world.data = RepositoryData.of(identifier, world.announcements)
        return world.data

    async def collect_needed_oids(self, identifier: str, data: RepositoryData) -> tuple[Need, ...]:
        """See `SyncContext`; what is returned was so when the look-up began."""
        needs = self._needs(identifier)
        if self.look_up_secs:
            await trio.sleep(self.look_up_secs)
        return needs

    def collect_pr_clone_urls(self, identifier: str) -> Mapping[str, tuple[str, ...]]:
        """See `SyncContext`."""
        if self.purgatory is not None:
            held = self.purgatory.find_prs_for_identifier(identifier)
            return {each.event_id: each.pr.clone for each in held}
        return self._world(identifier).clone

    async def fetch_oids(
        self, repository: Path, url: str, oids: frozenset[str], observer: AttemptObserver
    ) -> frozenset[str]:
        """See `SyncContext`; the URL behaves as it was told to."""
        world = self._world(self._identifier_of[repository])
        fetch = Fetch(trio.current_time(), world.identifier, url, oids)
        self.fetches.append(fetch)
        fetch.outcome = "cancelled"
        try:
            obtained = await self._converse(self._server(url), oids, observer)
            world.here |= obtained
            fetch.outcome = "obtained"
            return obtained
        except Exception as error:
            fetch.outcome = type(error).__name__
            raise
        finally:
            fetch.ended_at = trio.current_time()

    async def _converse(
        self, server: _Server, oids: frozenset[str], observer: AttemptObserver
    ) -> frozenset[str]:
        error = server.next_error()
        if isinstance(error, AttemptFailed) and not error.contacted:
            await trio.lowlevel.checkpoint()
            raise error
        observer.contacted()
        if server.answer_after:
            await trio.sleep(server.answer_after)
        observer.answered()
        if server.redirect is not None and not observer.redirected(server.redirect):
            raise RedirectRefused(f"no place at {server.redirect}")
        if server.bytes_per_sec is None:
            await trio.sleep(server.latency)
        else:
            await _drip(server.bytes_per_sec, server.latency, observer)
        if error is not None:
            raise error
        observer.body_ended()
        return oids & server.provides

    async def process_newly_available_git_data(
        self, source_repo: Path, new_oids: frozenset[str]
    ) -> ProcessResult:
        """See `SyncContext`; releases every event that lacks nothing."""
        if self.release_secs:
            await trio.sleep(self.release_secs)
        return self._release(self._identifier_of[source_repo], new_oids)

    def _release(self, identifier: str, new_oids: frozenset[str]) -> ProcessResult:
        world = self._world(identifier)
        ready = tuple(need.event_id for need in self._needs(identifier) if not need.oids)
        released = () if world.release_error else ready
        self.releases.append(Release(trio.current_time(), identifier, new_oids, released))
        for event_id in released:
            if self.purgatory is None:
                del world.events[event_id]
            elif self.purgatory.remove_state_event(event_id) is None:
                self.purgatory.remove_pr(event_id)
        if released and self.purgatory is None:
            self._changes.announce((identifier,))
        errors = dict.fromkeys(ready, world.release_error) if world.release_error else {}
        return ProcessResult(
            states_released=released,
            repos_synced=1,
            errors={event_id: text for event_id, text in errors.items() if text},
        )

    def has_pending_events(self, identifier: str) -> bool:
        """See `SyncContext`."""
        if self.purgatory is not None:
            return self.purgatory.has_pending_events(identifier)
        return bool(self._world(identifier).events)

    def find_target_repo(self, data: RepositoryData, source: Source) -> Path | None:
        """See `SyncContext`: the repository of the announcement that gave the URL."""
        world = self._world(data.identifier)
        if not world.has_target:
            return None
        owner = source.owner or OWNER
        if owner not in world.paths:
            world.paths[owner] = Path("/mock", owner, f"{data.identifier}.git")
            self._identifier_of[world.paths[owner]] = data.identifier
        return world.paths[owner]

    def record_attempt(
        self,
        identifier: str,
        event_ids: frozenset[str],
        url: str,
        result: ResultClass,
        detail: str,
    ) -> None:
        """See `SyncContext`; also told to the purgatory, if there is one."""
        now = trio.current_time()
        self.attempts.append(MockAttempt(now, identifier, event_ids, url, result))
        if self.purgatory is not None:
            for event_id in sorted(event_ids):
                self.purgatory.record_attempt(event_id, url, result, detail, self._wall.now())

    def watch(self, identifier: str, on_change: Callable[[], None]) -> Watch:
        """See `SyncContext`."""
        if self.purgatory is not None:
            return self.purgatory.watch(identifier, on_change)
        world = self._world(identifier)

        def taken() -> None:
            if world.newly_queued_due is not None and world.newly_queued_due <= trio.current_time():
                world.newly_queued_due = None

        return Watch(identifier, on_change, self._changes, lambda: world.newly_queued_due, taken)

    def _needs(self, identifier: str) -> tuple[Need, ...]:
        world = self._world(identifier)
        if self.purgatory is None:
            wanted: Iterable[Need] = world.events.values()
        else:
            wanted = self._held(self.purgatory, world)
        return tuple(Need(need.event_id, need.oids - world.here, need.owners) for need in wanted)

    def _held(self, purgatory: Purgatory, world: _World) -> Iterable[Need]:
        data = world.data or RepositoryData.of(world.identifier, world.announcements)
        for state in purgatory.find_state(world.identifier):
            owners = data.owners_authorising(state.event.pubkey)
            yield Need(state.event_id, state.state.oids, owners)
        for pr in purgatory.find_prs_for_identifier(world.identifier):
            yield Need(pr.event_id, frozenset((pr.pr.commit,)), data.owners_of_pr(pr.pr))

    def _world(self, identifier: str) -> _World:
        world = self._worlds.get(identifier)
        if world is None:
            world = self._worlds[identifier] = _World(identifier)
        return world

    def _server(self, url: str) -> _Server:
        server = self._servers.get(url)
        if server is None:
            server = self._servers[url] = _Server()
        return server


async def _drip(bytes_per_sec: float, secs: float, observer: AttemptObserver) -> None:
    """Bytes come in the middle of each half second, so that no whole second depends on a tie."""
    began, told = trio.current_time(), 0
    for half in range(int(secs * 2)):
        await trio.sleep_until(began + half / 2 + 0.25)
        total = round(bytes_per_sec * (half + 1) / 2)
        observer.received(total - told)
        told = total
    await trio.sleep_until(began + secs)


def clock_at(wall: float) -> WallClock:
    """A wall clock that shows `wall` (Unix seconds) now and goes on with Trio's time."""
    return WallClock(wall - trio.current_time())
