"""Judging a state of an identifier that thousands announce, or two (B 3.7)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Final

import trio

from purgatory_sync import PurgatorySync, Settings, open_engine
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import PurgatorySettings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing.events import SOME_TIME, Author, announcement, state
from purgatory_sync.testing.mock_context import clock_at

from .measuring import Effort, Goal, Line, spending

SERVICE: Final = "grasp.example.com"
NOW: Final = SOME_TIME + 1_000_000
STRANGERS: Final = 2_000
NAMED: Final = 60
STATES: Final = 200
OWNER, MEMBER = Author.from_seed(1), Author.from_seed(2)


def measure_authority(effort: Effort) -> list[Line]:
    """Both in turns; the strangers name the owner, whom they do not concern, and one another."""
    strangers, states = effort.of(STRANGERS), effort.of(STATES)
    crowd = _crowd(strangers)
    times = max(1, effort.times // 3)
    few, many = [], []
    for _ in range(times):
        few.append(trio.run(_judge, [], states))
        many.append(trio.run(_judge, crowd, states))
    alone, beside = median(few), median(many)
    detail = f"{1e6 * beside:,.0f} µs a state, {1e6 * alone:,.0f} where two announce it"
    what = f"a state beside {strangers:,} announcements"
    return [Line(what, beside / alone, "x", Goal(3.0), detail)]


def _crowd(count: int) -> list[Event]:
    authors = [Author.from_seed(100 + number) for number in range(count)]
    return [
        announcement(
            author,
            "repo",
            maintainers=[
                OWNER,
                *(authors[(number + 7 * other) % count] for other in range(1, NAMED)),
            ],
        )
        for number, author in enumerate(authors)
    ]


async def _judge(crowd: list[Event], states: int) -> float:
    """Seconds of the processor for each state that is offered and held."""
    offers = [
        state(OWNER, "repo", {"refs/heads/main": f"{n + 1:040x}"}, created_at=SOME_TIME + n)
        for n in range(states)
    ]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            domain=SERVICE,
            git_data_path=Path(folder) / "git",
            purgatory=PurgatorySettings(max_events_per_author=100_000),
        )
        store, clock = MemoryStore(), clock_at(NOW)
        await store.apply(Change(save=crowd))
        async with open_engine(settings, store=store, clock=clock) as engine:
            for author, other in ((OWNER, MEMBER), (MEMBER, OWNER)):
                await _offer(engine, _announcing(author, other))
            await _offer(engine, state(MEMBER, "repo", {"refs/heads/x": "1" * 40}))
            with spending() as spent:
                for event in offers:
                    await _offer(engine, event)
    return spent.own / states


def _announcing(author: Author, other: Author) -> Event:
    clone = [f"https://{SERVICE}/{author.npub}/repo.git"]
    relays = [f"wss://{SERVICE}"]
    return announcement(author, "repo", clone=clone, relays=relays, maintainers=[other])


async def _offer(engine: PurgatorySync, event: Event) -> None:
    answer = await engine.offer(event, "user")
    if answer.outcome.value != "held":
        raise RuntimeError(f"{answer.outcome}: {answer.message}")
