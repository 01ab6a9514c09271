"""Nodes as processes, git servers, a relay and the stock client, all on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client
from purgatory_sync.testing.relay_server import RelayServer

ALICE, BOB, CAROL = (Author.from_seed(number) for number in (1, 2, 3))
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


async def git(*arguments: str | Path, stdin: bytes = b"") -> str:
    """Run the stock client; raises CalledProcessError when it fails."""
    with trio.fail_after(30):
        done = await trio.run_process(
            ["git", *map(str, arguments)], env=ENVIRONMENT, stdin=stdin, capture_stdout=True
        )
    return done.stdout.decode().strip()


async def make_tree(path: Path) -> str:
    """A working tree with a first commit on main; its OID."""
    await git("init", "-q", "-b", "main", path)
    return await commit(path, "first")


async def commit(tree: Path, message: str) -> str:
    """Commit in a working tree; the new tip."""
    await git("-C", tree, "commit", "-q", "--allow-empty", "-m", message)
    return await git("-C", tree, "rev-parse", "HEAD")


async def make_source(path: Path, name: str, commits: int = 2, branch: str = "main") -> str:
    """A bare repository with some commits, unlike those of other names; the tip."""
    await git("init", "-q", "--bare", "-b", branch, path)
    return await grow(path, name, commits, branch)


async def grow(path: Path, name: str, commits: int = 1, branch: str = "main") -> str:
    """Add commits to a branch of a bare repository; the new tip."""
    stream = b""
    for number in range(commits):
        text = f"{name} {number}\n".encode()
        stream += b"commit refs/heads/%b\ncommitter a <a> %d +0000\ndata %d\n%b" % (
            branch.encode(),
            1_700_000_000 + number,
            len(text),
            text,
        )
        stream += b"M 100644 inline %b%d\ndata %d\n%b" % (name.encode(), number, len(text), text)
    there = await git("-C", path, "for-each-ref", f"refs/heads/{branch}")
    if there:
        # Only the first commit needs it; the others follow on what the stream made.
        head, _, tail = stream.partition(b"M 100644")
        stream = head + b"from refs/heads/%b^0\nM 100644" % branch.encode() + tail
    await git("-C", path, "fast-import", "--quiet", stdin=stream)
    return await git("-C", path, "rev-parse", f"refs/heads/{branch}")


async def heads_and_tags(url: str | Path) -> dict[str, str]:
    """What a stock client is told."""
    listed = await git("ls-remote", "--heads", "--tags", "--refs", url)
    return {ref: oid for oid, _, ref in (line.partition("\t") for line in listed.splitlines())}


async def clone_and_check(url: str, folder: Path) -> dict[str, str]:
    """Clone all refs and prove every object; ref → OID."""
    await git("clone", "-q", "--mirror", url, folder)
    await git("-C", folder, "fsck", "--full", "--strict", "--no-dangling")
    listed = await git("-C", folder, "for-each-ref", "--format=%(refname) %(objectname)")
    return dict(line.split(" ", 1) for line in listed.splitlines())


def repository_url(node: NodeProcess, owner: Author, identifier: str = "repo") -> str:
    """Where stock clients find a repository."""
    return f"{node.http_url}/{owner.npub}/{identifier}.git"


async def served(node: NodeProcess, *awaited: Event) -> None:
    """Return when the node serves all of these."""
    async with nostr_client(node.relay_url) as client:
        for event in awaited:
            with trio.move_on_after(15) as waiting:
                await client.wait_for(event.id)
            if waiting.cancelled_caught:
                raise node.failed(f"kind {event.kind} is not served within 15 s")


async def until(holds: Callable[[], bool]) -> None:
    """Return when it holds."""
    for _ in range(750):
        if holds():
            return
        await trio.sleep(0.02)
    raise AssertionError("it does not hold within 15 s")


async def publish(node: NodeProcess, *offered: Event) -> list[str]:
    """Publish as a user does; the texts of OK true."""
    said = []
    async with nostr_client(node.relay_url) as client:
        for event in offered:
            accepted, message = await client.publish(event)
            assert accepted, message
            said.append(message)
    return said


@attrs.define
class Network:
    """All that takes part; it ends with the block.

    Attributes:
      relay: a relay, where events come from.
    """

    folder: Path
    relay: RelayServer
    relay_url: str
    _stack: AsyncExitStack
    _nodes: list[NodeProcess] = attrs.field(factory=list)
    _clock: int = attrs.field(factory=lambda: int(time.time()) - 300)

    def now(self) -> int:
        """A `created_at` that is later than all before."""
        self._clock += 1
        return self._clock

    async def node(
        self, name: str, settings: Mapping[str, str] | None = None, *, follows: str | None = None
    ) -> NodeProcess:
        """Start a node that follows a relay (the test's own, if none is named)."""
        folder = self.folder / name
        folder.mkdir()
        always = {
            "NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8",
            "NGIT_SYNC_BOOTSTRAP_RELAY_URL": self.relay_url if follows is None else follows,
        }
        node = NodeProcess(folder, {**always, **(settings or {})})
        self._nodes.append(node)
        self._stack.push_async_callback(node.aclose)
        await node.start()
        return node

    async def git_server(self, host: str) -> GitServer:
        """Serve the repositories below a folder named like the address."""
        root = self.folder / host
        root.mkdir()
        return await self._stack.enter_async_context(GitServer(root, host))

    def announce(
        self,
        owner: Author,
        *services: NodeProcess,
        clone: tuple[str, ...] = (),
        maintainers: tuple[Author, ...] = (),
        identifier: str = "repo",
    ) -> Event:
        """An announcement that lists these nodes and further clone URLs."""
        return events.announcement(
            owner,
            identifier,
            clone=[*(repository_url(each, owner, identifier) for each in services), *clone],
            relays=[each.relay_url for each in services],
            maintainers=maintainers,
            created_at=self.now(),
        )

    def state(self, author: Author, refs: Mapping[str, str], identifier: str = "repo") -> Event:
        """A state whose HEAD is main."""
        return events.state(author, identifier, refs, head=MAIN, created_at=self.now())

    def check_logs(self) -> None:
        """Nothing went wrong unseen."""
        for node in self._nodes:
            log = node.log.read_text()
            assert "Traceback" not in log, log


@asynccontextmanager
async def network(folder: Path, *, secs: float = 120) -> AsyncIterator[Network]:
    """A relay, and what is started in the block.

    Args:
      secs: the end of a test that hangs; far from what it takes beside busy processes.
    """
    relay = RelayServer()
    with trio.fail_after(secs):
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            port = await nursery.start(relay.serve)
            network = Network(folder, relay, f"ws://127.0.0.1:{port}", stack)
            yield network
            network.check_logs()
            nursery.cancel_scope.cancel()
