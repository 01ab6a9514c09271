from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from purgatory_sync.runtime.blocking import blocking_in_place

from .world import World


def pytest_configure() -> None:
    """Let programs that are tested be interrupted, though who started the tests ignores SIGINT.

    Shells start what they put in the background so, and children inherit it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path / "git")
