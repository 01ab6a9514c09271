"""Clones of a small repository from a node, against git's own CGI program in the same run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line, middle_ms
from .serving import serving_node
from .world import CLEAN_GIT, git, git_servers

ONE_AFTER_ANOTHER = 200
AT_ONCE = 20
COMMITS = 20
AS_FAST = Goal(1.5)


def measure_clones(effort: Effort) -> list[Line]:
    """200 clones one after another, and 20 at once."""
    with tempfile.TemporaryDirectory(prefix="clones-") as name:
        folder = Path(name)
        with serving_node(folder, COMMITS) as node:
            place = node.bare.relative_to(folder / "node" / "git")
            bind = f"127.0.0.1:{free_port()}"
            root = folder / "node" / "git"
            with git_servers(root, [bind], folder / "requests.jsonl"):
                urls = (node.clone_url, f"http://{bind}/{place}")
                return [
                    _one_after_another(urls, folder, effort.of(ONE_AFTER_ANOTHER)),
                    _at_once(urls, folder, effort.of(AT_ONCE), min(effort.times, 5)),
                ]


def _one_after_another(urls: tuple[str, str], folder: Path, count: int) -> Line:
    def once(url: str) -> None:
        git("clone", "--quiet", "--bare", url, str(folder / "copy"))
        shutil.rmtree(folder / "copy")

    ours, theirs = _in_turns(urls, once, count)
    detail = f"node {middle_ms(ours):.1f} ms, http-backend {middle_ms(theirs):.1f} ms a clone"
    what = f"{count} clones one after another"
    return Line(what, sum(ours) / sum(theirs), "x", AS_FAST, detail)


def _at_once(urls: tuple[str, str], folder: Path, count: int, times: int) -> Line:
    def once(url: str) -> None:
        copies = [folder / f"copy{number}" for number in range(count)]
        children = [
            subprocess.Popen(
                ["git", "clone", "--quiet", "--bare", url, copy],
                env={**os.environ, **CLEAN_GIT},
            )
            for copy in copies
        ]
        codes = [child.wait() for child in children]
        assert not any(codes), codes
        for copy in copies:
            shutil.rmtree(copy)

    ours, theirs = _in_turns(urls, once, times)
    detail = f"node {middle_ms(ours):.0f} ms, http-backend {middle_ms(theirs):.0f} ms for all"
    return Line(f"{count} clones at once", median(ours) / median(theirs), "x", AS_FAST, detail)


def _in_turns(
    urls: tuple[str, str], once: Callable[[str], None], times: int
) -> tuple[list[float], list[float]]:
    """Seconds of each time at either URL."""
    spent: dict[str, list[float]] = {url: [] for url in urls}
    for _ in range(times):
        for url in urls:
            started = time.perf_counter()
            once(url)
            spent[url].append(time.perf_counter() - started)
    return spent[urls[0]], spent[urls[1]]
