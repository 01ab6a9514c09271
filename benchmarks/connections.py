"""Many WebSocket clients with subscriptions, while some of them publish."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import attrs
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.testing.events import Author, note

from .measuring import Effort, Goal, Line
from .serving import IDENTIFIER, Serving, serving_node
from .world import Usage

CONNECTIONS: Final = 500
SUBSCRIPTIONS: Final = 5
SENDERS: Final = 50
EVENTS_A_SEC: Final = 200
SECS: Final = 60
# As many subscriptions hear of each event.
LISTENERS: Final = 10
ISSUE: Final = 1621
PATIENCE_SECS: Final = 15.0
NONE: Final = Goal(0.0)
MEMORY: Final = Goal(400.0)


@attrs.frozen
class Size:
    """How many of what."""

    connections: int
    senders: int
    events: int
    secs: float

    @property
    def topics(self) -> int:
        """So many that each is what LISTENERS subscriptions ask for."""
        return max(1, self.connections * SUBSCRIPTIONS // LISTENERS)


@attrs.define
class Seen:
    """What the clients saw.

    Attributes:
      sent: when each event was offered, seconds of Trio's clock.
      accepted: events answered OK true.
      refusals: why others were not.
      delays: seconds from offered to told, for each subscription that was told.
      dropped: connections that the node ended.
      strange: messages that were not asked for.
      cpu_secs: the node's, from the first event to the last.
    """

    sent: dict[str, float] = attrs.field(factory=dict)
    accepted: set[str] = attrs.field(factory=set)
    refusals: set[str] = attrs.field(factory=set)
    delays: list[float] = attrs.field(factory=list)
    told: set[tuple[int, str, str]] = attrs.field(factory=set)
    dropped: int = 0
    strange: int = 0
    cpu_secs: float = 0.0


def measure_connections(effort: Effort) -> list[Line]:
    """500 connections with 5 subscriptions each, 200 events a second over 50 of them for 60 s."""
    senders, secs = effort.of(SENDERS, least=2), max(1.0, SECS * effort.part)
    events = round(EVENTS_A_SEC * secs * senders / SENDERS)
    size = Size(effort.of(CONNECTIONS, least=2), senders, events, secs)
    with (
        tempfile.TemporaryDirectory(prefix="connections-") as name,
        serving_node(Path(name), 1) as node,
    ):
        usage, seen = Usage(node.pid), Seen()
        trio.run(_watch, node, size, seen, usage)
    expected = sum(len(_listeners(number % size.topics, size)) for number in range(size.events))
    lost = size.events - len(seen.accepted) + expected - len(seen.told)
    detail = f"{size.events:,} offered, {len(seen.accepted):,} OK, {len(seen.told):,} told"
    delays = seen.delays if len(seen.delays) > 1 else [0.0, 0.0]
    middle, worst = 1000 * median(delays), 1000 * quantiles(delays, n=100)[-1]
    where = f"{size.connections} connections"
    return [
        Line(f"{where}: events lost", lost, "", NONE, " ".join([detail, *seen.refusals][:3])),
        Line(f"{where}: messages not asked for", seen.strange, "", NONE),
        Line(f"{where}: dropped", seen.dropped, "", NONE),
        Line(f"{where}: most memory", usage.peak_mib, "MiB", MEMORY),
        Line(f"{where}: told after, 99 of 100", worst, "ms", None, f"half after {middle:.1f} ms"),
        Line(f"{where}: CPU of an event", 1000 * seen.cpu_secs / size.events, "ms"),
    ]


def _listeners(topic: int, size: Size) -> list[tuple[int, str]]:
    """Connection and subscription of each client that asks for a topic."""
    every = range(size.connections * SUBSCRIPTIONS)
    return [(n // SUBSCRIPTIONS, f"s{n % SUBSCRIPTIONS}") for n in every[topic :: size.topics]]


async def _watch(node: Serving, size: Size, seen: Seen, usage: Usage) -> None:
    offered = _events(node.owner, size)
    expected = sum(len(_listeners(number % size.topics, size)) for number in range(size.events))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_look, usage)
        clients = [
            await nursery.start(_client, node.relay_url, number, size, seen)
            for number in range(size.connections)
        ]
        usage.look()
        cpu_secs_before = usage.cpu_secs
        async with trio.open_nursery() as sending:
            for number in range(size.senders):
                mine = offered[number :: size.senders]
                sending.start_soon(_send, clients[number], mine, size.secs, seen)
        with trio.move_on_after(PATIENCE_SECS):
            while len(seen.told) < expected or len(seen.accepted) < size.events:  # noqa: ASYNC110
                await trio.sleep(0.1)
        usage.look()
        seen.cpu_secs = usage.cpu_secs - cpu_secs_before
        nursery.cancel_scope.cancel()


def _events(owner: Author, size: Size) -> list[Event]:
    """Issues of the repository, signed beforehand; each has one topic."""
    authors = [Author.from_seed(100 + number) for number in range(size.senders)]
    address = str(owner.coordinate(IDENTIFIER))
    return [
        note(
            authors[number % size.senders],
            f"issue {number}",
            kind=ISSUE,
            tags=[("a", address), ("t", f"t{number % size.topics}")],
        )
        for number in range(size.events)
    ]


async def _client(
    url: str,
    number: int,
    size: Size,
    seen: Seen,
    *,
    task_status: trio.TaskStatus[ClientConnection] = trio.TASK_STATUS_IGNORED,
) -> None:
    async with connect(url, proxy=None, close_timeout=1) as client:
        await _subscribe(client, number, size)
        task_status.started(client)
        await _listen(client, number, seen)


async def _subscribe(client: ClientConnection, number: int, size: Size) -> None:
    for which in range(SUBSCRIPTIONS):
        topic = (number * SUBSCRIPTIONS + which) % size.topics
        await client.send(json.dumps(["REQ", f"s{which}", {"kinds": [ISSUE], "#t": [f"t{topic}"]}]))
    for _ in range(SUBSCRIPTIONS):
        assert json.loads(await client.recv())[0] == "EOSE"


async def _listen(client: ClientConnection, number: int, seen: Seen) -> None:
    try:
        while True:
            message = json.loads(await client.recv())
            if message[0] == "EVENT":
                told = (number, message[1], message[2]["id"])
                seen.strange += told in seen.told
                seen.told.add(told)
                seen.delays.append(trio.current_time() - seen.sent[message[2]["id"]])
            elif message[0] == "OK" and message[2]:
                seen.accepted.add(message[1])
            elif message[0] == "OK":
                seen.refusals.add(message[3])
            else:
                seen.strange += 1
    except ConnectionClosed:
        seen.dropped += 1


async def _send(
    client: ClientConnection, offered: Sequence[Event], secs: float, seen: Seen
) -> None:
    """Offer evenly over the time, whether or not answers come."""
    started = trio.current_time()
    try:
        for number, event in enumerate(offered):
            await trio.sleep_until(started + secs * number / len(offered))
            seen.sent[event.id] = trio.current_time()
            await client.send(b'["EVENT",' + encode_event(event) + b"]", text=True)
    except ConnectionClosed:
        return


async def _look(usage: Usage) -> None:
    while True:
        usage.look()
        await trio.sleep(0.5)
