"""A Trio relay of another program with the engine inside: hold, hunt, prove, release.

Run it with `python -m examples.embed`; it listens on ws://127.0.0.1:7777 and keeps everything in
the folder `embed-data`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.server import ServerConnection, serve

from purgatory_sync import (
    Event,
    PurgatorySync,
    Settings,
    convert_event,
    encode_event,
    open_engine,
    parse_filter,
)


class SmallRelay:
    """Knows EVENT and REQ; everything about git is the engine's."""

    def __init__(self) -> None:
        self.clients: dict[ServerConnection, dict[str, list[object]]] = {}

    async def broadcast(self, event: Event) -> None:
        """The engine calls this whenever an event becomes served."""
        for client, subscriptions in list(self.clients.items()):
            for name, filters in subscriptions.items():
                if any(parse_filter(wanted).matches(event) for wanted in filters):
                    line = json.dumps(["EVENT", name, json.loads(encode_event(event))])
                    with suppress(ConnectionClosed):  # the others are told all the same
                        await client.send(line)

    async def handle(self, engine: PurgatorySync, client: ServerConnection) -> None:
        """Talk to one client."""
        self.clients[client] = {}
        try:
            async for message in client:
                match json.loads(message):
                    case ["EVENT", raw]:
                        event = convert_event(raw)
                        answer = await engine.offer(event, origin="user")
                        reply = ["OK", event.id, answer.accepted, answer.message]
                        await client.send(json.dumps(reply))
                    case ["REQ", name, *filters]:
                        wanted = [parse_filter(each) for each in filters]
                        for event in await engine.query(wanted):
                            line = ["EVENT", name, json.loads(encode_event(event))]
                            await client.send(json.dumps(line))
                        await client.send(json.dumps(["EOSE", name]))
                        self.clients[client][name] = filters
        finally:
            del self.clients[client]


async def run(
    settings: Settings,
    port: int = 7777,
    *,
    task_status: trio.TaskStatus[tuple[PurgatorySync, int]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run relay and engine until cancelled."""
    relay = SmallRelay()
    async with (
        open_engine(settings, notify=relay.broadcast) as engine,
        trio.open_nursery() as nursery,
    ):
        handle = partial(relay.handle, engine)
        server = await nursery.start(partial(serve, handle, host="127.0.0.1", port=port))
        task_status.started((engine, server.listeners[0].socket.getsockname()[1]))


if __name__ == "__main__":
    here = Path("embed-data")
    trio.run(
        run,
        Settings(
            domain="127.0.0.1:7777", git_data_path=here / "git", relay_data_path=here / "relay"
        ),
    )
