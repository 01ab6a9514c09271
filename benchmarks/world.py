"""Real repositories, git servers, a relay and a node as processes, all on loopback."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import attrs
import httpx
from websockets.sync.client import connect

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.testing.node_process import LOOPBACK_ONLY

START_SECS = 30.0
CLEAN_GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.com",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


def git(*arguments: str, folder: Path | None = None, stdin: bytes = b"") -> str:
    """Run stock git and return what it prints."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **CLEAN_GIT},
        input=stdin,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def make_repository(path: Path, name: str, commits: int) -> dict[str, str]:
    """A bare repository with that many commits on `main` and a tag; returns its refs."""
    stream = []
    for number in range(1, commits + 1):
        text = f"{name} {number}\n".encode() * 20
        stream.append(
            b"commit refs/heads/main\nmark :%d\n"
            b"committer Bench <bench@example.com> %d +0000\ndata 7\ncommit\n"
            % (number, 1700000000 + number)
            + (b"from :%d\n" % (number - 1) if number > 1 else b"")
            + b"M 100644 inline file%d.txt\ndata %d\n" % (number % 10, len(text))
            + text
        )
    stream.append(b"reset refs/tags/v1\nfrom :%d\n" % commits)
    git("init", "--quiet", "--bare", str(path))
    git("fast-import", "--quiet", folder=path, stdin=b"\n".join(stream))
    return {
        ref: oid for oid, _, ref in (line.partition(" ") for line in show_refs(path).splitlines())
    }


def show_refs(path: Path) -> str:
    """`OID ref` lines of a local repository."""
    return git("for-each-ref", "--format=%(objectname) %(refname)", folder=path)


@attrs.define
class Process:
    """A child that tells on its standard output when it is ready."""

    child: subprocess.Popen[bytes]

    @classmethod
    def start(cls, module: str, *arguments: str, env: dict[str, str] | None = None) -> Self:
        """Start `python -m module` in its own process group."""
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, **(env or {})},
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        )

    def wait_ready(self) -> None:
        """Wait for its first line.

        Raises:
          RuntimeError: it ended or said nothing in time.
        """
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], START_SECS)
        if not ready or not self.child.stdout.readline():
            raise RuntimeError(f"{self.child.args!r} did not get ready")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End the whole group."""
        try:
            os.killpg(self.child.pid, how)
            self.child.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            self.child.kill()
        if self.child.stdout is not None:
            self.child.stdout.close()


@contextmanager
def git_servers(root: Path, binds: Sequence[str], log: Path) -> Iterator[Process]:
    """`git http-backend` behind every `host:port`, each request logged as a JSON line."""
    arguments = [a for bind in binds for a in ("--bind", bind)]
    process = Process.start(
        "purgatory_sync.testing.git_server", str(root), *arguments, "--log", str(log)
    )
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


@contextmanager
def relay(events: Sequence[Event], folder: Path, bind: str) -> Iterator[Process]:
    """A relay that serves these events."""
    lines = folder / "events.jsonl"
    lines.write_bytes(b"\n".join(map(encode_event, events)))
    process = Process.start("purgatory_sync.testing.relay_server", str(lines), "--bind", bind)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


@attrs.define
class Usage:
    """CPU and memory of a process and its children, read from the system.

    Attributes:
      cpu_secs: user and system time of the tree, children that ended included.
      peak_mib: the largest resident set of the tree that was seen.
    """

    pid: int
    cpu_secs: float = 0.0
    peak_mib: float = 0.0

    def look(self) -> None:
        """Read once; call it often enough to see the peak."""
        pids = [self.pid, *_children(self.pid)]
        ticks = os.sysconf("SC_CLK_TCK")
        cpu = 0.0
        resident = 0
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                cpu += sum(int(fields[i]) for i in (11, 12, 13, 14)) / ticks
                resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            except (FileNotFoundError, ProcessLookupError):
                continue
        self.cpu_secs = max(self.cpu_secs, cpu)
        self.peak_mib = max(self.peak_mib, resident / 2**20)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [c for one in map(int, text.split()) for c in (one, *_children(one))]


def node_environment(folder: Path, port: int, relay_url: str) -> dict[str, str]:
    """The settings of a node whose data lies in the folder."""
    return {
        **LOOPBACK_ONLY,
        "NGIT_BIND_ADDRESS": f"127.0.0.1:{port}",
        "NGIT_GIT_DATA_PATH": str(folder / "git"),
        "NGIT_RELAY_DATA_PATH": str(folder / "relay"),
        "NGIT_SYNC_BOOTSTRAP_RELAY_URL": relay_url,
        "NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8",
        "NGIT_LOG_LEVEL": "error",
    }


class Watcher:
    """Subscribes to a node's states and notes when each is served."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: dict[str, float] = {}

    def run(self, expected: int, deadline: float, usage: Usage) -> None:
        """Watch until so many states are served or the deadline (monotonic seconds) is over."""
        while time.monotonic() < deadline:
            try:
                socket_ = connect(self._url, proxy=None, max_size=None)
            except OSError:
                time.sleep(0.02)
                continue
            break
        else:
            return
        with socket_:
            socket_.send(json.dumps(["REQ", "s", {"kinds": [30618]}]))
            while len(self.seen) < expected and time.monotonic() < deadline:
                try:
                    message = json.loads(socket_.recv(timeout=0.05))
                except TimeoutError:
                    usage.look()
                    continue
                if message[0] == "EVENT":
                    self.seen[message[2]["id"]] = time.monotonic()
        usage.look()


def clean(folder: Path) -> None:
    """Remove a folder of a benchmark."""
    shutil.rmtree(folder, ignore_errors=True)


def wait_ready(port: int) -> None:
    """Wait until the node at a port is ready; raises TimeoutError."""
    deadline = time.monotonic() + START_SECS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the node does not answer")


def spent_by(pid: int) -> tuple[float, float]:
    """Processor seconds of a process, and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, of_children, system_of_children = map(int, fields[11:15])
    ticks = os.sysconf("SC_CLK_TCK")
    return (user + system) / ticks, (of_children + system_of_children) / ticks
