"""Pushes as stock clients make them: git and libgit2 against a node (B 4.3, 6.3-6.8)."""

from __future__ import annotations

import gzip
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pygit2
import pytest
import trio
from trio import to_thread

from purgatory_sync.errors import PushRefused
from purgatory_sync.git.repository import list_refs
from purgatory_sync.node.exchange import Exchange
from purgatory_sync.node.git_http import GitHttp
from purgatory_sync.node.git_push import GitPush
from purgatory_sync.node.node import run_node
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import HuntSettings, ListenerSettings, PushSettings, Settings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import free_port
from purgatory_sync.testing.nostr_client import NostrClient, nostr_client

from .git_support import ENVIRONMENT, git
from .support import served

pytestmark = pytest.mark.real

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


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with home_in(tmp_path) as home:
        yield home


@asynccontextmanager
async def home_in(folder: Path, push: PushSettings | None = None) -> AsyncIterator[Home]:
    settings = Settings(
        bind_address=f"127.0.0.1:{free_port()}",
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
        push=push or PushSettings(),
        listener=ListenerSettings(shutdown_grace_secs=0.5),
    )
    git("init", "-q", "-b", "main", folder / "tree")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_node, settings)
            async with nostr_client(f"ws://{settings.bind_address}") as relay:
                home = Home(settings, settings.bind_address, relay, folder / "tree")
                await home.announce()
                yield home
            nursery.cancel_scope.cancel()


async def test_b_6_8_a_first_push_is_served_when_git_returns(home: Home) -> None:
    home.commit("a")
    event = await home.state(MAIN)
    assert not await home.relay.has(event.id)
    await home.push("main")
    assert await home.relay.has(event.id)
    await home.git("clone", "-q", home.url, home.tree / "copy")
    assert git("-C", home.tree / "copy", "rev-parse", "HEAD") == home.refs()[MAIN]
    assert "Everything up-to-date" in await home.push("main")


async def test_forced_deleted_and_tagged(home: Home) -> None:
    first = home.commit("a")
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    await home.push("main", "dev")
    git("-C", home.tree, "commit", "-q", "--amend", "-m", "other")
    git("-C", home.tree, "tag", "-a", "v1", "-m", "release")
    git("-C", home.tree, "tag", "light", first)
    event = await home.state(MAIN, "refs/tags/v1", "refs/tags/light")
    await home.push("--force", "--atomic", "--tags", "main", ":dev")
    assert await home.relay.has(event.id)
    assert set(home.refs()) == {MAIN, "refs/tags/v1", "refs/tags/light"}
    assert home.refs()[MAIN] == git("-C", home.tree, "rev-parse", "main") != first


async def test_a_state_that_only_deletes_takes_effect_before_the_push(home: Home) -> None:
    home.commit("a")
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    await home.push("main", "dev")
    await home.state(MAIN)
    assert set(home.refs()) == {MAIN}
    assert "remote ref does not exist" in await home.refused(":dev")


async def test_two_mebibytes_with_gits_probe(home: Home) -> None:
    home.commit("large", random.Random(1).randbytes(2 << 20))
    await home.state(MAIN)
    said = await home.git("-c", "http.postBuffer=65536", "push", "-v", home.url, "main")
    assert "POST git-receive-pack (chunked)" in said
    assert set(home.refs()) == {MAIN}
    assert not list((home.settings.git_data_path / ".tmp").iterdir())


async def test_from_a_shallow_clone(home: Home) -> None:
    for name in "abc":
        home.commit(name)
    await home.state(MAIN)
    await home.push("main")
    shallow = home.tree / "shallow"
    await home.git("clone", "-q", "--depth=1", home.url, shallow)
    home.tree = shallow
    home.commit("d")
    await home.state(MAIN)
    await home.push("main")
    assert home.refs()[MAIN] == git("-C", shallow, "rev-parse", "main")
    git("-C", home.bare, "fsck", "--strict", "--no-dangling")


async def test_a_cut_history_is_refused_with_what_to_do(home: Home, tmp_path: Path) -> None:
    home.commit("a")
    home.commit("b")
    cut = tmp_path / "cut"
    await home.git("clone", "-q", "--depth=1", f"file://{home.tree}", cut)
    home.tree = cut
    await home.state(MAIN)
    assert "git fetch --unshallow" in await home.refused("main")
    assert home.refs() == {}


async def test_b_6_6_git_prints_the_reason(home: Home) -> None:
    home.commit("a")
    said = await home.refused("main")
    assert "remote error: no state event (kind 30618)" in said
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    said = await home.refused("main")
    assert "refs/heads/dev is missing, the state says" in said
    assert "they belong into one push" in said
    assert home.refs() == {}
    await home.push("main", "dev")


