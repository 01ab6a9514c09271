"""What the demo tells, step by step; each step checks what it shows."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import trio
from rich.console import Console
from rich.table import Table
from trio_util import periodic

from ..nostr.event import Event
from ..testing import events
from ..testing.events import Author
from ..testing.git_server import Fault, GitServer
from ..testing.node_process import NodeProcess
from ..testing.nostr_client import nostr_client
from ..testing.relay_server import RelayServer
from . import git

IDENTIFIER: Final = "lighthouse"
SOURCE: Final = f"{IDENTIFIER}.git"
FORK: Final = "fork.git"
# So that an eye can see the wait, and a slow machine too.
_SLOW: Final = Fault(delay_secs=1.0, times=1)
_RELEASE_SECS: Final = 20.0
_POLL_SECS: Final = 0.02
_IN_FLIGHT: Final = 'purgatory_domain_in_flight{domain="127.0.0.1"}'


class StepFailed(Exception):
    """Something is not as it should be."""


@attrs.frozen
class World:
    """All that takes part: a git server, a relay, and the node as a process."""

    console: Console
    folder: Path
    server: GitServer
    relay: RelayServer
    node: NodeProcess
    owner: Author = attrs.field(factory=lambda: Author.from_seed(1))
    contributor: Author = attrs.field(factory=lambda: Author.from_seed(2))

    @property
    def source(self) -> Path:
        """The repository that only the git server has, at first."""
        return self.folder / "server" / SOURCE

    @property
    def clone_url(self) -> str:
        """The repository at the node."""
        return f"{self.node.http_url}/{self.owner.npub}/{IDENTIFIER}.git"

    def done(self, what: str) -> None:
        """Tell of a step that went as it should."""
        self.console.print(f"  [green]✓[/] {what}")


@asynccontextmanager
async def build_world(console: Console, folder: Path) -> AsyncIterator[World]:
    """Start the git server and the relay, prepare the node; all of it ends with the block."""
    (folder / "server").mkdir()
    (folder / "node").mkdir()
    relay = RelayServer()
    async with GitServer(folder / "server") as server, trio.open_nursery() as nursery:
        port = await nursery.start(relay.serve)
        node = NodeProcess(
            folder / "node",
            {
                "NGIT_SYNC_BOOTSTRAP_RELAY_URL": f"ws://127.0.0.1:{port}",
                "NGIT_SYNC_DEFAULT_DELAY_SECS": "1",
                "NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8",
            },
        )
        try:
            yield World(console, folder, server, relay, node)
        finally:
            await node.aclose()
            nursery.cancel_scope.cancel()


async def tell(world: World) -> None:
    """The whole story.

    Raises:
      StepFailed, GitFailed, NodeFailed, RelayFailed: a step differs from what it should be.
    """
    world.console.rule("A repository that only its git server has")
    refs = await git.make_repository(world.source)
    world.done(
        f"{git.COMMITS} commits, {len(refs)} branches and tags at {world.server.url(SOURCE)}"
    )
    await world.node.start()
    world.done(f"the node listens on {world.node.http_url} and follows the relay")

    world.console.rule("Announcement and state: held, hunted, released")
    state = await release_state(world, refs)
    await compare_clone(world, "first", refs)

    world.console.rule("A pull request whose commit is in a fork")
    await release_pull_request(world)

    world.console.rule("SIGKILL while a new state is held")
    newer = await survive_kill(world, state)
    await compare_clone(world, "second", newer)

    code = await world.node.stop()
    expect(code == 0, f"the node ends with exit code 0 on SIGTERM, not {code}")
    world.done("the node stopped on SIGTERM with exit code 0")


async def release_state(world: World, refs: Mapping[str, str]) -> Event:
    """The relay gets announcement and state; the node brings the objects and serves both."""
    now = int(time.time())
    announcement = events.announcement(
        world.owner,
        IDENTIFIER,
        clone=[world.server.url(SOURCE), world.clone_url],
        relays=[world.node.relay_url],
        created_at=now,
    )
    state = _state(world, refs, now)
    world.server.fail(SOURCE, _SLOW)
    await follow(world, state, "state", SOURCE, lambda: world.relay.publish([announcement, state]))
    async with nostr_client(world.node.relay_url) as client:
        expect(await client.has(announcement.id), "the announcement is served with its first state")
    world.done("announcement and state are served by the node")
    return state


async def release_pull_request(world: World) -> None:
    """The same for a commit that a contributor has in a fork."""
    commit = await git.make_fork(world.source, world.folder / "server" / FORK)
    request = events.pull_request(
        world.contributor,
        [world.owner.coordinate(IDENTIFIER)],
        commit,
        clone=[world.server.url(FORK)],
        created_at=int(time.time()),
    )
    world.server.fail(FORK, _SLOW)
    await follow(world, request, "pr", FORK, lambda: world.relay.publish([request]))
    ref = f"refs/nostr/{request.id}"
    listed = await git.git("ls-remote", world.clone_url, ref)
    expect(listed.split() == [commit, ref], f"the node shows {ref} at {commit}, not {listed!r}")
    clone = world.folder / "pull-request"
    await git.git("init", "-q", "--bare", clone)
    await git.git("-C", clone, "fetch", "-q", world.clone_url, f"{ref}:{ref}")
    await git.git("-C", clone, "fsck", "--full", "--strict", "--no-dangling")
    world.done(f"refs/nostr/{request.id[:8]}… fetched from the node at commit {commit[:10]}")


async def survive_kill(world: World, older: Event) -> Mapping[str, str]:
    """A user's state is answered OK, the node dies in the middle of the hunt, and comes back."""
    await git.add_commits(world.source, "refs/heads/main", git.COMMITS + 1, 5)
    await git.git("-C", world.source, "branch", "-q", "-D", "fix/crash")
    refs = await git.branches_and_tags(world.source)
    state = _state(world, refs, max(older.created_at + 1, int(time.time())))
    world.server.fail(SOURCE, Fault(hang=True))
    async with nostr_client(world.node.relay_url) as client:
        accepted, message = await client.publish(state)
        expect(accepted and message.startswith("purgatory: "), f"it is held, not: {message}")
        world.done(f'a user sent it; the node answered OK "{message}"')
        await until(world, "it is hunted", lambda: _hunted(world))
        expect(not await client.has(state.id), "what is held is not served")
        world.done("its objects are asked for, and the git server hangs")
        await world.node.kill()
    world.done("[bold red]SIGKILL[/]")
    world.server.heal()
    started = trio.current_time()
    await world.node.start()
    async with nostr_client(world.node.relay_url) as client:
        await _served(client.wait_for(state.id), "it is released after the restart")
    secs = trio.current_time() - started
    world.done(f"started again: held again, hunted and released [bold]{secs:.2f} s[/] later")
    return refs


