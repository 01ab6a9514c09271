"""From a URL to proven refs on disk, beside what stock git spends on the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import attrs
import trio

from purgatory_sync.git.disk.alignment import align_refs
from purgatory_sync.git.disk.repository import create_bare
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.blocking import blocking
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.node_process import free_port

from .measuring import Effort, Goal, Line, middle_ms, spending
from .world import git, git_servers, make_repository, show_refs

HEAD = "refs/heads/main"
OBJECTS_OF_A_COMMIT = 3
WARM_UP = 2


@attrs.frozen
class Place:
    """Where a measurement works.

    Attributes:
      remote: the repository that is fetched from, and its URL.
      refs: what the remote has.
    """

    folder: Path
    remote: Path
    url: str
    refs: Mapping[str, str]


def measure_small_fetch(effort: Effort) -> list[Line]:
    """A repository of three commits, from its URL into a new repository with its refs."""
    with working_folder() as folder:
        remote = folder / "remote" / "small.git"
        refs = make_repository(remote, "small", 3)
        ratio, detail = _compare(folder, remote, refs, effort, None)
    return [
        Line("fetch of a 3-commit repository, CPU against git's", ratio, "x", Goal(0.25), detail)
    ]


def measure_one_commit(effort: Effort) -> list[Line]:
    """One new commit, where 50,000 objects are already."""
    commits = effort.of(50_000 // OBJECTS_OF_A_COMMIT)
    with working_folder() as folder:
        base = folder / "base.git"
        make_repository(base, "large", commits)
        # As the node keeps it: HEAD names a branch, refs are packed.
        git("symbolic-ref", "HEAD", HEAD, folder=base)
        git("pack-refs", "--all", folder=base)
        remote = folder / "remote" / "large.git"
        link_repository(base, remote)
        refs = _add_commit(remote)
        ratio, detail = _compare(folder, remote, refs, effort, base)
    what = f"one commit onto {commits * OBJECTS_OF_A_COMMIT:,} objects, CPU against git's"
    return [Line(what, ratio, "x", Goal(0.4), detail)]


def link_repository(source: Path, target: Path) -> None:
    """A copy that shares the files: git and we replace files, neither changes one in place."""
    shutil.copytree(source, target, copy_function=os.link)


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder with a folder `remote`, removed in the end."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        (Path(name) / "remote").mkdir()
        yield Path(name)


def _add_commit(path: Path) -> dict[str, str]:
    git(
        "fast-import",
        "--quiet",
        folder=path,
        stdin=b"commit refs/heads/main\ncommitter B <b@example.com> 1800000000 +0000\n"
        b"data 4\nmore\nfrom refs/heads/main^0\nM 100644 inline new.txt\ndata 4\nnew\n\n",
    )
    lines = (line.partition(" ") for line in show_refs(path).splitlines())
    return {name: oid for oid, _, name in lines}


def _compare(
    folder: Path, remote: Path, refs: Mapping[str, str], effort: Effort, base: Path | None
) -> tuple[float, str]:
    """The ratio of processor times, ours by git's, each after the other in turns."""
    bind = f"127.0.0.1:{free_port()}"
    with git_servers(remote.parent, [bind], folder / "requests.jsonl"):
        place = Place(folder, remote, f"http://{bind}/{remote.name}", refs)
        ours, theirs, wall = trio.run(_in_turns, place, effort.times, base)
    detail = f"{ours:.1f} ms by {theirs:.1f} ms (on the clock {wall:.1f} ms)"
    return ours / theirs, detail


async def _in_turns(place: Place, times: int, base: Path | None) -> tuple[float, float, float]:
    settings = HuntSettings(allow_addresses=(ip_network("127.0.0.0/8"),), min_free_bytes=0)
    gate = Gate(settings.allow_addresses)
    ours, theirs, wall = [], [], []
    limiter = trio.CapacityLimiter(4)
    async with GitClient(settings, gate, place.folder / ".tmp", limiter=limiter) as client:
        for turn in range(WARM_UP + times):
            path = place.folder / f"ours-{turn}.git"
            if base is not None:
                link_repository(base, path)
            with spending() as spent:
                await _fetch(client, limiter, place, path)
            other = place.folder / f"theirs-{turn}.git"
            if base is not None:
                link_repository(base, other)
            with spending() as git_spent:
                _fetch_with_git(place, other, is_new=base is None)
            _require_same(path, other, place)
            if turn >= WARM_UP:
                ours.append(spent.cpu)
                theirs.append(git_spent.children)
                wall.append(spent.wall)
    return middle_ms(ours), middle_ms(theirs), middle_ms(wall)


async def _fetch(
    client: GitClient, limiter: trio.CapacityLimiter, place: Place, path: Path
) -> None:
    await blocking(limiter, create_bare, path, place.folder / ".tmp")
    oids = frozenset(place.refs.values())
    async with await client.fetch_oids(path, place.url, oids) as quarantined:
        await quarantined.join()
    await blocking(limiter, align_refs, path, place.refs, HEAD)


def _fetch_with_git(place: Place, path: Path, *, is_new: bool) -> None:
    """Only what the children spend is counted, so that starting them costs git nothing."""
    if is_new:
        git("init", "--quiet", "--bare", str(path))
    oids = dict.fromkeys(place.refs.values())
    git("fetch", "--quiet", "--no-tags", place.url, *oids, folder=path)
    commands = "".join(f"update {name} {oid}\n" for name, oid in place.refs.items())
    git("update-ref", "--stdin", folder=path, stdin=commands.encode())


def _require_same(ours: Path, theirs: Path, place: Place) -> None:
    """A quick fetch that brought something else would be worth nothing."""
    expected = show_refs(place.remote)
    for path in (ours, theirs):
        if show_refs(path) != expected:
            raise RuntimeError(f"{path.name} has not the refs of the remote")
