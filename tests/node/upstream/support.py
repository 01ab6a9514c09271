"""A network of relays in memory, a scripted relay, and an engine that answers as told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgspec
import trio
from trio.testing import memory_stream_pair

from purgatory_sync.engine.private_peers import PrivatePeers
from purgatory_sync.errors import ConnectFailed
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.listener import Listener
from purgatory_sync.node.http.server_stream import Gone
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream import Upstream
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter, parse_filter
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import MIB, ListenerSettings, Settings, SyncSettings
from purgatory_sync.testing.events import Author, announcement, state
from purgatory_sync.testing.mock_context import clock_at

NOW = 1_800_000_000
SERVICE = "grasp.example"
OWNER, OTHER, STRANGER = (Author.from_seed(n) for n in range(3))
PUBLIC = "203.0.113."


def listed(author: Author, identifier: str, *relays: str, created_at: int = NOW - 100) -> Event:
    """An announcement that names this service, and other relays beside it."""
    return announcement(
        author,
        identifier,
        clone=[f"https://{SERVICE}/{author.npub}/{identifier}.git"],
        relays=[f"wss://{SERVICE}", *relays],
        created_at=created_at,
    )


def state_of(author: Author, identifier: str, *, created_at: int = NOW - 50) -> Event:
    return state(author, identifier, {"refs/heads/main": "a" * 40}, created_at=created_at)


class MemoryListener(trio.abc.Listener[trio.abc.HalfCloseableStream]):
    def __init__(self) -> None:
        self.arriving, self._incoming = trio.open_memory_channel[Any](100)

    async def accept(self) -> trio.abc.HalfCloseableStream:
        stream: trio.abc.HalfCloseableStream = await self._incoming.receive()
        return stream

    async def aclose(self) -> None:
        await self._incoming.aclose()


class ScriptedRelay:
    """Serves events by NIP-01, newest first, and notes what it was asked.

    Attributes:
      cap: most events that one filter yields.
      requests: the filters of every REQ with its time.
      connections: the times of connections.
      document: what NIP-11 says, or None for 404.
      documents: the times of other requests than for a socket.
      lie: events that are sent with every REQ, asked for or not.
      mute: whether REQ gets no EOSE.
      closes: REQs whose subscription ids start with this are answered with CLOSED.
      refuses_until: connections before this time are closed at once.
    """

    def __init__(self, *events: Event, cap: int = 500) -> None:
        self.events = list(events)
        self.cap = cap
        self.requests: list[tuple[float, list[Filter]]] = []
        self.connections: list[float] = []
        self.document: object = None
        self.documents: list[float] = []
        self.lie: list[Event] = []
        self.mute = False
        self.closes: str | None = None
        self.refuses_until = 0.0
        self._sockets: dict[Socket, dict[str, list[Filter]]] = {}

    async def http(self, exchange: Exchange) -> None:
        self.documents.append(trio.current_time())
        if self.document is None:
            await exchange.respond(404, b"")
        else:
            await exchange.respond(200, json.dumps(self.document).encode())

    async def talk(self, socket: Socket) -> None:
        self.connections.append(trio.current_time())
        if trio.current_time() < self.refuses_until:
            return await socket.close(1013, "later")
        self._sockets[socket] = {}
        try:
            while True:
                await self._answer(socket, json.loads(await socket.receive()))
        except Gone:
            pass
        finally:
            del self._sockets[socket]

    async def _answer(self, socket: Socket, message: list[Any]) -> None:
        name, subscription, *rest = message
        if name == "CLOSE":
            self._sockets[socket].pop(subscription, None)
            return
        filters = [parse_filter(each) for each in rest]
        self.requests.append((trio.current_time(), filters))
        if self.closes is not None and subscription.startswith(self.closes):
            return await send(socket, ["CLOSED", subscription, "error: too much"])
        self._sockets[socket][subscription] = filters
        for event in [*self._found(filters), *self.lie]:
            await send(socket, ["EVENT", subscription, event])
        if not self.mute:
            await send(socket, ["EOSE", subscription])

    def _found(self, filters: Sequence[Filter]) -> list[Event]:
        newest = sorted(self.events, key=lambda e: (-e.created_at, e.id))
        found: dict[str, Event] = {}
        for each in filters:
            limit = min(self.cap, self.cap if each.limit is None else each.limit)
            found |= {e.id: e for e in [e for e in newest if each.matches(e)][:limit]}
        return list(found.values())

    async def publish(self, *events: Event) -> None:
        self.events += events
        for socket, subscriptions in list(self._sockets.items()):
            for name, filters in subscriptions.items():
                for event in events:
                    if any(each.matches(event) for each in filters):
                        await send(socket, ["EVENT", name, event])

    async def send(self, message: object) -> None:
        """Send something to every connection, whether that makes sense or not."""
        for socket in list(self._sockets):
            await send(socket, message)

    async def close(self, subscription: str) -> None:
        """End a subscription of every connection."""
        for socket, subscriptions in list(self._sockets.items()):
            if subscriptions.pop(subscription, None) is not None:
                await send(socket, ["CLOSED", subscription, "error: restart"])

    async def hang_up(self) -> None:
        for socket in list(self._sockets):
            await socket.close(1001, "restart")

    def asked_for(self, letter: str) -> list[frozenset[str]]:
        """The values of a tag in walks through history, in the order in which they came."""
        return [
            each.tags[letter]
            for _, filters in self.requests
            for each in filters
            if letter in each.tags and each.limit != 1 and each.until is None
        ]


async def send(socket: Socket, message: object) -> None:
    await socket.send(msgspec.json.encode(message))


class Network:
    """Relays by host name; the gate connects to them by streams in memory."""

    def __init__(self) -> None:
        self._hosts: list[str] = []
        self._listeners: list[MemoryListener | None] = []
        self.attempts: list[tuple[float, str]] = []

    async def add(self, nursery: trio.Nursery, host: str, relay: ScriptedRelay | None) -> None:
        """A host with a relay, or one that refuses connections."""
        self._hosts.append(host)
        if relay is None:
            self._listeners.append(None)
            return
        listener = MemoryListener()
        self._listeners.append(listener)

        async def serve(*, task_status: trio.TaskStatus[int]) -> None:
            server = Listener(relay.http, relay.talk, ListenerSettings(), 4 * MIB)
            await server.serve("", 0, trio.Event(), listeners=[listener], task_status=task_status)

        await nursery.start(serve)

    def gate(self) -> Gate:
        return Gate(resolve=self._resolve, connect=self._connect)

    async def _resolve(self, host: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        if host == "inside.example":
            return ["127.0.0.1"]
        return [f"93.184.216.{self._hosts.index(host)}"]

    async def _connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        number = int(address.rpartition(".")[2])
        self.attempts.append((trio.current_time(), self._hosts[number]))
        listener = self._listeners[number]
        if listener is None:
            raise ConnectFailed("refused")
        ours, theirs = memory_stream_pair()
        await listener.arriving.send(theirs)
        return ours


@attrs.frozen
class Said:
    accepted: bool = True
    message: str = ""
    lacks: tuple[str, ...] = ()
    forged: bool = False
    transient: bool = False


class Engine:
    """Accepts announcements of this service and what belongs to them; tells upstream so.

    Attributes:
      offered: every event offered, with its time.
      judge: replaces the judgement when set.
    """

    def __init__(self) -> None:
        self.offered: list[tuple[float, Event]] = []
        self.upstream: Upstream | None = None
        self.identifiers: set[str] = set()
        self.delay = 0.0
        self.judge: Callable[[Event], Awaitable[Said]] = self._judge

    async def offer(self, event: Event, origin: str) -> Said:
        assert origin == "sync"
        self.offered.append((trio.current_time(), event))
        said = await self.judge(event)
        await trio.sleep(self.delay)
        return said

    async def _judge(self, event: Event) -> Said:
        await trio.lowlevel.checkpoint()
        assert self.upstream is not None
        if event.kind == kinds.ANNOUNCEMENT:
            if not any(SERVICE in url for url in event.all_values("clone")):
                return Said(False, "invalid: not listed", (f"d:{event.first('d')}",))
            self.identifiers.add(event.first("d") or "")
            self.upstream.announced(event)
        elif event.kind == kinds.STATE and event.first("d") not in self.identifiers:
            return Said(False, "invalid: no announcement", (f"d:{event.first('d')}",))
        return Said()

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.offered]

    def times(self, event: Event) -> list[float]:
        return [at for at, each in self.offered if each == event]


@asynccontextmanager
async def following(
    relays: dict[str, ScriptedRelay | None],
    bootstrap: str | None = "relay.example",
    peers: PrivatePeers | None = None,
    **sync: Any,
) -> AsyncIterator[tuple[Upstream, Engine, Network]]:
    """Relays by host name, and an upstream that runs and starts from one of them."""
    settings = Settings(domain=SERVICE, sync=SyncSettings(bootstrap_relay_url=bootstrap, **sync))
    network, engine = Network(), Engine()
    async with trio.open_nursery() as nursery:
        for host, relay in relays.items():
            await network.add(nursery, host, relay)
        clock = clock_at(NOW)
        upstream = Upstream(settings, network.gate(), engine.offer, clock=clock, peers=peers)
        engine.upstream = upstream
        await nursery.start(upstream.run)
        yield upstream, engine, network
        nursery.cancel_scope.cancel()
