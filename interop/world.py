"""A node, a repository of one owner on it, and programs beside them."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import NostrClient, nostr_client

from .installing import Command

MAIN: Final = "refs/heads/main"
_PROGRAM_SECS: Final = 90
ENVIRONMENT: Final = {
    **{k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "NGIT_"))},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


class Failed(Exception):
    """What was tried did not come out as it should; the message says how."""


async def output(*command: str | Path, stdin: bytes = b"") -> str:
    """What a program prints.

    Raises:
      Failed: it failed, or still runs after 90 s.
    """
    with trio.move_on_after(_PROGRAM_SECS):
        done = await trio.run_process(
            [str(each) for each in command],
            stdin=stdin,
            env=ENVIRONMENT,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        if done.returncode:
            said = (done.stderr + done.stdout).decode(errors="replace").strip()
            raise Failed(said.splitlines()[-1] if said else f"exit code {done.returncode}")
        return done.stdout.decode().strip()
    raise Failed(f"still running after {_PROGRAM_SECS} s")


async def git(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Stock git, as `output`."""
    return await output("git", *arguments, stdin=stdin)


async def answered(command: Command, *arguments: str) -> Any:
    """The last line that a script prints, as JSON."""
    said = (await output(*command, *arguments)).splitlines()
    return json.loads(said[-1]) if said else None


async def history(tree: Path, commits: int) -> str:
    """Make a repository with so many commits, three objects each; its tip."""
    await git("init", "-q", "-b", "main", tree)
    stream = b"".join(
        b"commit refs/heads/main\ncommitter a <a@b> %d +0000\ndata 1\nx\nM 100644 inline f\n"
        b"data 5\n%05d\n" % (1_700_000_000 + each, each)
        for each in range(commits)
    )
    await git("-C", tree, "fast-import", "--quiet", "--force", stdin=stream)
    await git("-C", tree, "reset", "-q", "--hard", "main")
    return await git("-C", tree, "rev-parse", "main")


async def commit(tree: Path) -> str:
    """Add a commit to a work tree; its id."""
    (tree / "more").write_bytes(os.urandom(20))
    await git("-C", tree, "add", "-A")
    await git("-C", tree, "commit", "-q", "-m", "more")
    return await git("-C", tree, "rev-parse", "main")


@asynccontextmanager
async def program(command: Sequence[str], port: int) -> AsyncIterator[None]:
    """A server as a process, from the moment on in which its port is open."""
    process = await trio.lowlevel.open_process(
        list(command), stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env=ENVIRONMENT
    )
    try:
        await _open(process, port)
        yield
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _open(process: trio.Process, port: int) -> None:
    with trio.move_on_after(_PROGRAM_SECS):
        while process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            await trio.sleep(0.1)
    raise Failed("the server did not open its port")


@attrs.define
class Home:
    """A running node, its owner and a folder for what is made beside it."""

    node: NodeProcess
    relay: NostrClient
    folder: Path
    secret: bytes = attrs.field(factory=lambda: os.urandom(32), repr=False)
    _now: int = attrs.field(factory=lambda: int(time.time()) - 500)

    @property
    def owner(self) -> Author:
        """Whose repository it is."""
        return Author(SecretKey(self.secret))

    @property
    def url(self) -> str:
        """The clone URL of the owner's repository."""
        return f"{self.node.http_url}/{self.owner.npub}/repo.git"

    def tick(self) -> int:
        """A `created_at` after all earlier ones."""
        self._now += 1
        return self._now

    def announced(self, *, clone: Sequence[str] = (), relays: Sequence[str] = ()) -> Event:
        """The announcement of the repository; the node's own URLs are in it."""
        return events.announcement(
            self.owner,
            "repo",
            clone=[self.url, *clone],
            relays=[self.node.relay_url, *relays],
            created_at=self.tick(),
        )

    def state(self, tip: str) -> Event:
        """The state with `main` at a commit."""
        refs = {MAIN: tip}
        return events.state(self.owner, "repo", refs, head=MAIN, created_at=self.tick())

    async def publish(self, *published: Event) -> None:
        """Publish at the node's relay.

        Raises:
          Failed: one was refused.
        """
        for each in published:
            accepted, message = await self.relay.publish(each)
            if not accepted:
                raise Failed(f"the node refused kind {each.kind}: {message}")

    async def served(self, *wanted: Event, secs: float = 90) -> None:
        """Wait until the node serves all of them.

        Raises:
          Failed: one is not served in time.
        """
        for each in wanted:
            with trio.move_on_after(secs) as scope:
                await self.relay.wait_for(each.id)
            if scope.cancelled_caught:
                raise Failed(f"kind {each.kind} was not served within {secs:g} s")

    async def refs_are(self, **wanted: str) -> None:
        """Raise Failed unless the node serves these branches and no others."""
        said = await git("ls-remote", "--heads", self.url)
        found = {line.split("\t")[1]: line.split("\t")[0] for line in said.splitlines()}
        if found != {f"refs/heads/{name}": oid for name, oid in wanted.items()}:
            raise Failed(f"the node serves {found}")


@asynccontextmanager
async def home(**settings: str) -> AsyncIterator[Home]:
    """A node in a temporary folder, with settings beside those for tests on one machine."""
    with TemporaryDirectory(prefix="interop-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "node").mkdir()
        usual = {
            "NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8",
            "NGIT_HUNT_MIN_FREE_BYTES": "1MB",
            "NGIT_SYNC_DEFAULT_DELAY_SECS": "1",
            "NGIT_RELAY_EVENTS_PER_MINUTE": "0",
        }
        node = NodeProcess(folder / "node", {**usual, **settings})
        try:
            await node.start()
            async with nostr_client(node.relay_url) as relay:
                yield Home(node, relay, folder)
        except Failed:
            if os.environ.get("INTEROP_LOG"):
                print(node.log.read_text(), file=sys.stderr)
            raise
        finally:
            await node.aclose()