async def test_b_6_6_git_prints_the_reason_of_a_large_push(home: Home) -> None:
    home.commit("large", random.Random(1).randbytes(3 << 20))
    assert "remote error: no state event" in await home.refused("main")


async def test_limits_are_answered_with_a_reason(tmp_path: Path) -> None:
    async with home_in(tmp_path, PushSettings(max_pack_bytes=100_000)) as home:
        home.commit("large", random.Random(1).randbytes(300_000))
        await home.state(MAIN)
        assert "the pack has more than 100000 bytes" in await home.refused("main")


async def test_b_4_3_a_pull_request_before_its_event(home: Home) -> None:
    tip = home.commit("a")
    event = events.pull_request(
        CONTRIBUTOR, [OWNER.coordinate("repo")], tip, created_at=home.tick()
    )
    name = f"refs/nostr/{event.id}"
    await home.push(f"main:{name}")
    assert home.refs() == {name: tip}
    home.commit("b")
    assert "cannot be changed" in await home.refused(f"+main:{name}")
    assert "cannot be deleted" in await home.refused(f":{name}")
    assert (await home.relay.publish(event)) == (True, "")
    assert await home.relay.has(event.id)


async def test_push_options_signed_pushes_and_other_refs(home: Home) -> None:
    home.commit("a")
    await home.state(MAIN)
    await home.push("-o", "ci.skip", "--quiet", "main")
    assert "only branches, tags" in await home.refused("main:refs/notes/x")
    home.commit("b")
    assert "does not support --signed push" in await home.refused("--signed=true", "main")


