"""What clients see of the node: the routes and the relay, in front of the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Final, TypeGuard, TypeVar

import attrs
import trio

from ..engine import PurgatorySync
from ..engine.pushes.receiving import Changes, Read
from ..engine.status.models import Statistics
from ..errors import ResultClass, TooMuchWork
from ..nostr import kinds
from ..nostr.address import RepositoryId
from ..nostr.event import Event
from ..nostr.filters import Filter
from ..nostr.keys import decode_npub
from ..nostr.reconciliation.inventory import Inventory
from ..purgatory.entries import HeldAnnouncement
from ..runtime.clock import WallClock
from ..settings import Network, Settings
from .git_http.receive_pack_http import GitPush
from .git_http.upload_pack_http import GitEndpoint
from .management.endpoint import Management
from .management.methods import Methods
from .operator.host_metrics import HostMetrics, LoopLag
from .operator.metrics import DomainMetrics, Metrics, MetricsSnapshot
from .pages.page_routes import PageRoutes
from .pages.public import is_public, is_seen, shows_relay
from .private.doors import Doors
from .prs_routes import make_prs_endpoint, make_prs_push, prs_metrics
from .relay.client_auth import Identity
from .relay.nip11 import RelayInfo
from .relay.relay import Relay
from .relay.subscriptions import Subscriptions
from .relays import Relays
from .routes import App

SUPPORTED_NIPS: Final = (1, 5, 9, 11, 34, 40, 42, 45, 62, 70, 77, 86, 98)
SUPPORTED_GRASPS: Final = ("GRASP-01", "GRASP-02")
PLUS: Final = "GRASP-03"
NIP05: Final = 5
NIP86: Final = 86
NIP98: Final = 98
ARCHIVE: Final = "GRASP-05"
CONTRIBUTIONS: Final = "GRASP-06"
PRIVATE: Final = "GRASP-08"
# The store has six readers: what strangers ask for must not hold up admission and release, and
# what is much work to look up must not hold up what is little. So each question is tried among
# many first, then among fewer that take longer. Steps are SQLite's: a million take about 50 ms.
LANES: Final = ((2, 100_000), (1, 5_000_000), (1, 50_000_000))

T = TypeVar("T")


def make_services(
    settings: Settings,
    engine: PurgatorySync,
    relays: Relays,
    subscriptions: Subscriptions,
    pubkey: str,
    lag: LoopLag,
    doors: Doors | None = None,
) -> tuple[App, Relay]:
    """What answers clients: NIP-01, NIP-11, NIP-45, NIP-77, git, pages, metrics.

    Args:
      engine: runs already.
      relays: how it stands with other relays, for pages and metrics.
      subscriptions: its `broadcast` is called with each event that becomes served.
      pubkey: of the service, in hex.
      lag: of the event loop, for metrics.
      doors: of a private service; None for a public one.
    """
    info = partial(described, settings, engine, pubkey)
    push = GitPush(
        _Pushes(engine),
        settings.push.max_pack_bytes,
        trio.CapacityLimiter(settings.push.max_concurrent),
        settings.push.min_bytes_per_sec,
        settings.push.keepalive_secs,
    )
    limits = settings.listener
    git = GitEndpoint(
        engine.hosted,
        limits.git_max_processes,
        push,
        max_secs=limits.git_max_secs,
        least_pace=limits.git_min_bytes_per_sec,
        unborn=engine.awaited_branch,
    )
    allow = settings.hunt.allow_addresses

    prs_push = make_prs_push(settings, engine.contributor)
    contributions = make_prs_endpoint(settings, engine, prs_push)

    def measured() -> MetricsSnapshot:
        snapshot = _snapshot(engine.statistics(events=False), push, allow)
        kept = subscriptions.budget.kept_bytes
        prs = prs_metrics(engine.contributor, prs_push)
        snapshot = _with_relays(snapshot, relays, allow)
        return attrs.evolve(snapshot, client_bytes=kept, prs=prs)

    host = HostMetrics(settings.git_data_path, lag, engine.offered, engine.keepers.backup.ended)
    metrics = Metrics(measured, [host]) if settings.metrics_enabled else None
    pages = PageRoutes(
        info,
        engine.explainer.look,
        engine.repository,
        allow,
        relays.looks,
        None if engine.contributor is None else engine.contribution,
        engine.cataloguer.look if settings.relay.list_repositories and doors is None else None,
    )
    identify = partial(Identity, settings.service, WallClock.from_system().now)
    show_held = settings.relay.show_held_to_exact_queries
    door = doors.relay.door if doors is not None else None
    relay = Relay(_Backend(engine, show_held), subscriptions, settings.relay, identify, door)
    elsewhere = settings.metrics_bind_address is not None
    management = _management(settings, engine)
    app = App(
        info,
        git,
        pages,
        metrics,
        management,
        metrics_elsewhere=elsewhere,
        contributions=contributions,
        door=doors.http if doors is not None else None,
    )
    return app, relay


def described(settings: Settings, engine: PurgatorySync, pubkey: str) -> RelayInfo:
    """What NIP-11 says at this moment."""
    word, relay = engine.keepers.lists.word, settings.relay
    relay = attrs.evolve(
        relay,
        name=relay.name or word("relay-name"),
        description=relay.description or word("relay-description"),
    )
    info = describe(attrs.evolve(settings, curation=engine.lists, relay=relay), pubkey)
    return attrs.evolve(info, other_icon=word("relay-icon"))


def describe(settings: Settings, pubkey: str) -> RelayInfo:
    """What NIP-11 says: what is on and nothing else, as docs/profiles.md has it (B 10)."""
    return RelayInfo(
        service=settings.service,
        pubkey=pubkey,
        supported_nips=[n for n in SUPPORTED_NIPS if _is_on(n, settings)],
        supported_grasps=[
            *SUPPORTED_GRASPS,
            *([PLUS] if settings.follows_participants else []),
            *([ARCHIVE] if settings.curation.archives else []),
            *([CONTRIBUTIONS] if settings.prs.enabled else []),
            *([PRIVATE] if settings.curation.private_mode else []),
        ],
        settings=settings.relay,
        curation=settings.curation,
        prs=settings.prs,
        listener=settings.listener,
    )


def _is_on(nip: int, settings: Settings) -> bool:
    if nip == NIP86:
        return bool(settings.relay.admin_pubkeys)
    if nip == NIP98:
        return settings.curation.private_mode
    return nip != NIP05 or not settings.base


def _management(settings: Settings, engine: PurgatorySync) -> Management | None:
    """The management API; None where the operator named no keys for it."""
    if not settings.relay.admin_pubkeys:
        return None
    keepers = engine.keepers
    methods = Methods(keepers.lists, engine.explainer, keepers.caretaker, settings.relay)
    admins = map(decode_npub, settings.relay.admin_pubkeys)
    return Management(methods, [*admins], settings.service, WallClock.from_system())


class _Backend:
    """The engine as the relay sees it.

    Args:
      show_held: whether held announcements are found by those who name them exactly.
    """

    def __init__(self, engine: PurgatorySync, show_held: bool = False) -> None:
        self._engine = engine
        self._show_held = show_held
        self._lanes = [(trio.CapacityLimiter(places), steps) for places, steps in LANES]

    async def offer(self, event: Event) -> tuple[bool, str]:
        answer = await self._engine.offer(event, "user")
        return answer.accepted, answer.message

    async def find(self, filters: Sequence[Filter], limit: int) -> list[str]:
        found = await self._ask(partial(self._engine.store.find, filters, limit))
        if self._show_held:
            return [*dict.fromkeys([*self._held(filters), *found])]
        return found

    def _held(self, filters: Sequence[Filter]) -> Iterator[str]:
        """Ids of held announcements that filters name exactly."""
        for each in filters:
            owner, identifier = _exactly(each)
            if each.ids is not None:
                for event_id in each.ids:
                    held = self._engine.purgatory.get(event_id)
                    if _is_shown(held) and each.matches(held.event):
                        yield event_id
            elif owner is not None and identifier is not None:
                held = self._engine.purgatory.find_announcement(owner, identifier)
                if _is_shown(held) and each.matches(held.event):
                    yield held.event_id

    async def count(self, filters: Sequence[Filter]) -> int:
        return await self._ask(partial(self._engine.store.count, filters))

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        return await self._ask(partial(self._engine.store.inventory, [condition], limit))

    async def load(self, ids: Sequence[str]) -> list[Event]:
        held = [self._engine.purgatory.get(each) for each in ids] if self._show_held else []
        shown = [each.event for each in held if _is_shown(each)]
        async with self._lanes[0][0]:
            served = await self._engine.store.query([Filter(ids=frozenset(ids))], len(ids))
        return [*shown, *served]

    async def _ask(self, question: Callable[..., Awaitable[T]]) -> T:
        """Look up what a client asks; how much work that is shows only while it runs."""
        *lanes, (last, most_steps) = self._lanes
        for lane, steps in lanes:
            async with lane:
                with suppress(TooMuchWork):
                    return await question(most_work=steps)
        async with last:
            return await question(most_work=most_steps)


def _is_shown(held: object) -> TypeGuard[HeldAnnouncement]:
    return isinstance(held, HeldAnnouncement) and held.soft_expired_at is None


def _exactly(condition: Filter) -> tuple[str | None, str | None]:
    """The owner and the identifier of the one announcement that a filter can mean."""
    authors, names = condition.authors or (), condition.tags.get("d", ())
    of_kind = condition.kinds == frozenset({kinds.ANNOUNCEMENT})
    if len(authors) != 1 or len(names) != 1 or len(condition.tags) != 1 or not of_kind:
        return None, None
    return next(iter(authors)), next(iter(names))


class _Pushes:
    """The engine as pushes see it."""

    def __init__(self, engine: PurgatorySync) -> None:
        self._engine = engine

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str] | None:
        return await self._engine.pusher.refs(RepositoryId(decode_npub(npub), identifier))

    def waiting(self, npub: str, identifier: str) -> AbstractContextManager[None]:
        return self._engine.pusher.in_flight.waiting(RepositoryId(decode_npub(npub), identifier))

    async def receive(self, npub: str, identifier: str, changes: Changes, read: Read) -> None:
        await self._engine.pusher.receive(
            RepositoryId(decode_npub(npub), identifier), changes, read
        )


def _snapshot(now: Statistics, push: GitPush, allow: Sequence[Network]) -> MetricsSnapshot:
    """What is public: nothing of what the gate refused (B 10.3)."""
    return MetricsSnapshot(
        queue_size=now.queued,
        attempts={
            result.value: count
            for result, count in now.hunt.attempts.items()
            if result is not ResultClass.FORBIDDEN
        },
        oids_fetched=now.hunt.oids_fetched,
        held=now.held,
        released=now.released,
        states_refused=now.states_refused,
        private_refused=now.private_refused,
        unruled=now.unruled,
        verify_findings=now.verify_findings,
        domains=[
            DomainMetrics(domain, each.in_flight, each.requests_total, each.tokens)
            for domain, each in now.hunt.domains.items()
            if is_seen(each) and is_public(domain, allow)
        ],
        pushes=dict(push.counts.results),
        push_bytes=push.counts.bytes,
        push_secs=push.counts.secs,
    )


def _with_relays(
    snapshot: MetricsSnapshot, relays: Relays, allow: Sequence[Network]
) -> MetricsSnapshot:
    seen = [each for each in relays.following.relays() if shows_relay(each, allow)]
    connected = sum(each.connected for each in seen)
    states = {"connected": connected, "lost": len(seen) - connected}
    return attrs.evolve(
        snapshot,
        relays=states,
        relay_events=relays.following.judged,
        outboxes=relays.outbox_metrics(),
    )
