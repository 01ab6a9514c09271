"""Bombs, proven in a process of its own so that its memory can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from purgatory_sync.settings import MIB

pytestmark = pytest.mark.real

EXPECTED = {
    "zlib": "TooLarge",
    "zlib that lies": "BadPack",
    "delta": "TooLarge",
    "long delta": "TooLarge",
    "doubling chain": "TooLarge",
    "wide chain": "TooLarge",
    "a million empty blobs": "BadPack",
    "delta of itself": "BadPack",
}


@pytest.mark.parametrize(
    "way", ["small", "git", pytest.param("dulwich", marks=pytest.mark.gitless)]
)
def test_no_bomb_costs_memory(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.git.ingest.bombs", way],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    fine = {} if way == "dulwich" else {"a large file": ""}
    assert {result["name"]: result["error"] for result in results} == EXPECTED | fine
    assert max(result["own"] for result in results) < 64 * MIB
    assert max(result["children"] for result in results) < 64 * MIB
