"""A node as a process that serves one repository, which stock git pushed to it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
from websockets.sync.client import ClientConnection, connect

from purgatory_sync.nostr.event import Event, encode_event
from purgatory_sync.testing.events import Author, announcement, state
from purgatory_sync.testing.node_process import free_port

from .world import START_SECS, Process, git, make_repository, node_environment

IDENTIFIER = "repository"


@attrs.frozen
class Serving:
    """The node, and what it serves.

    Attributes:
      pid: of the node.
      relay_url: where Nostr clients connect.
      clone_url: where git clients connect.
      bare: the repository on the node's disk.
      refs: of the repository.
    """

    pid: int
    relay_url: str
    clone_url: str
    bare: Path
    owner: Author
    refs: Mapping[str, str]


@contextmanager
def serving_node(folder: Path, commits: int) -> Iterator[Serving]:
    """Start a node, announce a repository with that many commits, push it."""
    port, owner = free_port(), Author.from_seed(1)
    place = f"{owner.npub}/{IDENTIFIER}.git"
    source = folder / "source.git"
    refs = make_repository(source, IDENTIFIER, commits)
    # Nothing listens there: this node follows no relay.
    environment = node_environment(folder / "node", port, f"ws://127.0.0.1:{free_port()}")
    node = Process.start("purgatory_sync", env=environment)
    serving = Serving(
        node.child.pid,
        f"ws://127.0.0.1:{port}",
        f"http://127.0.0.1:{port}/{place}",
        folder / "node" / "git" / place,
        owner,
        refs,
    )
    try:
        with _connected(serving.relay_url) as relay:
            now = int(time.time())
            announced = announcement(
                owner,
                IDENTIFIER,
                clone=[serving.clone_url],
                relays=[serving.relay_url],
                created_at=now,
            )
            _publish(relay, announced)
            _publish(relay, state(owner, IDENTIFIER, refs, created_at=now))
        git("push", "--quiet", "--mirror", serving.clone_url, folder=source)
        yield serving
    finally:
        node.stop()


def _connected(url: str) -> ClientConnection:
    deadline = time.monotonic() + START_SECS
    while True:
        try:
            return connect(url, proxy=None)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _publish(relay: ClientConnection, event: Event) -> None:
    relay.send(b'["EVENT",' + encode_event(event) + b"]", text=True)
    answer = json.loads(relay.recv(timeout=START_SECS))
    assert answer[2], answer
