"""Clones of paths below `/prs/` that are not there: no file, and little work (GRASP-06, B 12.1)."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from pathlib import Path

import httpx

from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line
from .world import START_SECS, Process, git, git_servers, node_environment

CLONES = 1_000
PART_OF_GIT = Goal(0.2)


def measure_prs_clones(effort: Effort) -> list[Line]:
    """1,000 clones of random paths from a node, and of an empty repository from http-backend."""
    with tempfile.TemporaryDirectory(prefix="prs-") as name:
        folder, port, count = Path(name), free_port(), effort.of(CLONES)
        environment = node_environment(folder / "node", port, f"ws://127.0.0.1:{free_port()}")
        node = Process.start("purgatory_sync", env={**environment, "NGIT_GRASP06_ENABLE": "true"})
        try:
            _wait(port)
            root, bind = folder / "root", f"127.0.0.1:{free_port()}"
            git("init", "--quiet", "--bare", str(root / "empty.git"))
            with git_servers(root, [bind], folder / "requests.jsonl") as server:
                below = f"http://127.0.0.1:{port}/prs/{Author.from_seed(1).npub}"
                before, files = _spent(node.child.pid), _files(folder / "node")
                for _ in range(count):
                    _clone(f"{below}/{uuid.uuid4()}.git", folder / "copy")
                ours = sum(_spent(node.child.pid)) - sum(before)
                assert _files(folder / "node") == files, "a look left files"
                _, children = _spent(server.child.pid)
                for _ in range(count):
                    _clone(f"http://{bind}/empty.git", folder / "copy")
                theirs = _spent(server.child.pid)[1] - children
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


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_SECS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the node does not answer")


def _spent(pid: int) -> tuple[float, float]:
    """Processor seconds of a process, and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, of_children, system_of_children = map(int, fields[11:15])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + system) / ticks, (of_children + system_of_children) / ticks


def _files(folder: Path) -> list[str]:
    """All paths but those of the store, which writes by itself."""
    found = (str(each.relative_to(folder)) for each in (folder / "git").rglob("*"))
    return sorted(found)
