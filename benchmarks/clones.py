"""Polls and clones of a small repository: CPU of a node, against git's own CGI program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line
from .serving import serving_node
from .world import CLEAN_GIT, git, git_servers, spent_by

POLLS = 200
ONE_AFTER_ANOTHER = 200
AT_ONCE = 20
COMMITS = 3
TURNS = 10
PART_OF_A_POLL = Goal(0.12)
PART_OF_A_CLONE = Goal(0.25)


def measure_polls(effort: Effort) -> list[Line]:
    """200 times `git ls-remote`, and 200 times `git fetch` where nothing is new."""
    with tempfile.TemporaryDirectory(prefix="polls-") as name:
        folder = Path(name)
        with _Both(folder) as both:
            count = effort.of(POLLS)
            for server in both.servers:
                git("clone", "--quiet", "--mirror", server.url, str(server.copy))
            return [
                both.compare(
                    f"{count} times git ls-remote",
                    count,
                    _list,
                    PART_OF_A_POLL,
                ),
                both.compare(
                    f"{count} times git fetch with nothing new",
                    count,
                    _fetch,
                    PART_OF_A_POLL,
                ),
            ]


def measure_clones(effort: Effort) -> list[Line]:
    """200 clones one after another, and 20 at once."""
    with tempfile.TemporaryDirectory(prefix="clones-") as name, _Both(Path(name)) as both:
        count, at_once = effort.of(ONE_AFTER_ANOTHER), effort.of(AT_ONCE)
        return [
            both.compare(f"{count} clones one after another", count, _clone, PART_OF_A_CLONE),
            both.compare(
                f"{at_once} clones at once, {min(effort.times, 5)} times",
                min(effort.times, 5),
                lambda server: _at_once(server, at_once),
                PART_OF_A_CLONE,
                things=at_once,
            ),
        ]


class _Server:
    """One of the two servers.

    Attributes:
      url: of the repository there.
      copy: where a client keeps its clone.
    """

    def __init__(self, url: str, copy: Path, spent: Callable[[], float]) -> None:
        self.url, self.copy, self.spent = url, copy, spent


class _Both:
    """A node and `git http-backend`, which serve the same repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> _Both:
        self._node = serving_node(self._folder, COMMITS)
        node = self._node.__enter__()
        root, bind = self._folder / "node" / "git", f"127.0.0.1:{free_port()}"
        self._git = git_servers(root, [bind], self._folder / "requests.jsonl")
        backend = self._git.__enter__().child.pid
        place = node.bare.relative_to(root)
        self.servers = (
            _Server(node.clone_url, self._folder / "ours", lambda: sum(spent_by(node.pid))),
            _Server(
                f"http://{bind}/{place}", self._folder / "theirs", lambda: spent_by(backend)[1]
            ),
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self._git.__exit__(None, None, None)
        self._node.__exit__(None, None, None)

    def compare(
        self,
        what: str,
        times: int,
        once: Callable[[_Server], None],
        goal: Goal,
        *,
        things: int = 1,
    ) -> Line:
        """Do something so often at both, in turns; the ratio of what both servers spent.

        Args:
          things: that are done each time; the details are for one of them.
        """
        spent = [0.0, 0.0]
        turns = min(times, TURNS)
        for turn in range(turns):
            for number, server in enumerate(self.servers):
                before = server.spent()
                for _ in range(times * turn // turns, times * (turn + 1) // turns):
                    once(server)
                spent[number] += server.spent() - before
        ours, theirs = (1e3 * each / times / things for each in spent)
        detail = f"node {ours:.2f} ms, http-backend {theirs:.2f} ms CPU each"
        return Line(what, ours / theirs, "x", goal, detail)


def _list(server: _Server) -> None:
    git("ls-remote", server.url)


def _fetch(server: _Server) -> None:
    git("fetch", "--quiet", folder=server.copy)


def _clone(server: _Server) -> None:
    git("clone", "--quiet", "--bare", server.url, str(server.copy))
    shutil.rmtree(server.copy)


def _at_once(server: _Server, count: int) -> None:
    copies = [server.copy.with_name(f"{server.copy.name}{number}") for number in range(count)]
    children = [
        subprocess.Popen(
            ["git", "clone", "--quiet", "--bare", server.url, copy],
            env={**os.environ, **CLEAN_GIT},
        )
        for copy in copies
    ]
    codes = [child.wait() for child in children]
    assert not any(codes), codes
    for copy in copies:
        shutil.rmtree(copy)
