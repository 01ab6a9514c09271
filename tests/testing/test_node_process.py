"""The node that is started is the one of the package that starts it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import purgatory_sync

STARTER = """
import sys
from pathlib import Path
import httpx, trio
from purgatory_sync.testing.node_process import NodeProcess

async def main():
    node = NodeProcess(Path(sys.argv[1]), {})
    try:
        await node.start()
        async with httpx.AsyncClient(trust_env=False) as http:
            asked = {"accept": "application/nostr+json"}
            print((await http.get(node.http_url, headers=asked)).json()["version"])
    finally:
        await node.aclose()

trio.run(main)
"""


@pytest.mark.real
def test_a_tree_that_is_not_installed_starts_its_own_node(tmp_path: Path) -> None:
    """`make demo` in a fresh clone: dependencies are installed, the program is not."""
    tree, folder = tmp_path / "tree", tmp_path / "folder"
    source = Path(purgatory_sync.__file__).parent
    ours = tree / "purgatory_sync"
    shutil.copytree(source, ours, ignore=shutil.ignore_patterns("__pycache__"))
    version = ours / "version.py"
    version.write_text(
        re.sub(r'__version__ = ".*"', '__version__ = "0.0.here"', version.read_text())
    )
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(folder)],
        cwd=tree,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout == "0.0.here\n", done.stderr
