"""Offers by kind, in one tree: run as a file with the tree to be measured in PYTHONPATH.

It prints one line of JSON, and uses only what older trees have, too.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import Repo

import purgatory_sync
from purgatory_sync import Settings
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.settings import CurationSettings, PurgatorySettings
from purgatory_sync.testing.events import SOME_TIME, Author, announcement, note, pull_request, state

SERVICE = "grasp.example.com"
NOW = SOME_TIME + 1_000
OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)
ABSENT_OID = "1" * 40
ROOM = PurgatorySettings(
    max_events_per_author=100_000, max_bytes=1 << 40, max_bytes_per_author=1 << 40
)

Offers = Sequence[Event]


class LongestStep(trio.abc.Instrument):
    """The longest time that one task kept the loop from all others.

    Attributes:
      cpu, clock: seconds, of the loop's thread and on the clock (there, other processes disturb).
    """

    def __init__(self) -> None:
        self.cpu = self.clock = 0.0
        self._cpu = self._clock = float("inf")  # no step has begun

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._clock, self._cpu = time.perf_counter(), time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.cpu = max(self.cpu, time.thread_time() - self._cpu)
        self.clock = max(self.clock, time.perf_counter() - self._clock)


def announcing(author: Author, identifier: str = "repo", *, created_at: int = NOW) -> Event:
    """An announcement that lists us."""
    return announcement(
        author,
        identifier,
        clone=[f"https://{SERVICE}/{author.npub}/{identifier}.git"],
        relays=[f"wss://{SERVICE}"],
        created_at=created_at,
    )


def states(refs: int, count: int) -> Offers:
    """States of as many repositories of the owner."""
    return [large(OWNER, f"repository-{number}", refs) for number in range(count)]


def large(author: Author, identifier: str, refs: int) -> Event:
    """A state of so many refs."""
    named = {f"refs/heads/feature-{number}": f"{number + 1:040x}" for number in range(refs)}
    return state(author, identifier, named, head="refs/heads/feature-0", created_at=NOW)


def _announcements(count: int) -> Offers:
    return [announcing(OWNER, f"repository-{number}") for number in range(count)]


def _pull_requests(count: int) -> Offers:
    where = [OWNER.coordinate("repo")]
    return [pull_request(STRANGER, where, f"{n + 1:040x}", created_at=NOW) for n in range(count)]


def _issues(count: int) -> Offers:
    tag = ("a", str(OWNER.coordinate("repo")))
    return [
        note(STRANGER, f"issue {n}", kind=1621, tags=[tag], created_at=NOW) for n in range(count)
    ]


def _refused(refs: int, count: int) -> Offers:
    return [large(STRANGER, f"repository-{number}", refs) for number in range(count)]


# Of each kind: how often it is offered, its events, and what becomes of them.
KINDS: dict[str, tuple[int, Callable[[int], Offers], str]] = {
    "announcement, held": (200, _announcements, "held"),
    "pull request, held": (200, _pull_requests, "held"),
    "issue, served": (200, _issues, "served"),
    "state of 3 refs, held": (200, partial(states, 3), "held"),
    "state of 1,000 refs, held": (20, partial(states, 1_000), "held"),
    "state of 9,500 refs, held": (6, partial(states, 9_500), "held"),
    "a stranger's state of 9,500 refs, refused": (6, partial(_refused, 9_500), "refused"),
    "a stranger's state over 1 MiB, refused": (6, partial(_refused, 19_000), "refused"),
    "a blacklisted author's of 9,500 refs, refused": (6, partial(_refused, 9_500), "refused"),
}


async def prepare(engine: Any, git: Path, kind: str, count: int) -> None:
    """What must be here before the offers: announcements, or a served repository."""
    if kind.startswith("state"):
        for event in _announcements(count):
            await _offer(engine, event, "held")
    elif kind.startswith(("pull", "issue")):
        await _offer(engine, announcing(OWNER), "held")
    if kind.startswith("issue"):
        path = git / OWNER.npub / "repo.git"
        head = _commit(path)
        named = {"refs/heads/main": head}
        await _offer(engine, state(OWNER, "repo", named, created_at=NOW), "served")


def _commit(path: Path) -> str:
    blob, tree, commit = Blob.from_string(b"hello\n"), Tree(), Commit()
    tree.add(b"hello", 0o100644, blob.id)
    commit.tree = tree.id
    commit.author = commit.committer = b"A <a@example.com>"
    commit.author_time = commit.commit_time = SOME_TIME
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"hello\n"
    with Repo(str(path)) as repo:
        for each in (blob, tree, commit):
            repo.object_store.add_object(each)
    return commit.id.decode()


def running(settings: Settings, clock: WallClock) -> Any:
    """What runs an engine in a nursery, as this tree or an older one has it."""
    package: Any = purgatory_sync
    if hasattr(package, "run_engine"):
        return partial(package.run_engine, settings, clock=clock)
    return package.PurgatorySync(settings, clock=clock).run


async def _offer(engine: Any, event: Event, wanted: str) -> None:
    answer = await engine.offer(event, "user")
    if answer.outcome != wanted:
        raise RuntimeError(f"{answer.outcome} instead of {wanted}: {answer.message}")


async def measure(kind: str, part: float) -> dict[str, float]:
    """Offer events of one kind, one after the other."""
    most, make, wanted = KINDS[kind]
    count = max(2, round(most * part))
    offers = make(count)
    lists = CurationSettings(event_blacklist=(STRANGER.npub,))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        git = Path(name) / "git"
        settings = Settings(
            domain=SERVICE,
            git_data_path=git,
            relay_data_path=Path(name) / "relay",
            purgatory=ROOM,
            curation=lists if kind.startswith("a blacklisted") else CurationSettings(),
        )
        async with trio.open_nursery() as nursery:
            clock = WallClock(NOW - trio.current_time())
            engine = await nursery.start(running(settings, clock))
            await prepare(engine, git, kind, count)
            await trio.sleep(0.1)  # what the start began is over
            with _watching() as longest:
                began = time.process_time()
                for event in offers:
                    await trio.lowlevel.checkpoint()
                    await _offer(engine, event, wanted)
                spent = time.process_time() - began
            nursery.cancel_scope.cancel()
    return {
        "cpu_us": 1e6 * spent / count,
        "held_ms": 1e3 * longest.cpu,
        "held_clock_ms": 1e3 * longest.clock,
    }


@contextmanager
def _watching() -> Iterator[LongestStep]:
    longest = LongestStep()
    trio.lowlevel.add_instrument(longest)
    try:
        yield longest
    finally:
        trio.lowlevel.remove_instrument(longest)


def main(part: float) -> None:
    """Measure every kind on one core and print the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:  # as the node runs it
        from purgatory_sync.node.process.heap import spare_the_collector
    except ImportError:
        from purgatory_sync.node.memory import spare_the_collector  # type: ignore
    spare_the_collector()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = {kind: trio.run(measure, kind, part) for kind in KINDS}
    print(json.dumps(found))


if __name__ == "__main__":
    main(float(sys.argv[1]))
