"""A large repository into a bare one, beside `git fetch`, and how late the event loop gets."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from statistics import median

import attrs
import trio

from purgatory_sync.git.disk.repository import create_bare
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.node_process import free_port

from .fetching import OBJECTS_OF_A_COMMIT, working_folder
from .measuring import Effort, Goal, Line
from .world import clean, git, git_servers, make_repository

OBJECTS = 50_000
MOST_TIMES = 7
TICK_SECS = 0.001


@attrs.frozen
class Turn:
    """Two of our fetches and one of git's, each into a new repository.

    Attributes:
      ours: seconds on the clock until the objects are part of the repository.
      theirs: seconds on the clock of `git fetch`.
      lags: how late the event loop was, in seconds, at each tick of our second.
    """

    ours: float
    theirs: float
    lags: Sequence[float]


def measure_large_fetch(effort: Effort) -> list[Line]:
    """50,000 objects and more: time beside git's, memory, and the lag of the event loop."""
    commits = effort.of(OBJECTS // OBJECTS_OF_A_COMMIT + 1)
    with working_folder() as folder:
        remote = folder / "remote" / "large.git"
        make_repository(remote, "large", commits)
        git("repack", "-a", "-d", "-q", folder=remote)
        tip = git("rev-parse", "main", folder=remote)
        bind = f"127.0.0.1:{free_port()}"
        with git_servers(remote.parent, [bind], folder / "requests.jsonl"):
            url = f"http://{bind}/{remote.name}"
            turns, peak_mib = trio.run(_in_turns, folder, url, tip, min(effort.times, MOST_TIMES))
    lags = sorted(lag * 1000 for turn in turns for lag in turn.lags)
    ratio = median(turn.ours / turn.theirs for turn in turns)
    ours, theirs = median(t.ours for t in turns), median(t.theirs for t in turns)
    what = f"fetch of {commits * OBJECTS_OF_A_COMMIT:,} objects"
    detail = f"{ours:.2f} s by {theirs:.2f} s"
    return [
        Line(f"{what}, time against git's", ratio, "x", Goal(1.1), detail),
        Line("peak memory of our process meanwhile", peak_mib, "MiB", Goal(143.0), "150 MB"),
        Line("lag of the event loop meanwhile, 99 %", _percentile(lags, 99), "ms", Goal(10.0)),
        Line("lag of the event loop meanwhile, most", lags[-1], "ms", Goal(50.0)),
    ]


async def _in_turns(folder: Path, url: str, tip: str, times: int) -> tuple[list[Turn], float]:
    settings = HuntSettings(allow_addresses=(ip_network("127.0.0.0/8"),), min_free_bytes=0)
    turns = []
    async with GitClient(settings, Gate(settings.allow_addresses), folder / ".tmp") as client:
        _forget_peak()
        for number in range(times + 1):
            places = [folder / f"{who}-{number}.git" for who in ("ours", "watched", "theirs")]
            ours, watched, theirs = places
            for place in (ours, watched):
                create_bare(place, folder / ".tmp")
            start = time.perf_counter()
            await _fetch(client, ours, url, tip)
            middle = time.perf_counter()
            git("init", "--quiet", "--bare", str(theirs))
            between = time.perf_counter()
            git("fetch", "--quiet", "--no-tags", url, tip, folder=theirs)
            end = time.perf_counter()
            git("rev-list", "--objects", "--quiet", tip, folder=ours)
            # Who looks a thousand times a second takes part of the time that is measured.
            lags: list[float] = []
            async with _watching(lags):
                await _fetch(client, watched, url, tip)
            if number:  # the first warms all up
                turns.append(Turn(middle - start, end - between, lags))
            for place in places:
                clean(place)
        return turns, _peak_mib()


async def _fetch(client: GitClient, path: Path, url: str, tip: str) -> None:
    async with await client.fetch_oids(path, url, [tip]) as proven:
        await proven.join()


@asynccontextmanager
async def _watching(lags: list[float]) -> AsyncIterator[None]:
    """Note how late the event loop comes back to one who wanted to sleep for a millisecond."""

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_SECS
            await trio.sleep(TICK_SECS)
            lags.append(max(0.0, time.perf_counter() - due))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        yield
        nursery.cancel_scope.cancel()


def _percentile(values: Sequence[float], percent: int) -> float:
    return values[math.ceil(len(values) * percent / 100) - 1]


def _forget_peak() -> None:
    """Earlier measurements may have taken more memory; where this cannot be done, theirs counts."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
