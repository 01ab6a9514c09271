"""The commands of docs/operating/, done as they stand there against a running node."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest
import trio

from purgatory_sync.testing.node_process import NodeProcess

PAGES: Final = Path(__file__).parents[2] / "docs" / "operating"
NAMES: Final = sorted(page.name for page in PAGES.glob("*.md"))
BLOCK: Final = re.compile(r"(?:^<!-- (.*) -->\n\n)?((?:^    .*\n)+)", re.MULTILINE)
TESTED: Final = "tested"


def blocks(name: str) -> list[tuple[str, str]]:
    """What is said of each block of commands, and its lines."""
    text = (PAGES / name).read_text()
    return [(found[1] or "", re.sub("(?m)^    ", "", found[2])) for found in BLOCK.finditer(text)]


@pytest.mark.tree
@pytest.mark.parametrize("name", NAMES)
def test_every_block_of_commands_is_tested_or_says_why_not(name: str) -> None:
    for said, commands in blocks(name):
        # An item of a numbered list goes on with three spaces, so it is no block.
        assert said == TESTED or said.startswith("not tested: "), commands


@pytest.mark.real
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl is installed")
@pytest.mark.parametrize("name", NAMES)
async def test_the_commands_do_what_the_page_says(tmp_path: Path, name: str) -> None:
    commands = "".join(lines for said, lines in blocks(name) if said == TESTED)
    program = tmp_path / "bin" / "purgatory-sync"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m purgatory_sync "$@"\n')
    program.chmod(0o755)
    node = NodeProcess(tmp_path, {})
    # The node plays the old server, too, from which another adopts.
    for address in ("127.0.0.1:7334", "127.0.0.1:7335"):
        commands = commands.replace(address, node.address)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NGIT_")}
    try:
        await node.start()
        (tmp_path / "old").mkdir()
        key = tmp_path / "data" / "relay" / "service.nsec"
        shutil.copy(key, tmp_path / "old" / ".relay-owner.nsec")
        with trio.fail_after(120):
            done = await trio.run_process(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=tmp_path,
                env={**inherited, "PATH": f"{program.parent}:{os.environ['PATH']}"},
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
    finally:
        await node.aclose()
    assert done.returncode == 0, done.stderr.decode()
