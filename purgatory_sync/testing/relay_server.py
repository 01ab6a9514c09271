"""A plain relay that takes every signed event: another relay, for tests and benchmarks.

As a program: `python -m purgatory_sync.testing.relay_server EVENTS.jsonl --bind HOST:PORT`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio

from ..errors import InvalidEvent
from ..node.http.exchange import Exchange
from ..node.http.listener import Listener
from ..node.http.server_stream import Gone
from ..node.relay.relay import Relay, RelaySocket
from ..node.relay.subscriptions import Subscriptions
from ..nostr.event import Event, decode_event, verify_event
from ..nostr.filters import Filter
from ..nostr.reconciliation.inventory import Inventory
from ..settings import ListenerSettings, RelaySettings
from ..store.memory import MemoryStore
from ..store.protocol import Change
from .doorkeeper import Doorkeeper


class RelayServer:
    """Keeps what is published in memory and serves it over NIP-01.

    Args:
      lets_in: keys that may read, once they have said who they are (NIP-42); None: all.
    """

    def __init__(self, lets_in: Collection[str] | None = None) -> None:
        self._lets_in = lets_in
        self.store = MemoryStore()
        self._subscriptions = Subscriptions()
        self._relay = Relay(self, self._subscriptions, RelaySettings())
        self._stop = trio.Event()

    async def publish(self, events: Iterable[Event]) -> None:
        """Serve these events from now on, and tell subscribers."""
        fresh = list(events)
        await self.store.apply(Change(save=fresh))
        for event in fresh:
            self._subscriptions.broadcast(event)

    async def offer(self, event: Event) -> tuple[bool, str]:
        """Take an event if it is what it says; the boolean and the text of OK."""
        try:
            verify_event(event)
        except InvalidEvent as error:
            return False, f"invalid: {error}"
        await self.publish([event])
        return True, ""

    async def find(self, filters: Sequence[Filter], limit: int) -> list[str]:
        """The ids of what matches, newest first."""
        return await self.store.find(filters, limit)

    async def count(self, filters: Sequence[Filter]) -> int:
        """How many match."""
        return await self.store.count(filters)

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        """What matches, as reconciling needs it."""
        return await self.store.inventory([condition], limit)

    async def load(self, ids: Sequence[str]) -> list[Event]:
        """The events with these ids, newest first."""
        return await self.store.query([Filter(ids=frozenset(ids))], len(ids))

    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        listeners: Sequence[trio.abc.Listener[trio.abc.HalfCloseableStream]] | None = None,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; reports the port that is listened on.

        Args:
          listeners: accept connections instead, in a simulation.
        """
        listener = Listener(
            _no_http, self._talk, ListenerSettings(), RelaySettings().max_message_bytes
        )
        async with trio.open_nursery() as nursery:
            serve = partial(listener.serve, host, port, self._stop, listeners=listeners)
            bound = await nursery.start(serve)
            self._service = f"{host}:{bound}"
            task_status.started(bound)

    async def _talk(self, socket: RelaySocket) -> None:
        if self._lets_in is None:
            return await self._relay.serve(socket)
        door = Doorkeeper(socket, self._service, self._lets_in)
        with suppress(Gone):
            await door.greet()
            await self._relay.serve(door)


async def _no_http(exchange: Exchange) -> None:
    await exchange.respond(404, b"a relay for tests\n")


async def _main(events: list[Event], host: str, port: int) -> None:
    server = RelayServer()
    await server.publish(events)
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(server.serve, host, port)
        sys.stdout.write(f"ready ws://{host}:{bound}\n")
        sys.stdout.flush()


def main() -> None:
    """Serve the events of a file, one JSON object a line, until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path)
    parser.add_argument("--bind", default="127.0.0.1:0")
    arguments = parser.parse_args()
    host, _, port = arguments.bind.rpartition(":")
    lines = arguments.events.read_bytes().splitlines()
    trio.run(_main, [decode_event(line) for line in lines if line], host, int(port))


if __name__ == "__main__":
    main()
