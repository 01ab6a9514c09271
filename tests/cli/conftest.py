from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from purgatory_sync.runtime.logger import ROOT
from purgatory_sync.testing.git_server import GitServer

from ..git.local_repos import add_pack, new_repository, write_loose_ref
from .fetches import STEPS, TIP, Scene


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings in the environment; what the program sets up for logs ends with the test."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("NGIT_"):
            monkeypatch.delenv(name)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(ROOT).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
async def scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Scene]:
    path = new_repository(tmp_path / "upstream")
    add_pack(path, [item for step in STEPS for item in step.objects])
    write_loose_ref(path, "refs/heads/main", TIP)
    (tmp_path / "work").mkdir()
    async with GitServer(path.parent) as server:
        yield Scene(server, tmp_path / "work" / "deep" / "dir.git", capsys)
