"""A simulated world of relays in memory, and who takes part in conversations there (GRASP-03)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any

import attrs
import trio
from trio.testing import memory_stream_pair

from purgatory_sync.errors import ConnectFailed
from purgatory_sync.node.outboxes.outbox_keeper import Outboxes
from purgatory_sync.node.upstream import Upstream
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import CurationSettings, HuntSettings, Settings, SyncSettings
from purgatory_sync.testing.mock_context import clock_at
from purgatory_sync.testing.relay_server import RelayServer

NOW = 1_800_000_000
SERVICE = "grasp.example"
ALLOWED = networks("127.0.0.0/8")
PORT = 7000


def relay_url(number: int) -> str:
    """The URL of a relay of the simulated world; each is in a network of its own."""
    return f"ws://127.{number // 250 + 1}.{number % 250}.1:{PORT}"


def an_event(
    random: Random, author: str, kind: int, tags: Iterable[Sequence[str]], created_at: int = NOW
) -> Event:
    """An event without a true signature: only an engine looks at that."""
    sealed = tuple(tuple(tag) for tag in tags)
    return Event(f"{random.getrandbits(256):064x}", author, created_at, kind, sealed, "", "0" * 128)


@attrs.frozen
class Said:
    """What the engine of this world answers."""

    accepted: bool = True
    message: str = ""
    lacks: tuple[str, ...] = ()
    forged: bool = False
    transient: bool = False


class _Memory(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    def __init__(self) -> None:
        self.arriving, self._incoming = trio.open_memory_channel[Any](100)

    async def accept(self) -> trio.abc.HalfCloseableStream:
        stream: trio.abc.HalfCloseableStream = await self._incoming.receive()
        return stream

    async def aclose(self) -> None:
        await self._incoming.aclose()


class _Counted(trio.abc.HalfCloseableStream):
    """A stream that is counted as long as it is open."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, world: OutboxWorld) -> None:
        self._stream, self._world, self._open = stream, world, True
        world.connections += 1
        world.most_connections = max(world.most_connections, world.connections)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._world.connections -= 1
        await self._stream.aclose()


class OutboxWorld:
    """Relays by number, an engine that takes what belongs to conversations, and what is visited.

    Attributes:
      relays: by number.
      dead: numbers of relays that refuse connections.
      served: by id, what the engine serves.
      dials: by number, the times of all connections (NIP-11 and WebSocket).
      coordinates: of the repositories that are announced.
      connections, most_connections: open now, and at most so far.
    """

    def __init__(self, relays: int, **sync: Any) -> None:
        self.relays = {number: RelayServer() for number in range(relays)}
        self.dead: set[int] = set()
        self.served: dict[str, Event] = {}
        self.dials: defaultdict[int, list[float]] = defaultdict(list)
        self.coordinates: set[str] = set()
        self.connections = self.most_connections = 0
        self._memories: dict[int, _Memory] = {}
        self.settings = Settings(
            domain=SERVICE,
            hunt=HuntSettings(allow_addresses=ALLOWED),
            sync=SyncSettings(**{"plus_fallback_relays": (), "user_index_relays": (), **sync}),
        )

    @staticmethod
    def new_relay() -> RelayServer:
        """A relay that is empty."""
        return RelayServer()

    def block(self, npub: str) -> None:
        """Have the operator's blacklist name an author."""
        lists = CurationSettings(event_blacklist=(npub,))
        self.settings = attrs.evolve(self.settings, curation=lists)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Outboxes]:
        """Relays that serve, and what visits them; events that are served already are known."""
        with blocking_in_place():
            async with self._running() as outboxes:
                yield outboxes

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Outboxes]:
        async with trio.open_nursery() as nursery:
            for number, relay in self.relays.items():
                memory = self._memories[number] = _Memory()
                await nursery.start(partial(relay.serve, listeners=[memory]))
            gate = Gate(ALLOWED, connect=self._connect)
            clock = clock_at(NOW)
            self.upstream = Upstream(self.settings, gate, self.offer, clock=clock)
            self.outboxes = Outboxes(
                self.settings,
                gate,
                self,
                lists=lambda: self.settings.curation,
                random=Random(1),
                clock=clock,
            )
            await nursery.start(self.upstream.run)
            nursery.start_soon(self.outboxes.run)
            yield self.outboxes
            nursery.cancel_scope.cancel()

    @property
    def urls(self) -> tuple[str, ...]:
        return self.upstream.urls

    def common_of_visits(self) -> Any:
        return self.upstream.common_of_visits()

    def ask(self, conditions: Sequence[Filter]) -> None:
        self.upstream.ask(conditions)

    async def lists_here(self, authors: frozenset[str]) -> list[Event]:
        await trio.lowlevel.checkpoint()
        return [
            e for e in self.served.values() if e.kind == kinds.RELAY_LIST and e.pubkey in authors
        ]

    async def stored(self, of_kinds: frozenset[int]) -> AsyncIterator[Event]:
        for event in [*self.served.values()]:
            if event.kind in of_kinds:
                yield event
        await trio.lowlevel.checkpoint()

    async def offer(self, event: Event, origin: str) -> Said:
        """Take what refers to something served, and what participants say of themselves."""
        await trio.lowlevel.checkpoint()
        named = {*event.values("e"), *event.values("E"), *event.values("a")}
        refers = any(each in self.served or each in self.coordinates for each in named)
        if event.kind not in kinds.USER_KINDS and not refers:
            return Said(False, "invalid: must reference an accepted repository or event")
        self.serve(event)
        return Said()

    def serve(self, *events: Event) -> None:
        """These are served from now on."""
        for event in events:
            self.served[event.id] = event
            if event.kind == kinds.ANNOUNCEMENT:
                self.coordinates.add(f"{event.kind}:{event.pubkey}:{event.first('d')}")
            if hasattr(self, "outboxes"):
                self.outboxes.served(event)

    def withdraw(self, *events: Event) -> None:
        """These are served no more."""
        for event in events:
            del self.served[event.id]
        self.outboxes.gone(frozenset(each.id for each in events))

    async def _connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        _, high, low, _ = map(int, address.split("."))
        number = (high - 1) * 250 + low
        self.dials[number].append(trio.current_time())
        if number in self.dead or number not in self._memories:
            raise ConnectFailed("refused")
        ours, theirs = memory_stream_pair()
        await self._memories[number].arriving.send(theirs)
        return _Counted(ours, self)
