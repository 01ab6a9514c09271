"""How a relay tests what it does with the engine: git servers are a function, and nothing listens.

`httpx.MockTransport` calls the function for each request to a git server. Here one server is busy
at first, so that the event is held; then it has the commit, and the event is released.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import httpx
import trio
from dulwich.object_format import SHA1
from dulwich.objects import Commit, Tree
from dulwich.pack import write_pack_objects

from purgatory_sync import Event, MemoryStore, Outcome, Settings, open_engine
from purgatory_sync.settings import SyncSettings
from purgatory_sync.testing import Author, announcement, state

HERE = "relay.example"
RESULT = {"Content-Type": "application/x-git-upload-pack-result"}


def pkt(data: bytes) -> bytes:
    """A pkt-line."""
    return b"%04x%b" % (len(data) + 4, data)


def first_commit() -> tuple[str, bytes]:
    """The id of a commit with an empty tree, and a pack of both."""
    tree, commit = Tree(), Commit()
    commit.tree, commit.message = tree.id, b"Begin"
    commit.author = commit.committer = b"Alice <alice@example.com>"
    commit.author_time = commit.commit_time = 1_700_000_000
    commit.author_timezone = commit.commit_timezone = 0
    pack = BytesIO()
    write_pack_objects(pack, [tree, commit], SHA1)
    return commit.id.decode(), pack.getvalue()


async def test_an_event_is_served_once_its_commit_is_here(tmp_path: Path) -> None:
    commit, pack = first_commit()
    requests: list[httpx.Request] = []

    def git_server(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if len(requests) == 1:
            return httpx.Response(503, headers={"Retry-After": "1"})
        content = pkt(b"packfile\n") + pkt(b"\x01" + pack) + b"0000"
        return httpx.Response(200, headers=RESULT, content=content)

    served: dict[str, trio.Event] = {}

    def notify(event: Event) -> None:
        served.setdefault(event.id, trio.Event()).set()

    settings = Settings(
        domain=HERE,
        git_data_path=tmp_path / "git",
        relay_data_path=tmp_path / "relay",
        sync=SyncSettings(base_backoff_secs=1),
    )
    alice = Author.from_seed(1)
    here = f"https://{HERE}/{alice.npub}/tool.git"
    events = [
        announcement(
            alice, "tool", clone=[here, "https://git.example/tool.git"], relays=[f"wss://{HERE}"]
        ),
        state(alice, "tool", {"refs/heads/main": commit}),
    ]
    transport = httpx.MockTransport(git_server)
    async with open_engine(
        settings, store=MemoryStore(), notify=notify, git_transport=transport
    ) as engine:
        for event in events:
            answer = await engine.offer(event, origin="sync")
            assert answer.outcome is Outcome.HELD
        with trio.fail_after(60):
            for event in events:
                await served.setdefault(event.id, trio.Event()).wait()
    assert {request.url.host for request in requests} == {"git.example"}
    assert len(requests) == 2
