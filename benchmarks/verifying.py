"""A verification of many small repositories, beside a `git fsck` for each of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.settings import Settings

from .measuring import Effort, Goal, Line, spending
from .small_repositories import SERVICE, fill
from .world import git

REPOSITORIES = 1_000


def measure_verify(effort: Effort) -> list[Line]:
    """Processor time of `verify` on a stopped node, against git fsck for each repository."""
    count = effort.of(REPOSITORIES)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        settings = Settings(
            domain=SERVICE, git_data_path=folder / "git", relay_data_path=folder / "relay"
        )
        paths = trio.run(fill, settings, count)
        names = [f"r{number}" for number in range(count)]
        with spending() as ours:
            trio.run(_verify, settings, names, count)
        with spending() as everything:
            trio.run(_verify, settings, [], count)
        with spending() as theirs:
            for path in paths:
                git("fsck", "--connectivity-only", folder=path)
    each = 1000 / count
    git_ms = theirs.children * each
    what = f"verifying {count:,} small repositories: processor time of git fsck for each / ours"
    return [
        Line(
            what if spent is ours else "the same with the store and all events",
            theirs.children / spent.cpu,
            "x",
            Goal(5.0, "more") if spent is ours else None,
            f"{spent.cpu * each:.2f} ms each, git {git_ms:.2f} ms",
        )
        for spent in (ours, everything)
    ]


async def _verify(settings: Settings, names: Sequence[str], count: int) -> None:
    async with open_offline(settings) as keepers:
        found = await keepers.verifier.verify(names)
    if (found.repositories, found.found, found.not_looked) != (count, 0, ()):
        raise AssertionError(f"what was to be verified was not: {found}")
