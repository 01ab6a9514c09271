"""A backend in memory, a socket made of channels, and events that are truly signed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

import trio

from purgatory_sync.errors import TooMuchWork
from purgatory_sync.node.http.server_stream import Gone
from purgatory_sync.node.relay.client_auth import Identity
from purgatory_sync.node.relay.relay import Door, Relay
from purgatory_sync.node.relay.subscriptions import Subscriptions
from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.nostr.reconciliation.inventory import Inventory
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import RelaySettings

KEY = SecretKey(b"\x01" * 32)


def make_event(number: int, kind: int = 1, content: str = "") -> Event:
    return KEY.sign(kind, content, [("t", str(number))], 1_700_000_000 + number)


def plain(event: Event) -> dict[str, Any]:
    """The event as a client sees it."""
    decoded: dict[str, Any] = json.loads(encode_event(event))
    return decoded


class MemoryBackend:
    """Accepts all but kind 666, fails on 667, finds 668 too much work; tells the hub the rest."""

    def __init__(self) -> None:
        self.subscriptions = Subscriptions()
        self.events: list[Event] = []
        self.loaded: list[int] = []
        self.before_offer: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.before_query: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.after_query: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def offer(self, event: Event) -> tuple[bool, str]:
        await self.before_offer()
        if event.kind == 666:
            return False, "blocked: not here"
        if event.kind == 667:
            raise RuntimeError("a bug")
        self.serve(event)
        return True, ""

    def serve(self, event: Event) -> None:
        self.events.insert(0, event)
        self.subscriptions.broadcast(event)

    async def find(self, filters: Sequence[Filter], limit: int) -> list[str]:
        if any(667 in (wanted.kinds or ()) for wanted in filters):
            raise RuntimeError("a bug")
        if any(668 in (wanted.kinds or ()) for wanted in filters):
            raise TooMuchWork("this is too much")
        await self.before_query()
        found = [e for e in self.events if any(wanted.matches(e) for wanted in filters)]
        await self.after_query()
        return [event.id for event in found[:limit]]

    async def count(self, filters: Sequence[Filter]) -> int:
        return len(await self.find(filters, len(self.events)))

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        found = await self.find([condition], limit)
        return Inventory((e.created_at, e.id) for e in self.events if e.id in found)

    async def load(self, ids: Sequence[str]) -> list[Event]:
        await trio.lowlevel.checkpoint()
        self.loaded.append(len(ids))
        return [event for event in self.events if event.id in ids]


class MemorySocket:
    """What the relay sees of a client, and what the client sees of the relay."""

    def __init__(self, room: float = 10_000) -> None:
        self._to_relay, self._from_client = trio.open_memory_channel[str | bytes](100_000)
        self._to_client, self._from_relay = trio.open_memory_channel[str | bytes](room)
        self._left = trio.Event()
        self.closed: tuple[int, str] | None = None

    async def receive(self) -> str | bytes:
        try:
            return await self._from_client.receive()
        except trio.EndOfChannel as error:
            raise Gone("closed") from error

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            if self._left.is_set():
                raise Gone("closed")
            await self._to_client.send(message)

    async def close(self, code: int, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = code, reason

    def say(self, *message: Any) -> None:
        self.say_raw(json.dumps(message))

    def say_raw(self, message: str | bytes) -> None:
        self._to_relay.send_nowait(message)

    async def hear(self) -> Any:
        with trio.fail_after(60):
            return json.loads(await self._from_relay.receive())

    def heard_nothing_more(self) -> bool:
        return self._from_relay.statistics().current_buffer_used == 0

    async def wait_closed(self) -> None:
        await self._left.wait()

    def leave(self) -> None:
        self._to_relay.close()
        self._left.set()


@asynccontextmanager
async def in_place() -> AsyncIterator[None]:
    """Long messages are read without a thread, which virtual time would not wait for."""
    with blocking_in_place():
        yield


@asynccontextmanager
async def talking(
    backend: MemoryBackend,
    settings: RelaySettings | None = None,
    room: float = 10_000,
    identify: Callable[[], Identity] | None = None,
    doors: Callable[[str], AbstractContextManager[Door]] | None = None,
    peer: str = "",
) -> AsyncIterator[MemorySocket]:
    """One client of a relay; leaves at the end, and nothing of it may be left then."""
    relay = Relay(backend, backend.subscriptions, settings or RelaySettings(), identify, doors)
    socket = MemorySocket(room)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(relay.serve, socket, peer)
        yield socket
        socket.leave()
        with trio.fail_after(60):
            while nursery.child_tasks:  # noqa: ASYNC110 - virtual time
                await trio.sleep(1)
    assert len(backend.subscriptions) == 0
    assert backend.subscriptions.budget.kept_bytes == 0
