from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from purgatory_sync.runtime.blocking import blocking_in_place

from .world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path / "git")
