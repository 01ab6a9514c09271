from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing.node_process import LOOPBACK_ONLY

from . import loopback
from .world import World


def pytest_configure() -> None:
    """Let programs that are tested be interrupted, and reach this machine only.

    Shells start what they put in the background with SIGINT ignored, and children inherit it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(LOOPBACK_ONLY)
    loopback.guard()


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    """Fail a test that wanted to reach another machine, though what it started caught that."""
    loopback.wanted.clear()
    yield
    assert not loopback.wanted


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path / "git")
