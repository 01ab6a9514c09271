"""Once private, always private: the store remembers it (B 16.10)."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio.testing

from purgatory_sync.engine import open_engine
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import CurationSettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing.events import Author

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
PRIVATE = CurationSettings(private_mode=True, private_members=(ALICE.npub,))


async def test_b_16_10_a_marked_store_does_not_start_in_public(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    public, store = Settings(domain="a.example", git_data_path=tmp_path), MemoryStore()
    private = attrs.evolve(public, curation=PRIVATE)
    with blocking_in_place():
        async with open_engine(public, store=store):
            pass
        for _ in range(2):
            async with open_engine(private, store=store):
                pass
        with pytest.raises(ConfigurationError, match="holds private repositories"):
            async with open_engine(public, store=store):
                pytest.fail("it started")
        async with open_engine(private, store=store) as engine:
            assert engine.lists.private_members == (ALICE.npub,)


async def test_b_16_9_members_are_a_list_and_the_last_one_stays(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    settings = Settings(domain="a.example", git_data_path=tmp_path, curation=PRIVATE)
    with blocking_in_place():
        async with open_engine(settings, store=MemoryStore()) as engine:
            lists, told = engine.keepers.lists, list[tuple[str, ...]]()
            lists.at_once.append(lambda: told.append(engine.lists.private_members))
            await lists.add("private-members", [BOB.npub])
            await lists.remove("private-members", [BOB.npub])
            assert told == [(ALICE.npub, BOB.npub), (ALICE.npub,)]
            with pytest.raises(ConfigurationError):
                await lists.remove("private-members", [ALICE.npub])


async def test_b_16_9_a_public_service_has_no_members(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    settings = Settings(domain="a.example", git_data_path=tmp_path)
    with blocking_in_place():
        async with open_engine(settings, store=MemoryStore()) as engine:
            with pytest.raises(ConfigurationError, match="not private"):
                await engine.keepers.lists.add("private-members", [BOB.npub])
            assert engine.lists.private_members == ()
