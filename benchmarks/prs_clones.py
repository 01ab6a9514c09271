"""Clones of paths below `/prs/` that are not there: no file, and little work (GRASP-06, B 12.1)."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path

from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line
from .world import Process, git, git_servers, node_environment, spent_by, wait_ready

CLONES = 1_000
PART_OF_GIT = Goal(0.2)


def measure_prs_clones(effort: Effort) -> list[Line]:
    """1,000 clones of random paths from a node, and of an empty repository from http-backend."""
    with tempfile.TemporaryDirectory(prefix="prs-") as name:
        folder, port, count = Path(name), free_port(), effort.of(CLONES)
        environment = node_environment(folder / "node", port, f"ws://127.0.0.1:{free_port()}")
        node = Process.start("purgatory_sync", env={**environment, "NGIT_GRASP06_ENABLE": "true"})
        try:
            wait_ready(port)
            root, bind = folder / "root", f"127.0.0.1:{free_port()}"
            git("init", "--quiet", "--bare", str(root / "empty.git"))
            with git_servers(root, [bind], folder / "requests.jsonl") as server:
                below = f"http://127.0.0.1:{port}/prs/{Author.from_seed(1).npub}"
                before, files = spent_by(node.child.pid), _files(folder / "node")
                for _ in range(count):
                    _clone(f"{below}/{uuid.uuid4()}.git", folder / "copy")
                ours = sum(spent_by(node.child.pid)) - sum(before)
                assert _files(folder / "node") == files, "a look left files"
                _, children = spent_by(server.child.pid)
                for _ in range(count):
                    _clone(f"http://{bind}/empty.git", folder / "copy")
                theirs = spent_by(server.child.pid)[1] - children
        finally:
            node.stop()
    detail = (
        f"node {1e3 * ours / count:.2f} ms, http-backend {1e3 * theirs / count:.2f} ms CPU each"
    )
    what = f"{count} clones of paths that are not there"
    return [Line(what, ours / theirs, "x", PART_OF_GIT, detail)]


def _clone(url: str, copy: Path) -> None:
    git("clone", "--quiet", "--bare", url, str(copy))
    shutil.rmtree(copy)


def _files(folder: Path) -> list[str]:
    """All paths but those of the store, which writes by itself."""
    found = (str(each.relative_to(folder)) for each in (folder / "git").rglob("*"))
    return sorted(found)
