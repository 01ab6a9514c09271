"""What every git client and every git server is put to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from purgatory_sync.testing.node_process import free_port

from .installing import Command
from .table import Row
from .trial import row_of
from .world import Failed, commit, git, history, home, output, program

CLIENT: Final = "push of a first and a second state, clone with all objects"
EMPTY: Final = "clone of a repository that waits for its first push"
SERVER: Final = "hunt of 9,000 objects, then of one commit more"
_COMMITS: Final = 3_000
Serve = Callable[[Path, int], Command]
"""The command of a server, by the folder that holds `repo.git` and by its port."""


async def try_git_client(software: str, command: Command, tried: str = CLIENT) -> list[Row]:
    """Try a client of the node.

    Args:
      command: takes `clone URL FOLDER` and `push FOLDER URL` (of refs/heads/main).
      tried: what its row says, where git does one of the two for it.
    """
    return [
        await row_of(software, "git client", tried, partial(_push_and_clone, command)),
        await row_of(software, "git client", EMPTY, partial(_clone_empty, command)),
    ]


async def try_git_server(software: str, serve: Serve, path: str = "repo.git") -> list[Row]:
    """Try a server of the node; `path` is where it shows its `repo.git`."""
    return [await row_of(software, "git server", SERVER, partial(_hunt, serve, path))]


async def _push_and_clone(command: Command) -> None:
    async with home() as here:
        tree, copy = here.folder / "tree", here.folder / "copy"
        first = await history(tree, 10)
        state = here.state(first)
        await here.publish(here.announced(), state)
        await output(*command, "push", tree, here.url)
        await here.served(state)
        await here.refs_are(main=first)
        second = await commit(tree)
        await here.publish(here.state(second))
        await output(*command, "push", tree, here.url)
        await here.refs_are(main=second)
        await output(*command, "clone", here.url, copy)
        if (head := await git("-C", copy, "rev-parse", "HEAD")) != second:
            raise Failed(f"HEAD of the clone is {head}")
        await git("-C", copy, "fsck", "--full", "--strict")


async def _clone_empty(command: Command) -> None:
    async with home() as here:
        await here.publish(here.announced())
        await output(*command, "clone", here.url, here.folder / "copy")
        await git("-C", here.folder / "copy", "rev-parse", "--git-dir")


async def _hunt(serve: Serve, path: str) -> None:
    async with home() as here:
        tree, root, port = here.folder / "tree", here.folder / "root", free_port()
        tip = await history(tree, _COMMITS)
        await git("clone", "-q", "--bare", tree, root / "repo.git")
        async with program(serve(root, port), port):
            state = here.state(tip)
            url = f"http://127.0.0.1:{port}/{path}"
            await here.publish(here.announced(clone=[url]), state)
            await here.served(state)
            await here.refs_are(main=tip)
            second = await commit(tree)
            await git("-C", tree, "push", "-q", root / "repo.git", "main")
            newer = here.state(second)
            await here.publish(newer)
            await here.served(newer)
            await here.refs_are(main=second)
