"""The data folders of a node that serves many small repositories."""

from __future__ import annotations

import shutil
from contextlib import aclosing
from pathlib import Path

from purgatory_sync.filenames import to_file_name
from purgatory_sync.settings import Settings
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from .world import git, make_repository

COMMITS = 5
SERVICE = "git.example"
OWNER = Author.from_seed(1)
CREATED_AT = 1_700_000_000


async def fill(settings: Settings, count: int) -> list[Path]:
    """Make so many repositories `r0`, `r1` … of one owner, served at once; their paths.

    All have the same history; `base.git` beside the folders has it, too.
    """
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
            path = settings.git_data_path / OWNER.npub / to_file_name(f"{name}.git")
            shutil.copytree(base, path)
            paths.append(path)
            clone = [f"https://{SERVICE}/{OWNER.npub}/{name}.git"]
            relays = [f"wss://{SERVICE}"]
            announced = events.announcement(
                OWNER, name, clone=clone, relays=relays, created_at=CREATED_AT
            )
            save += [announced, events.state(OWNER, name, refs, created_at=CREATED_AT)]
        await store.apply(Change(save=save))
    return paths
