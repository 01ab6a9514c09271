"""What is too much work ends, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio.testing

from purgatory_sync.errors import TooMuchWork
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Change
from purgatory_sync.store.work_limit import STEPS
from purgatory_sync.testing.events import Author, note

AUTHOR = Author.from_seed(1)


async def test_too_much_work_ends_and_the_reader_serves_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with blocking_in_place():
        store = await open_store(tmp_path)
        await store.apply(Change(save=[note(AUTHOR, str(n)) for n in range(50)]))
        # Each filter looks at fifty events in some steps each.
        many = [Filter(kinds=frozenset(range(1, 5_000)), until=2**40 + n) for n in range(32)]
        for question in (store.count(many, most_work=STEPS), store.find(many, 5, most_work=STEPS)):
            with pytest.raises(TooMuchWork, match="ask for less") as ended:
                await question
            # Its own cause would keep what was asked in memory.
            assert ended.value.__cause__ is not ended.value
        with pytest.raises(TooMuchWork):
            await store.inventory(many, 5, most_work=STEPS)
        assert await store.count(many) == 50
        assert await store.count(many, most_work=1000 * STEPS) == 50
        assert len(store._idle) == 1
        await store.aclose()