async def follow(
    world: World, event: Event, kind: str, repository: str, publish: Callable[[], Awaitable[None]]
) -> None:
    """Publish, and show when the event was held, hunted and released.

    Args:
      kind: the label that its metric has.
      repository: the one at the git server that has its objects.
    """
    held = f'purgatory_held{{kind="{kind}"}}'
    async with nostr_client(world.node.relay_url) as client:
        published = trio.current_time()
        await publish()
        await until(world, "it is held", lambda: world.node.metric(held))
        waiting = trio.current_time()
        expect(not await client.has(event.id), "what is held is not served")
        await _served(client.wait_for(event.id), "it is released")
        released = trio.current_time()
    asked = [r.time for r in world.server.requests if repository in r.path and r.time > published]
    expect(bool(asked), "its objects came from the git server")
    table = Table("seconds", "", box=None, padding=(0, 2))
    table.add_row("0.00", "published at the relay")
    table.add_row(f"{waiting - published:.2f}", "[yellow]held[/]: accepted, on disk, not served")
    table.add_row(
        f"{min(asked) - published:.2f}", "[blue]hunting[/]: first request at the git server"
    )
    table.add_row(f"{released - published:.2f}", "[green]released[/]: subscribers are told")
    world.console.print(table)
    expect(waiting < released and min(asked) < released, "held and hunted come before released")


async def compare_clone(world: World, name: str, expected: Mapping[str, str]) -> None:
    """Clone from the node with the stock client; every ref, HEAD and all history must be right."""
    clone = world.folder / name
    await git.git("clone", "-q", "--mirror", world.clone_url, clone)
    await git.git("-C", clone, "fsck", "--full", "--strict", "--no-dangling")
    found = await git.branches_and_tags(clone)
    wrong = sorted(r for r in {*found, *expected} if found.get(r) != expected.get(r))
    expect(not wrong, f"every ref of the clone is as the state has it, but not {', '.join(wrong)}")
    head = await git.git("-C", clone, "symbolic-ref", "HEAD")
    expect(head == "refs/heads/main", f"HEAD is refs/heads/main, not {head}")
    commits = await git.git("-C", clone, "rev-list", "--count", "refs/heads/main")
    world.done(
        f"git clone: {len(found)} refs and HEAD as signed, {commits} commits, git fsck clean"
    )


async def until(world: World, what: str, holds: Callable[[], Awaitable[float]]) -> None:
    """Wait until a metric is not zero."""
    with trio.move_on_after(_RELEASE_SECS):
        async for _ in periodic(_POLL_SECS):
            if await holds():
                return
    raise world.node.failed(f"not within {_RELEASE_SECS:g} s: {what}")


def expect(holds: bool, sentence: str) -> None:
    """Fail unless it holds; the sentence says what should be."""
    if not holds:
        raise StepFailed(f"this should be so: {sentence}")


def _state(world: World, refs: Mapping[str, str], created_at: int) -> Event:
    return events.state(
        world.owner, IDENTIFIER, refs, head="refs/heads/main", created_at=created_at
    )


async def _hunted(world: World) -> float:
    return await world.node.metric(_IN_FLIGHT)


async def _served(waiting: Awaitable[None], what: str) -> None:
    with trio.move_on_after(_RELEASE_SECS):
        await waiting
        return
    raise StepFailed(f"not within {_RELEASE_SECS:g} s: {what}")
