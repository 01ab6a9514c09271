"""Mission N1 with pushes: a node that is killed at any moment has lost nothing and serves no lie.

KILLS=50 python -m pytest tests/integration/test_killing.py
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import attrs
import pytest
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import NostrClient, RelayFailed, nostr_client

from .support import (
    ENVIRONMENT,
    Network,
    clone_and_check,
    git,
    heads_and_tags,
    network,
    repository_url,
)

KILLS: Final = int(os.environ.get("KILLS", "8"))
ANSWERED: Final = 4 * KILLS
CLIENTS: Final = 3
LONGEST_LIFE_SECS: Final = 1.2
LONGEST_START_SECS: Final = 1.5
KILLED_AT_STARTS: Final = 0.2
RELEASE_SECS: Final = 20.0
STEPS_OF_A_REPOSITORY: Final = 5


@attrs.define
class Repository:
    """What one repository was promised to be.

    Attributes:
      promised: the newest state of which a push was answered OK.
      offered: every state that was sent, with any answer.
      requests: pull requests of which a push was answered OK → their commit.
      mirrored: whether a co-maintainer's announcement of it was answered OK.
    """

    announcement: Event
    identifier: str
    promised: Event | None = None
    offered: list[Event] = attrs.field(factory=list)
    requests: dict[str, str] = attrs.field(factory=dict)
    mirrored: bool = False


@attrs.define
class Client:
    """One maintainer at work: what a killed node leaves undone is done again at the next one."""

    net: Network
    node: NodeProcess
    owner: Author
    co_maintainer: Author
    chance: random.Random
    killed: trio.Event = attrs.field(factory=trio.Event)
    accepted: list[Event] = attrs.field(factory=list)
    pushes: int = 0
    repositories: list[Repository] = attrs.field(factory=list)
    _steps: list[Callable[[NostrClient], Awaitable[None]]] = attrs.field(factory=list)

    @property
    def answered(self) -> int:
        return len(self.accepted) + self.pushes

    @property
    def tree(self) -> Path:
        return self.net.folder / self.owner.pubkey

    async def work(self) -> None:
        """Go on until the node is gone."""
        try:
            async with nostr_client(self.node.relay_url) as relay:
                while True:
                    if not self._steps:
                        await self._plan()
                    await self._steps[0](relay)
                    del self._steps[0]
        except (RelayFailed, OSError, EOFError, subprocess.CalledProcessError):
            if not self.killed.is_set():
                raise

    async def _plan(self) -> None:
        """What comes next: a new repository, or a change of the current one."""
        if not self.repositories or len(self.repositories[-1].offered) >= STEPS_OF_A_REPOSITORY:
            identifier = f"r{len(self.repositories)}"
            announcement = self.net.announce(
                self.owner, self.node, identifier=identifier, maintainers=(self.co_maintainer,)
            )
            self.repositories.append(Repository(announcement, identifier))
            self._steps.append(lambda relay: self._publish(relay, announcement))
            await git("init", "-q", "--bare", "-b", "main", self.tree / f"{identifier}.git")
        repository = self.repositories[-1]
        bare = self.tree / f"{repository.identifier}.git"
        refs = await self._change(bare)
        state = self.net.state(self.owner, refs, repository.identifier)
        repository.offered.append(state)
        self._steps.append(lambda relay: self._publish(relay, state))
        self._steps.append(lambda _: self._push(repository, state))
        if self.chance.random() < 0.4:
            mirror = self.net.announce(
                self.co_maintainer,
                self.node,
                identifier=repository.identifier,
                maintainers=(self.owner,),
            )
            position = self.chance.randrange(len(self._steps) + 1)
            self._steps.insert(position, lambda relay: self._mirror(relay, repository, mirror))
        if len(repository.offered) % 2:
            coordinate = self.owner.coordinate(repository.identifier)
            commit = await self._commit(bare, refs["refs/heads/main"])
            request = events.pull_request(
                self.owner, [coordinate], commit, created_at=self.net.now()
            )
            both = [
                lambda relay: self._publish(relay, request),
                lambda _: self._push_request(repository, request.id, commit),
            ]
            self._steps += self.chance.sample(both, 2)

    async def _change(self, bare: Path) -> dict[str, str]:
        """A commit on main; dev and a tag come and go, main is sometimes written anew."""
        listed = await heads_and_tags(bare)
        main = listed.get("refs/heads/main")
        start = None if self.chance.random() < 0.2 else main
        await git("-C", bare, "update-ref", "refs/heads/main", await self._commit(bare, start))
        for ref in ("refs/heads/dev", "refs/tags/v1"):
            if self.chance.random() < 0.5:
                deleted = ["-d", ref] if ref in listed else [ref, "refs/heads/main"]
                await git("-C", bare, "update-ref", *deleted)
        return await heads_and_tags(bare)

    async def _commit(self, bare: Path, parent: str | None) -> str:
        blob = await git(
            "-C", bare, "hash-object", "-w", "--stdin", stdin=self.chance.randbytes(99)
        )
        tree = await git("-C", bare, "mktree", stdin=f"100644 blob {blob}\tfile\n".encode())
        parents = ["-p", parent] if parent else []
        return await git("-C", bare, "commit-tree", tree, *parents, "-m", "change")

    async def _publish(self, relay: NostrClient, event: Event) -> None:
        accepted, message = await relay.publish(event)
        assert accepted, message
        self.accepted.append(event)

    async def _mirror(self, relay: NostrClient, repository: Repository, event: Event) -> None:
        await self._publish(relay, event)
        repository.mirrored = True

    async def _push(self, repository: Repository, state: Event) -> None:
        every = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        await self._git_push(repository, "--prune", *every)
        repository.promised = state

    async def _push_request(self, repository: Repository, name: str, commit: str) -> None:
        await self._git_push(repository, f"{commit}:refs/nostr/{name}")
        repository.requests[name] = commit

    async def _git_push(self, repository: Repository, *refspecs: str) -> None:
        bare = self.tree / f"{repository.identifier}.git"
        url = repository_url(self.node, self.owner, repository.identifier)
        done = await trio.run_process(
            ["git", "-C", str(bare), "push", "-q", url, *refspecs],
            env=ENVIRONMENT,
            capture_stderr=True,
            check=False,
        )
        said = done.stderr.decode()
        # A node that lives has no reason to refuse; one that dies cannot give any.
        assert "remote error" not in said, said
        assert "[remote rejected]" not in said, said
        done.check_returncode()
        self.pushes += 1


async def check_events(client: Client) -> None:
    """Each event that was answered OK is still known."""
    async with nostr_client(client.node.relay_url) as relay:
        for event in client.accepted:
            accepted, message = await relay.publish(event)
            assert (accepted, message.partition(" ")[0]) == (True, "duplicate:"), message
        for repository in client.repositories:
            for name in repository.requests:
                if any(event.id == name for event in client.accepted):
                    await served(relay, client.node, name)


async def served(relay: NostrClient, node: NodeProcess, event_id: str) -> None:
    with trio.move_on_after(RELEASE_SECS):
        await relay.wait_for(event_id)
        return
    raise node.failed(f"{event_id} was answered OK and is not served")


async def check_repository(client: Client, repository: Repository, copy: Path) -> None:
    """Its refs are those of a state that is served, none older than what was promised."""
    states = repository.offered
    async with nostr_client(client.node.relay_url) as relay:
        serving = [state for state in states if await relay.has(state.id)]
        assert len(serving) <= 1
        assert not serving or await relay.has(repository.announcement.id)
    if repository.promised is not None:
        assert serving, "a push was answered OK and nothing is served"
        assert states.index(serving[0]) >= states.index(repository.promised)
    if repository.announcement not in client.accepted:
        return
    url = repository_url(client.node, client.owner, repository.identifier)
    if not serving:
        assert await heads_and_tags(url) == {}
        return
    found = await clone_and_check(url, copy)
    nostr = {ref: oid for ref, oid in found.items() if ref.startswith("refs/nostr/")}
    aligned = {ref: oid for ref, oid in found.items() if ref not in nostr}
    assert aligned == {tag[0]: tag[1] for tag in serving[0].tags if tag[0].startswith("refs/")}
    pushed = {f"refs/nostr/{name}": oid for name, oid in repository.requests.items()}
    assert pushed.items() <= nostr.items()
    if repository.mirrored:
        await check_mirror(client, repository, aligned, copy.with_name(f"mirror-{copy.name}"))


async def check_mirror(
    client: Client, repository: Repository, aligned: dict[str, str], copy: Path
) -> None:
    """The co-maintainer's repository is the same, a moment after the start at the latest (B 9)."""
    url = repository_url(client.node, client.co_maintainer, repository.identifier)
    with trio.move_on_after(RELEASE_SECS):
        while await heads_and_tags(url) != aligned:  # noqa: ASYNC110 - another process aligns
            await trio.sleep(0.1)
    found = await clone_and_check(url, copy)
    assert {ref: oid for ref, oid in found.items() if ref in aligned} == aligned
    assert all(ref.startswith("refs/nostr/") for ref in found.keys() - aligned.keys())


