"""Events verified and on disk before the answer, beside one commit for each row."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import trio

from purgatory_sync.engine import open_engine
from purgatory_sync.nostr.event import Event, encode_event, verify_event
from purgatory_sync.settings import PurgatorySettings, Settings
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Change, HeldRow
from purgatory_sync.testing.events import SOME_TIME, Author, announcement, state
from purgatory_sync.testing.mock_context import clock_at

from .measuring import Effort, Goal, Line, spending

SERVICE = "grasp.example.com"
SENDERS = 100
IDENTIFIERS = 100
ABSENT_OID = "1" * 40


def measure_journaling(effort: Effort) -> list[Line]:
    """States of many repositories that come on many connections at once."""
    announcements, states = _events(effort.of(IDENTIFIERS), effort.of(4_000))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        alone = _one_by_one(folder, states[: max(1, len(states) // 10)])
        stored = trio.run(_verify_and_store, folder / "store", states)
        offered = trio.run(_offer, folder / "engine", announcements, states)
    goal = Goal(2_000.0, "more")
    detail = f"one commit each {alone:,.0f}/s: {{:.1f}} times as many"
    return [
        Line("events verified and journaled", stored, "/s", goal, detail.format(stored / alone)),
        Line("events offered to the engine", offered, "/s", goal, detail.format(offered / alone)),
    ]


def _events(identifiers: int, states: int) -> tuple[list[Event], list[Event]]:
    authors = [Author.from_seed(number) for number in range(identifiers)]
    names = [f"repository-{number}" for number in range(identifiers)]
    announcements = [
        announcement(
            author,
            name,
            clone=[f"https://{SERVICE}/{author.npub}/{name}.git"],
            relays=[f"wss://{SERVICE}"],
        )
        for author, name in zip(authors, names, strict=True)
    ]
    refs = {"refs/heads/main": ABSENT_OID}
    return announcements, [
        state(
            authors[number % identifiers],
            names[number % identifiers],
            refs,
            head="refs/heads/main",
            created_at=SOME_TIME + number,
        )
        for number in range(states)
    ]


def _one_by_one(folder: Path, events: Sequence[Event]) -> float:
    """Rows a second when each is verified and has a commit of its own, as durable as ours."""
    connection = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE held (id TEXT PRIMARY KEY, json TEXT) WITHOUT ROWID")
        with spending() as spent:
            for event in events:
                verify_event(event)
                row = event.id, encode_event(event).decode()
                connection.execute("INSERT INTO held VALUES (?, ?)", row)
    finally:
        connection.close()
    return len(events) / spent.wall


async def _verify_and_store(folder: Path, events: Sequence[Event]) -> float:
    store = await open_store(folder)

    async def keep(event: Event) -> None:
        verify_event(event)
        await store.apply(Change(hold=[HeldRow(event, "state", "user", float(SOME_TIME))]))

    try:
        with spending() as spent:
            await _send(events, keep)
        if len((await store.load()).held) != len(events):
            raise RuntimeError("not all events were journaled")
    finally:
        await store.aclose()
    return len(events) / spent.wall


async def _offer(folder: Path, announcements: Sequence[Event], states: Sequence[Event]) -> float:
    settings = Settings(
        domain=SERVICE,
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        purgatory=PurgatorySettings(max_events_per_author=len(states) + 1),
    )
    clock = clock_at(float(SOME_TIME + len(states)))
    async with open_engine(settings, clock=clock) as engine:

        async def offer(event: Event) -> None:
            answer = await engine.offer(event, "user")
            if not answer.accepted:
                raise RuntimeError(f"refused: {answer.message}")

        await _send(announcements, offer)
        with spending() as spent:
            await _send(states, offer)
    return len(states) / spent.wall


async def _send(events: Sequence[Event], give: Callable[[Event], Awaitable[None]]) -> None:
    async def sender(mine: Sequence[Event]) -> None:
        for event in mine:
            await give(event)

    async with trio.open_nursery() as nursery:
        for number in range(SENDERS):
            nursery.start_soon(sender, events[number::SENDERS])
