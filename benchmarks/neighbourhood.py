"""A node is started beside N repositories on D hosts: how soon is everything served?

python -m benchmarks.neighbourhood --repositories 200 --hosts 20
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import Author, announcement, state
from purgatory_sync.testing.node_process import free_port

from .world import (
    Process,
    Usage,
    Watcher,
    git,
    git_servers,
    make_repository,
    node_environment,
    relay,
)

SAME_ATTEMPT_SECS = 10.0
WINDOW_SECS = 60.0
LIMIT_SECS = 400.0
CREATED_AT = 1_750_000_000


@attrs.frozen
class Result:
    """What one run showed; seconds count from the node's start."""

    served: int
    half_secs: float
    most_secs: float
    all_secs: float
    cpu_ms_per_release: float
    peak_mib: float
    most_attempts: int
    wrong_refs: int


def run(repositories: int, hosts: int, *bad: Sequence[str]) -> Result:
    """Make the neighbourhood, start the node, watch.

    Args:
      bad: groups of host:port of servers that have nothing; each repository names one of each
        group before the host that has it.
    """
    with tempfile.TemporaryDirectory(prefix="neighbourhood-") as name:
        folder = Path(name)
        port, git_port, relay_port = free_port(), free_port(), free_port()
        events, expected = _fill(folder / "remote", repositories, hosts, git_port, port, bad)
        binds = [f"127.0.0.{2 + n}:{git_port}" for n in range(hosts)]
        log = folder / "requests.jsonl"
        with (
            git_servers(folder / "remote", binds, log),
            relay(events, folder, f"127.0.0.1:{relay_port}"),
        ):
            return _watch(folder, port, f"ws://127.0.0.1:{relay_port}", expected, log)


def _fill(
    root: Path,
    repositories: int,
    hosts: int,
    git_port: int,
    node_port: int,
    bad: Sequence[Sequence[str]],
) -> tuple[list[Event], dict[str, Mapping[str, str]]]:
    events: list[Event] = []
    expected: dict[str, Mapping[str, str]] = {}
    service = f"127.0.0.1:{node_port}"
    for number in range(repositories):
        author, identifier = Author.from_seed(number + 1), f"repository-{number}"
        path = root / author.npub / f"{identifier}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        refs = make_repository(path, identifier, 3)
        remote = f"http://127.0.0.{2 + number % hosts}:{git_port}"
        place = f"{author.npub}/{identifier}.git"
        before = [f"http://{group[number % len(group)]}/{place}" for group in bad]
        events.append(
            announcement(
                author,
                identifier,
                clone=[f"http://{service}/{place}", *before, f"{remote}/{place}"],
                relays=[f"ws://{service}"],
                created_at=CREATED_AT,
            )
        )
        events.append(
            state(author, identifier, refs, head="refs/heads/main", created_at=CREATED_AT)
        )
        expected[place] = refs
    return events, expected


def _watch(
    folder: Path, port: int, relay_url: str, expected: Mapping[str, Mapping[str, str]], log: Path
) -> Result:
    started = time.monotonic()
    node = Process.start("purgatory_sync", env=node_environment(folder / "node", port, relay_url))
    usage = Usage(node.child.pid)
    watcher = Watcher(f"ws://127.0.0.1:{port}/")
    try:
        watcher.run(len(expected), started + LIMIT_SECS, usage)
        wrong = sum(
            _remote_refs(f"http://127.0.0.1:{port}/{place}") != dict(refs)
            for place, refs in expected.items()
        )
    finally:
        node.stop()
    times = sorted(at - started for at in watcher.seen.values())
    return Result(
        served=len(times),
        half_secs=_at(times, len(expected), 0.5),
        most_secs=_at(times, len(expected), 0.95),
        all_secs=_at(times, len(expected), 1.0),
        cpu_ms_per_release=1000 * usage.cpu_secs / max(1, len(times)),
        peak_mib=usage.peak_mib,
        most_attempts=most_attempts(log),
        wrong_refs=wrong,
    )


def _at(times: list[float], expected: int, part: float) -> float:
    index = max(0, round(expected * part) - 1)
    return times[index] if index < len(times) else float("nan")


def _remote_refs(url: str) -> dict[str, str]:
    lines = git("ls-remote", "--refs", url).splitlines()
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in lines)}


def most_attempts(log: Path) -> int:
    """The most attempts that any host saw in any 60 s.

    An attempt is the first request for a repository and what follows within 10 s.
    """
    starts: dict[str, list[float]] = defaultdict(list)
    last: dict[tuple[str, str], float] = {}
    lines = sorted(map(json.loads, log.read_text().splitlines()), key=lambda line: line["wall"])
    for line in lines:
        repository = line["path"].partition(".git")[0]
        key = line["bind"], repository
        if line["wall"] - last.get(key, -1e9) > SAME_ATTEMPT_SECS:
            starts[line["bind"]].append(line["wall"])
            last[key] = line["wall"]
    return max(
        (
            sum(first <= at < first + WINDOW_SECS for at in times)
            for times in starts.values()
            for first in times
        ),
        default=0,
    )


def main() -> None:
    """Run once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--hosts", type=int, default=20)
    arguments = parser.parse_args()
    result = run(arguments.repositories, arguments.hosts)
    print(f"{arguments.repositories} repositories on {arguments.hosts} hosts")
    for field, value in attrs.asdict(result).items():
        print(f"  {field:20} {value:.2f}" if isinstance(value, float) else f"  {field:20} {value}")


if __name__ == "__main__":
    main()
