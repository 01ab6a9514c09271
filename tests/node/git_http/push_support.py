"""A node with an announced repository, and stock git beside it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.node.node import run_node
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import (
    HuntSettings,
    ListenerSettings,
    PrsSettings,
    PushSettings,
    Settings,
    SyncSettings,
)
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import free_port
from purgatory_sync.testing.nostr_client import NostrClient, nostr_client

from .git_support import ENVIRONMENT, git

OWNER, CONTRIBUTOR = Author.from_seed(1), Author.from_seed(2)
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
RECEIVE = {"content-type": "application/x-git-receive-pack-request"}
ZERO = "0" * 40


@attrs.define
class Home:
    """A running node, a client of its relay, and a work tree."""

    settings: Settings
    address: str
    relay: NostrClient
    tree: Path
    _clock: int = attrs.field(factory=lambda: int(time.time()) - 100)

    @property
    def url(self) -> str:
        return f"http://{self.address}/{OWNER.npub}/repo.git"

    @property
    def bare(self) -> Path:
        return self.settings.git_data_path / OWNER.npub / "repo.git"

    def refs(self) -> dict[str, str]:
        return list_refs(self.bare)

    async def announce(self) -> None:
        event = events.announcement(
            OWNER,
            "repo",
            clone=[self.url],
            relays=[f"ws://{self.address}"],
            created_at=self.tick(),
        )
        await self.publish(event)

    def tick(self) -> int:
        self._clock += 1
        return self._clock

    async def publish(self, event: Event) -> None:
        accepted, message = await self.relay.publish(event)
        assert accepted, message

    async def state(self, *refs: str) -> Event:
        """Publish that the repository shall have these refs as the work tree has them."""
        named = {ref: git("-C", self.tree, "rev-parse", ref) for ref in refs}
        event = events.state(OWNER, "repo", named, created_at=self.tick())
        await self.publish(event)
        return event

    def commit(self, name: str, content: bytes = b"hello\n") -> str:
        (self.tree / name).write_bytes(content)
        git("-C", self.tree, "add", "-A")
        git("-C", self.tree, "commit", "-q", "-m", name)
        return git("-C", self.tree, "rev-parse", "HEAD")

    async def git(self, *arguments: str | Path, check: bool = True) -> str:
        """Run the stock client in the work tree; what it prints for people."""
        with trio.fail_after(30):
            done = await trio.run_process(
                ["git", "-C", str(self.tree), *map(str, arguments)],
                env=ENVIRONMENT,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        said = done.stderr.decode()
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, arguments, stderr=said)
        assert check or done.returncode
        return said

    async def push(self, *arguments: str) -> str:
        return await self.git("push", self.url, *arguments)

    async def refused(self, *arguments: str) -> str:
        return await self.git("push", self.url, *arguments, check=False)


@asynccontextmanager
async def home_in(
    folder: Path,
    push: PushSettings | None = None,
    prs: PrsSettings | None = None,
    base: str = "/",
) -> AsyncIterator[Home]:
    settings = Settings(
        bind_address=f"127.0.0.1:{free_port()}",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
        sync=SyncSettings(plus_enabled=False),
        push=push or PushSettings(),
        prs=prs or PrsSettings(),
        base_path=base,
        listener=ListenerSettings(shutdown_grace_secs=0.5),
    )
    git("init", "-q", "-b", "main", folder / "tree")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, settings)
            async with nostr_client(f"ws://{settings.service}") as relay:
                home = Home(settings, settings.service, relay, folder / "tree")
                await home.announce()
                yield home
            nursery.cancel_scope.cancel()
