"""The upstream relays beside the engine: what is here is followed up, what they send is offered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import trio

from ...engine import PurgatorySync
from ...engine.lists.merging import lets_more_in
from ...nostr import kinds
from ...nostr.event import Event
from ...nostr.filters import Filter
from ...nostr.keys import SecretKey
from ...nostr.reconciliation.inventory import Inventory
from ...settings import CurationSettings, Settings
from ...store.protocol import Store
from ...urls import scheme_of
from .state.relay_health import RelayStatus
from .state.shared import Common
from .supervisor import Upstream

PAGE_EVENTS: Final = 2_000
_RELAY_SCHEME: Final = {"http": "ws", "https": "wss"}
ROOT_KINDS: Final = frozenset({kinds.PATCH, kinds.PULL_REQUEST})


class Following:
    """Follows relays for what is here, and offers the engine what they send.

    It is to be told what becomes of events from the moment on at which it is made; what was here
    before is read by `run`.
    """

    def __init__(self, settings: Settings, engine: PurgatorySync) -> None:
        self._engine = engine
        self._gone_while_reading: set[str] | None = None
        self._lists_changed = trio.Event()
        self._upstream = Upstream(
            settings,
            engine.gate,
            engine.offer,
            local=Here(engine),
            lists=lambda: engine.lists,
            peers=engine.peers,
        )
        # A service whose repositories are copied knows them best.
        if copied := settings.curation.archive_grasp_services:
            self._upstream.follow([f"{_RELAY_SCHEME[scheme_of(each)]}://{each}" for each in copied])

    def held(self, event: Event) -> None:
        """An event began to wait: what refers to it is asked for, and its relays are followed."""
        self._upstream.held(event)

    def served(self, event: Event) -> None:
        """An event became served."""
        self._upstream.served(event)

    def gone(self, event_ids: frozenset[str]) -> None:
        """Events are neither held nor served any more: no relay is followed for them."""
        if self._gone_while_reading is not None:
            self._gone_while_reading |= event_ids
        self._upstream.withdrawn(event_ids)

    def lists_changed(self, before: CurationSettings, after: CurationSettings) -> None:
        """Other lists rule (B 5.5): follow by them, and look for what they let in."""
        if lets_more_in(before, after):
            self._upstream.begin_anew()
        self._lists_changed.set()

    def relays(self) -> tuple[RelayStatus, ...]:
        """How it stands with each relay that is followed."""
        return self._upstream.looks()

    @property
    def urls(self) -> tuple[str, ...]:
        """The relays that are followed now."""
        return self._upstream.urls

    def ask(self, conditions: Sequence[Filter]) -> None:
        """Ask all relays that are connected for something, once."""
        self._upstream.ask(conditions)

    def common_of_visits(self) -> Common:
        """What sessions with relays work with that are only visited."""
        return self._upstream.common_of_visits()

    def stored(self, of_kinds: frozenset[int]) -> AsyncIterator[Event]:
        """All that is served of these kinds; some may come twice."""
        return _stored(self._engine.store, of_kinds)

    async def lists_here(self, authors: frozenset[str]) -> list[Event]:
        """The relay lists (NIP-65) of these authors that are served here."""
        wanted = Filter(kinds=frozenset({kinds.RELAY_LIST}), authors=authors)
        return await self._engine.store.query([wanted], len(authors)) if authors else []

    @property
    def judged(self) -> Mapping[str, int]:
        """How many events of relays were judged since the start: `taken` and `refused`."""
        return self._upstream.judged

    async def run(self, key: SecretKey | None = None) -> None:
        """Follow relays until cancelled, beginning with what earlier days brought.

        Args:
          key: tells relays who we are that want to know (NIP-42).
        """
        purgatory = self._engine.purgatory
        for held in (*purgatory.announcements(), *purgatory.hunted_events()):
            self._upstream.held(held.event)
        await self._tell_served(frozenset({kinds.ANNOUNCEMENT}))
        async with trio.open_nursery() as nursery:
            await nursery.start(self._upstream.run, key)
            nursery.start_soon(self._judge_anew)
            # Where there is no room for all values (B 10.2), roots bring more than replies.
            await self._tell_served(ROOT_KINDS)
            await self._tell_served(None)

    async def _judge_anew(self) -> None:
        """After each change of the lists, judge whose relays are followed."""
        while True:
            await self._lists_changed.wait()
            self._lists_changed = trio.Event()
            for held in self._engine.purgatory.announcements():
                self._upstream.judged_anew(held.event)
            async for event in _stored(self._engine.store, frozenset({kinds.ANNOUNCEMENT})):
                self._upstream.judged_anew(event)

    async def _tell_served(self, of_kinds: frozenset[int] | None) -> None:
        self._gone_while_reading = set()
        async for event in _stored(self._engine.store, of_kinds):
            if event.id not in self._gone_while_reading:
                self._upstream.served(event)
        self._gone_while_reading = None


class Here:
    """What is here, as reconciling with relays needs it."""

    def __init__(self, engine: PurgatorySync) -> None:
        self._engine = engine
        # As with strangers' questions: the store's readers are the engine's first.
        self._reading = trio.CapacityLimiter(1)

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        async with self._reading:
            return await self._engine.store.inventory([condition], limit)

    def holds(self, event_id: str) -> bool:
        return self._engine.purgatory.get(event_id) is not None

    def pages_until(self, url: str) -> float:
        return self._engine.relay_notes.pages_until(url)

    def ask_by_pages(self, url: str, until: float) -> None:
        self._engine.relay_notes.ask_by_pages(url, until)


async def _stored(store: Store, of_kinds: frozenset[int] | None) -> AsyncIterator[Event]:
    """Every served event of these kinds (None: of all), page by page; some may come twice."""
    until: int | None = None
    while True:
        condition = Filter(kinds=of_kinds, until=until)
        page = await store.query([condition], PAGE_EVENTS)
        for event in page:
            yield event
        if len(page) < PAGE_EVENTS:
            return
        oldest = page[-1].created_at
        # A page may end within a second; a second that fills a page is left behind.
        until = oldest if until is None or oldest < until else oldest - 1
