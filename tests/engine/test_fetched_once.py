"""Nothing is fetched whole twice for nothing: half an hour of retries at a server that counts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.fetch.requests import fetch_v2, list_refs_v2
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.settings import HuntSettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.packs import encode_pack

from ..git.local_repos import add_pack, history, new_repository
from ..git.packs import blob, commit, oid_of, tree

SERVICE = "grasp.example.com"
NOW = 1_800_000_000
OWNER = Author.from_seed(1)
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
NOWHERE = "12" * 20, "34" * 20
UPLOAD = "application/x-git-upload-pack-request"

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None, reason="the server is git http-backend"
)


@attrs.define(eq=False)
class CountingServer(httpx.AsyncBaseTransport):
    """`git http-backend`, run in place for each request, so that no virtual time passes.

    Attributes:
      size: bytes of all answers' bodies.
      asked: method and path of each request.
    """

    root: Path
    protocol_v2: bool
    size: int = 0
    asked: list[str] = attrs.field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        asked = Path(request.url.path), request.url.query.decode()
        content = request.read() if request.method == "POST" else b""
        protocol = request.headers.get("git-protocol", "") if self.protocol_v2 else ""
        head, body = self.answer(request.method, *asked, content, protocol)
        self.size += len(body)
        status = int(head.pop("Status", "200").split()[0])
        return httpx.Response(status, headers=head, stream=httpx.ByteStream(body))

    def answer(
        self, method: str, path: Path, query: str, content: bytes, protocol: str
    ) -> tuple[dict[str, str], bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": method,
            "PATH_INFO": str(path),
            "QUERY_STRING": query,
            "CONTENT_TYPE": UPLOAD if content else "",
            "CONTENT_LENGTH": str(len(content)),
            "GIT_PROTOCOL": protocol,
        }
        # What it refuses ends it with an error, and is an answer all the same.
        done = subprocess.run(
            ["git", "http-backend"],
            env=environment,
            input=content,
            capture_output=True,
            check=False,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ")[::2] for line in head.decode().split("\r\n")]
        return dict(lines), body

    def bytes_of_a_clone(self, tips: Sequence[str]) -> int:
        """What the answers to stock git's three requests have."""
        path, v2 = Path("/npub/r.git"), "version=2"
        service = "service=git-upload-pack"
        lists = list_refs_v2(["HEAD", "refs/heads/", "refs/tags/"])
        answers = [
            self.answer("GET", path / "info/refs", service, b"", v2),
            self.answer("POST", path / "git-upload-pack", "", lists, v2),
            self.answer("POST", path / "git-upload-pack", "", fetch_v2(tips), v2),
        ]
        return sum(len(body) for _, body in answers)


def put(there: Path, objects: Sequence[GitObject]) -> None:
    """As git takes them without judging them."""
    command = ["git", "-C", str(there), "index-pack", "--stdin"]
    subprocess.run(command, input=encode_pack(objects), capture_output=True, check=True)


def sound(there: Path) -> dict[str, str]:
    """A history of about 400 KB with forty tags."""
    steps = history(40)
    add_pack(there, [item for step in steps for item in step.objects])
    large = blob(Random(5).randbytes(400_000))
    root = tree((b"100644", b"large", large))
    tip = commit(root)
    put(there, [large, root, tip])
    refs = {f"refs/tags/v{number}": step.oid for number, step in enumerate(steps)}
    return {**refs, MAIN: oid_of(tip)}


def hostile(there: Path) -> dict[str, str]:
    """A history that is refused for a path that leads elsewhere."""
    large = blob(Random(5).randbytes(400_000))
    root = tree((b"100644", b"..", large))
    tip = commit(root)
    put(there, [large, root, tip])
    return {MAIN: oid_of(tip)}


@attrs.define(eq=False)
class Scene:
    """A node, and the server of the one repository that it hunts for."""

    server: CountingServer
    settings: Settings
    refs: dict[str, str]
    store: MemoryStore = attrs.field(factory=MemoryStore)
    clock: WallClock = attrs.field(
        factory=lambda: WallClock(NOW - trio.current_time(), lambda: 0.0)
    )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PurgatorySync]:
        with blocking_in_place():
            async with open_engine(
                self.settings, store=self.store, git_transport=self.server, clock=self.clock
            ) as engine:
                yield engine

    async def hold(self, engine: PurgatorySync, wanted: dict[str, str]) -> None:
        announcement = events.announcement(
            OWNER,
            "repo",
            clone=[f"https://{SERVICE}/{OWNER.npub}/repo.git", "https://far.example/npub/r.git"],
            relays=[f"wss://{SERVICE}"],
            created_at=NOW - 100,
        )
        state = events.state(OWNER, "repo", wanted, created_at=NOW - 50)
        for event in (announcement, state):
            assert (await engine.offer(event, "user")).accepted

    def clone_bytes(self) -> int:
        return self.server.bytes_of_a_clone(sorted(set(self.refs.values())))


def scene(tmp_path: Path, fill: Callable[[Path], dict[str, str]], protocol_v2: bool) -> Scene:
    there = new_repository(tmp_path / "root", "r")
    refs = fill(there)
    update_refs(there, refs)
    server = CountingServer(tmp_path / "root", protocol_v2)
    hunt = HuntSettings(min_free_bytes=0)
    return Scene(server, Settings(domain=SERVICE, git_data_path=tmp_path / "git", hunt=hunt), refs)


def wanted_of(refs: dict[str, str], fill: Callable[[Path], dict[str, str]]) -> dict[str, str]:
    return {MAIN: NOWHERE[0], DEV: NOWHERE[1]} if fill is sound else {MAIN: refs[MAIN]}


@pytest.mark.parametrize("protocol_v2", [True, False], ids=["v2", "v0"])
@pytest.mark.parametrize("fill", [sound, hostile])
async def test_b_8_3_half_an_hour_of_retries_costs_no_more_than_a_clone(
    fill: Callable[[Path], dict[str, str]],
    protocol_v2: bool,
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    place = scene(tmp_path, fill, protocol_v2)
    async with place.running() as engine:
        await place.hold(engine, wanted_of(place.refs, fill))
        await trio.sleep(180 + 1800)
        spent = place.server.size
    assert len(place.server.asked) >= 10
    assert place.clone_bytes() > 400_000
    assert spent <= 1.2 * place.clone_bytes()


@pytest.mark.parametrize("fill", [sound, hostile])
async def test_b_8_3_nor_do_restarts(
    fill: Callable[[Path], dict[str, str]], tmp_path: Path, autojump_clock: MockClock
) -> None:
    place = scene(tmp_path, fill, protocol_v2=True)
    async with place.running() as engine:
        await place.hold(engine, wanted_of(place.refs, fill))
        await trio.sleep(200)
    first = place.server.size
    assert first > 400_000
    for _ in range(3):
        async with place.running():
            await trio.sleep(240)
    assert len(place.server.asked) >= 6
    assert place.server.size <= 1.2 * place.clone_bytes()