async def kill_starts(node: NodeProcess, chance: random.Random) -> int:
    """Kill it while it heals what the last kill left, before it listens or just then; how often."""
    kills = 0
    while chance.random() < KILLED_AT_STARTS:
        with trio.move_on_after(chance.uniform(0.1, LONGEST_START_SECS)):
            await node.start()
        await node.kill()
        kills += 1
    return kills


@pytest.mark.real
async def test_n1_killed_amid_pushes(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    async with network(tmp_path, secs=60 + 12 * KILLS) as net:
        node = await net.node("node", {"NGIT_LOG_LEVEL": "warning"})
        clients = [
            Client(
                net,
                node,
                Author.from_seed(seed),
                Author.from_seed(seed + CLIENTS),
                random.Random(seed),
            )
            for seed in range(1, CLIENTS + 1)
        ]
        for client in clients:
            client.tree.mkdir()
        kills = 0
        while kills < KILLS or sum(client.answered for client in clients) < ANSWERED:
            if kills:
                kills += await kill_starts(node, chance)
                await node.start()
            killed = trio.Event()
            async with trio.open_nursery() as nursery:
                for client in clients:
                    client.killed = killed
                    nursery.start_soon(client.work)
                await trio.sleep(chance.uniform(0.05, LONGEST_LIFE_SECS))
                killed.set()
                await node.kill()
            kills += 1
        await node.start()
        for client in clients:
            await check_events(client)
            for repository in client.repositories:
                copy = tmp_path / f"{repository.identifier}-{client.owner.pubkey}"
                await check_repository(client, repository, copy)
        accepted = sum(len(client.accepted) for client in clients)
        pushed = sum(client.pushes for client in clients)
        mirrored = sum(each.mirrored for client in clients for each in client.repositories)
        print(  # noqa: T201
            f"{kills} kills: {accepted} events and {pushed} pushes were answered OK; "
            f"{mirrored} repositories of co-maintainers"
        )
        assert pushed > 0
        assert mirrored > 0
