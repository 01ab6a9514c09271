"""Backups of a node with many repositories, beside pushes (B 13.5)."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import attrs
import trio
from websockets.sync.client import connect

from purgatory_sync.nostr.event import encode_event
from purgatory_sync.settings import Settings
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line, spending
from .small_repositories import OWNER, SERVICE, fill
from .world import CLEAN_GIT, START_SECS, Process, git, node_environment, spent_by, wait_ready

REPOSITORIES = 1_000
PUSHES = 200
MAIN, TAG = "refs/heads/main", "refs/tags/v1"
PUSHES_A_SECOND = 5
LATER_MS = Goal(200)
PART_OF_COPY = Goal(1.3)


def measure_backup(effort: Effort) -> list[Line]:
    """What backups cost, and how much later pushes are answered beside them."""
    count, pushes = effort.of(REPOSITORIES), effort.of(PUSHES)
    with tempfile.TemporaryDirectory(prefix="backup-") as name:
        folder = Path(name)
        settings = Settings(
            domain=SERVICE, git_data_path=folder / "git", relay_data_path=folder / "relay"
        )
        trio.run(fill, settings, max(count, 2 * pushes))
        with _node(folder) as node:
            alone = node.push(range(pushes))
            beside, made = node.push_beside(range(pushes, 2 * pushes))
            cost = node.cost_of_backup()
        copied = _cost_of_copy(settings)
    later = 1000 * (_percentile(beside) - _percentile(alone))
    detail = f"alone {1000 * _percentile(alone):.0f} ms; {len(beside)} pushes, {made} backups"
    spent = f"ours {cost:.2f} s, cp -al and VACUUM INTO {copied:.2f} s"
    return [
        Line("pushes beside backups: 99 of 100 answered later by", later, "ms", LATER_MS, detail),
        Line(f"a backup of {count:,} repositories: CPU", cost / copied, "x", PART_OF_COPY, spent),
    ]


@attrs.frozen
class _Node:
    folder: Path
    port: int
    pid: int
    refs: Mapping[str, str]

    def push(self, numbers: range) -> list[float]:
        """Push one commit to each of these repositories, five a second; the seconds of each."""
        took: list[float] = []
        threads = []
        begun = time.monotonic()
        for place, number in enumerate(numbers):
            time.sleep(max(0.0, begun + place / PUSHES_A_SECOND - time.monotonic()))
            threads.append(threading.Thread(target=self._push_one, args=(number, took)))
            threads[-1].start()
        for each in threads:
            each.join()
        assert len(took) == len(numbers), "a push failed"
        return took

    def push_beside(self, numbers: range) -> tuple[list[float], int]:
        """The same while one backup follows the other; and how many were made."""
        ended, made = threading.Event(), list[int]()

        def back_up() -> None:
            while not ended.is_set():
                self._back_up("beside")
                shutil.rmtree(self.folder / "beside")
                made.append(1)

        other = threading.Thread(target=back_up)
        other.start()
        try:
            took = self.push(numbers)
        finally:
            ended.set()
            other.join()
        return took, len(made)

    def cost_of_backup(self) -> float:
        """Processor seconds of one backup: the node's; the command's are those of any command."""
        found = []
        for _ in range(3):
            before = sum(spent_by(self.pid))
            self._back_up("alone")
            found.append(sum(spent_by(self.pid)) - before)
            shutil.rmtree(self.folder / "alone")
        return min(found)

    def _back_up(self, name: str) -> None:
        command = [sys.executable, "-m", "purgatory_sync", "backup", str(self.folder / name)]
        relay = ["--relay-data-path", str(self.folder / "relay")]
        subprocess.run([*command, *relay], check=True, capture_output=True)

    def _push_one(self, number: int, took: list[float]) -> None:
        state = events.state(OWNER, f"r{number}", self.refs, created_at=int(time.time()))
        url = f"http://127.0.0.1:{self.port}/{OWNER.npub}/r{number}.git"
        with connect(f"ws://127.0.0.1:{self.port}", proxy=None) as relay:
            relay.send(b'["EVENT",' + encode_event(state) + b"]", text=True)
            answer = json.loads(relay.recv(timeout=START_SECS))
            assert answer[2], answer
        before = time.monotonic()
        git("push", "--quiet", url, f"{self.refs[MAIN]}:{MAIN}", folder=self.folder / "base.git")
        took.append(time.monotonic() - before)


@contextmanager
def _node(folder: Path) -> Iterator[_Node]:
    base, port = folder / "base.git", free_port()
    tree = git("rev-parse", "main^{tree}", folder=base)
    tip = git("commit-tree", tree, "-p", "main", "-m", "next", folder=base)
    refs = {MAIN: tip, TAG: git("rev-parse", TAG, folder=base)}
    environment = {
        **node_environment(folder, port, f"ws://127.0.0.1:{free_port()}"),
        **CLEAN_GIT,
        "NGIT_DOMAIN": SERVICE,
        "NGIT_GIT_DATA_PATH": str(folder / "git"),
        "NGIT_RELAY_DATA_PATH": str(folder / "relay"),
    }
    node = Process.start("purgatory_sync", env=environment)
    try:
        wait_ready(port)
        yield _Node(folder, port, node.child.pid, refs)
    finally:
        node.stop()


def _cost_of_copy(settings: Settings) -> float:
    """Processor seconds of what an operator would do by hand on a stopped node."""
    target = settings.git_data_path.parent / "by-hand"

    found = []
    for _ in range(3):
        with spending() as spent:
            target.mkdir()
            subprocess.run(["cp", "-al", settings.git_data_path, target], check=True)
            with closing(sqlite3.connect(settings.relay_data_path / DATABASE)) as store:
                store.execute("VACUUM INTO ?", (str(target / DATABASE),))
        found.append(spent.cpu)
        shutil.rmtree(target)
    return min(found)


def _percentile(seconds: list[float]) -> float:
    """What 99 of 100 took at most."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * 0.99))]
