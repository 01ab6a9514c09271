"""Both stores keep the contract that is published for stores of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Store
from purgatory_sync.testing.store_contract import *  # noqa: F403


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else await open_store(tmp_path)
    yield made
    await made.aclose()