async def test_two_pushes_at_once(home: Home, tmp_path: Path) -> None:
    home.commit("large", random.Random(1).randbytes(1 << 20))
    await home.state(MAIN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(home.push, "main")
        nursery.start_soon(home.push, "main")
    assert set(home.refs()) == {MAIN}


class Callbacks(pygit2.RemoteCallbacks):
    """What libgit2 tells of a push."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[str, str | None]] = []

    def push_update_reference(self, refname: str, message: str | None) -> None:
        self.answers.append((refname, message))


async def libgit2(home: Home, *refspecs: str) -> list[tuple[str, str | None]]:
    def push() -> list[tuple[str, str | None]]:
        callbacks = Callbacks()
        remote: Any = pygit2.Repository(str(home.tree)).remotes.create_anonymous(home.url)
        remote.push(list(refspecs), callbacks=callbacks)
        return sorted(callbacks.answers)

    return await to_thread.run_sync(push)


async def test_libgit2_pushes_deletes_and_is_refused(home: Home) -> None:
    home.commit("a")
    home.commit("large", random.Random(1).randbytes(2 << 20))
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    assert await libgit2(home, MAIN, DEV) == [(DEV, None), (MAIN, None)]
    git("-C", home.tree, "tag", "v1")
    event = await home.state(MAIN, "refs/tags/v1")
    assert await home.relay.has(event.id)
    assert set(home.refs()) == {MAIN, "refs/tags/v1"}
    home.commit("b")
    git("-C", home.tree, "tag", "v2")
    await home.state(MAIN, "refs/tags/v2")
    answers = await libgit2(home, f"+{MAIN}", "refs/tags/v2", ":refs/tags/v1")
    assert answers == [(MAIN, None), ("refs/tags/v1", None), ("refs/tags/v2", None)]
    assert set(home.refs()) == {MAIN, "refs/tags/v2"}
    home.commit("c")
    with pytest.raises(pygit2.GitError, match="refs/heads/main would be"):
        await libgit2(home, MAIN)


def pkt(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


@attrs.frozen
class Raw:
    """HTTP by hand."""

    home: Home
    http: httpx.AsyncClient

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "git-receive-pack"
    ) -> httpx.Response:
        return await self.http.post(
            f"{self.home.url}/{path}", content=body, headers=headers or RECEIVE
        )


@pytest.fixture
async def raw(home: Home) -> AsyncIterator[Raw]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Raw(home, http)


async def test_info_refs(raw: Raw) -> None:
    url = f"{raw.home.url}/info/refs?service=git-receive-pack"
    for name in (url, url.replace("repo.git", "repo")):
        answer = await raw.http.get(name)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-git-receive-pack-advertisement"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"].startswith("no-cache")
        assert answer.content.startswith(b"001f# service=git-receive-pack\n0000")
        assert f"{ZERO} capabilities^{{}}\0report-status".encode() in answer.content
    assert (await raw.http.head(url)).content == b""
    assert (await raw.http.get(url.replace("repo", "none"))).status_code == 404
    assert (await raw.http.post(url)).status_code == 405


async def test_the_probe(raw: Raw) -> None:
    answer = await raw.post(b"0000")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-git-receive-pack-result"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", b"the request ends before its commands do"),
        (b"00", b"the request ends before its commands do"),
        (b"0000PACK", b"the request holds no command"),
        (pkt(b"shallow " + b"a" * 40) + b"0000", b"the request holds no command"),
        (pkt(b"push-cert\0x") + b"0000", b"signed pushes are not taken"),
        (pkt(b"rm -rf") + b"0000", b"not `old new ref`"),
        (b"GET / HTTP/1.1", b"malformed"),
    ],
)
async def test_b_6_6_what_is_no_push_is_refused_with_200_and_err(
    raw: Raw, body: bytes, reason: bytes
) -> None:
    answer = await raw.post(body)
    assert answer.status_code == 200
    assert answer.content[4:8] == b"ERR "
    assert reason in answer.content
    assert int(answer.content[:4], 16) == len(answer.content)


async def test_gzip_chunked_and_a_report_without_side_band(raw: Raw) -> None:
    body = pkt(f"{ZERO} {ZERO} {MAIN}\0report-status".encode()) + b"0000"
    wanted = b"000eunpack ok\n0017ok refs/heads/main\n0000"
    zipped = gzip.compress(body)
    assert (await raw.post(body)).content == wanted

    async def pieces() -> AsyncIterator[bytes]:
        for byte in zipped:
            yield bytes([byte])

    headers = {**RECEIVE, "content-encoding": "gzip"}
    for content in (zipped, pieces()):
        answer = await raw.http.post(
            f"{raw.home.url}/git-receive-pack", content=content, headers=headers
        )
        assert (answer.status_code, answer.content) == (200, wanted)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda h: {}, 415),
        (lambda h: {"content-type": f"{h['content-type']}; charset=x"}, 415),
        (lambda h: {**h, "content-encoding": "br"}, 415),
        (lambda h: {**h, "content-encoding": "gzip"}, 400),
    ],
)
async def test_requests_that_are_none(
    raw: Raw, change: Callable[[dict[str, str]], dict[str, str]], status: int
) -> None:
    answer = await raw.http.post(
        f"{raw.home.url}/git-receive-pack", content=b"0000", headers=change(RECEIVE)
    )
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_not_hosted_and_other_methods(raw: Raw) -> None:
    other = raw.home.url.replace("repo.git", "none.git")
    assert (await raw.http.post(f"{other}/git-receive-pack", headers=RECEIVE)).status_code == 404
    assert (await raw.http.get(f"{raw.home.url}/git-receive-pack")).status_code == 405
    options = await raw.http.options(f"{raw.home.url}/git-receive-pack")
    assert (options.status_code, options.content) == (204, b"")


class SoftlyExpired:
    """The engine while the announcement has no repository."""

    async def refs(self, npub: str, identifier: str) -> dict[str, str] | None:
        return {} if identifier == "repo" else None

    async def receive(self, *anything: object) -> None:
        raise PushRefused("not now")


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_b_2_7_a_softly_expired_repository_is_an_empty_one(
    tmp_path: Path, version: int
) -> None:
    routes = GitHttp(lambda npub, identifier: None, 1, GitPush(SoftlyExpired(), 1))

    async def http(exchange: Exchange) -> None:
        await routes.answer(exchange)

    async with served(http, real=True) as place:
        url = f"http://127.0.0.1:{place.port}/{OWNER.npub}"
        with trio.fail_after(30):
            await trio.run_process(
                ["git", "-c", f"protocol.version={version}", "clone", "-q", f"{url}/repo.git",
                 str(tmp_path / "copy")],
                env=ENVIRONMENT,
            )  # fmt: skip
        assert git("-C", tmp_path / "copy", "for-each-ref") == ""
        async with httpx.AsyncClient(trust_env=False) as http_client:
            for service, status in (("upload", 200), ("receive", 200), ("other", 403)):
                query = f"info/refs?service=git-{service}-pack"
                assert (await http_client.get(f"{url}/repo/{query}")).status_code == status
                assert (await http_client.get(f"{url}/none/{query}")).status_code == 404


async def test_a_push_that_drips_holds_up_nobody(home: Home) -> None:
    home.commit("a")
    event = await home.state(MAIN)
    tip = git("-C", home.tree, "rev-parse", "main")
    commands = pkt(f"{ZERO} {tip} {MAIN}\0report-status".encode()) + b"0000"
    slow = trio.Event()

    async def drips() -> AsyncIterator[bytes]:
        yield commands + b"PACK"
        await slow.wait()
        yield b"no pack"

    async with httpx.AsyncClient(trust_env=False) as http, trio.open_nursery() as nursery:

        async def push() -> None:
            answer = await http.post(
                f"{home.url}/git-receive-pack", content=drips(), headers=RECEIVE
            )
            assert b"ERR the pack is refused" in answer.content

        nursery.start_soon(push)
        await home.push("main")
        assert await home.relay.has(event.id)
        slow.set()
    assert home.refs() == {MAIN: tip}
