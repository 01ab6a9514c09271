"""A verification of many small repositories, beside a `git fsck` for each of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import trio

from purgatory_sync.engine.keeping.offline import open_offline
from purgatory_sync.filenames import to_file_name
from purgatory_sync.settings import Settings
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from .measuring import Effort, Goal, Line, spending
from .world import git, make_repository

REPOSITORIES = 1_000
COMMITS = 5
SERVICE = "git.example"
CREATED_AT = 1_700_000_000


def measure_verify(effort: Effort) -> list[Line]:
    """Processor time of `verify` on a stopped node, against git fsck for each repository."""
    count = effort.of(REPOSITORIES)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        settings = Settings(
            domain=SERVICE, git_data_path=folder / "git", relay_data_path=folder / "relay"
        )
        paths = trio.run(_fill, settings, count)
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


async def _fill(settings: Settings, count: int) -> list[Path]:
    author = Author.from_seed(1)
    base = settings.relay_data_path.parent / "base.git"
    refs = make_repository(base, "base", COMMITS)
    git("repack", "-a", "-d", "-q", folder=base)
    (base / "HEAD").write_text("ref: refs/heads/main\n")
    settings.git_data_path.mkdir()
    shutil.rmtree(base / "hooks", ignore_errors=True)
    async with aclosing(await open_store(settings.relay_data_path)) as store:
        paths, save = [], []
        for number in range(count):
            name = f"r{number}"
            path = settings.git_data_path / author.npub / to_file_name(f"{name}.git")
            shutil.copytree(base, path)
            paths.append(path)
            clone = [f"https://{SERVICE}/{author.npub}/{name}.git"]
            relays = [f"wss://{SERVICE}"]
            announced = events.announcement(
                author, name, clone=clone, relays=relays, created_at=CREATED_AT
            )
            save += [announced, events.state(author, name, refs, created_at=CREATED_AT)]
        await store.apply(Change(save=save))
    return paths


async def _verify(settings: Settings, names: Sequence[str], count: int) -> None:
    async with open_offline(settings) as keepers:
        found = await keepers.verifier.verify(names)
    if (found.repositories, found.found, found.not_looked) != (count, 0, ()):
        raise AssertionError(f"what was to be verified was not: {found}")
