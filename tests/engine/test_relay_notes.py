"""What is remembered of relays over a restart (B 10.2)."""

from __future__ import annotations

from pathlib import Path

import trio.testing

from purgatory_sync import open_engine
from purgatory_sync.engine import relay_notes
from purgatory_sync.engine.relay_notes import RelayNotes
from purgatory_sync.records import ServerNote
from purgatory_sync.settings import Settings
from purgatory_sync.store.memory import MemoryStore

from ..world import NOW

URL = "wss://relay.example"


def notes(told: dict[str, str | None] | None = None) -> RelayNotes:
    return RelayNotes((told if told is not None else {}).__setitem__)


def test_b_10_2_what_is_over_or_unreadable_is_forgotten_and_the_rest_kept() -> None:
    told: dict[str, str | None] = {}
    known = notes(told)
    other = ServerNote("habit https a 443", "slow", 1.0)
    mine = {"pages a": str(NOW + 5), "pages b": str(NOW), "pages c": "soon", "pages d": "nan"}
    saved = [ServerNote(key, text, 1.0) for key, text in mine.items()]
    assert known.restore([other, *saved], NOW) == [other]
    assert [known.pages_until(each) for each in "abcd"] == [NOW + 5, 0, 0, 0]
    assert told == {"pages b": None, "pages c": None, "pages d": None}


def test_notes_are_bounded_here_and_in_the_store() -> None:
    told: dict[str, str | None] = {}
    known = notes(told)
    for number in range(relay_notes.MAX_RELAYS + 1):
        known.ask_by_pages(f"wss://{number}", NOW + 1.0)
    assert known.pages_until("wss://0") == 0
    assert known.pages_until("wss://1") == NOW + 1
    assert [key for key, text in told.items() if text is None] == ["pages wss://0"]


def test_the_same_is_written_once() -> None:
    told: dict[str, str | None] = {}
    known = notes(told)
    known.ask_by_pages(URL, NOW + 1.0)
    told.clear()
    known.ask_by_pages(URL, NOW + 1.0)
    assert told == {}


async def test_b_10_2_the_next_engine_knows(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    store, settings = MemoryStore(), Settings(git_data_path=tmp_path)
    async with open_engine(settings, store=store) as engine:
        until = engine.relay_notes.pages_until(URL)
        assert until == 0
        engine.relay_notes.ask_by_pages(URL, 4e9)
        await trio.sleep(1)
    async with open_engine(settings, store=store) as engine:
        assert engine.relay_notes.pages_until(URL) == 4e9
