"""Fetches from a real `git http-backend` into real repositories, over real sockets."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from dulwich.objects import Blob

from purgatory_sync.errors import (
    AttemptFailed,
    ConnectFailed,
    NotHttp,
    ObjectsRefused,
    ProtocolBroken,
    RepositoryUnavailable,
    TimedOut,
    TlsFailed,
)
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.git_server import Fault, GitServer

from ...passing_on import CERTIFICATE, tls_in_front_of
from ..local_repos import (
    MADE_UP,
    add_loose,
    add_pack,
    git,
    history,
    new_repository,
    oid_of,
    write_loose_ref,
)
from ..scripted import Observed

pytestmark = pytest.mark.real

STEPS = history(3)
OIDS = [step.oid for step in STEPS]
LOOPBACK = networks("127.0.0.0/8")
STOCK = {
    "uploadpack.allowTipSHA1InWant": "false",
    "uploadpack.allowReachableSHA1InWant": "false",
    "uploadpack.allowAnySHA1InWant": "false",
}


@asynccontextmanager
async def client_for(
    tmp_path: Path, settings: HuntSettings | None = None
) -> AsyncIterator[GitClient]:
    gate = Gate(LOOPBACK)
    settings = settings or HuntSettings(min_free_bytes=0)
    async with GitClient(settings, gate, tmp_path / "quarantine") as client:
        yield client
    assert list((tmp_path / "quarantine").glob("*")) == []


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A folder with r.git: three commits on main, the second also at refs/nostr."""
    path = new_repository(tmp_path / "upstream")
    add_pack(path, [item for step in STEPS for item in step.objects])
    write_loose_ref(path, "refs/heads/main", OIDS[2])
    write_loose_ref(path, "refs/nostr/" + "1" * 64, OIDS[1])
    return path.parent


@pytest.mark.parametrize("protocol_v2", [True, False])
async def test_a_repository_and_an_increment(
    protocol_v2: bool, tmp_path: Path, upstream: Path
) -> None:
    repository = new_repository(tmp_path / "here")
    async with (
        GitServer(upstream, protocol_v2=protocol_v2) as server,
        client_for(tmp_path) as client,
    ):
        url = server.url("r.git")
        git(upstream / "r.git", "update-ref", "refs/heads/old", OIDS[1])
        async with await client.fetch_oids(repository, url, [OIDS[1]]) as proven:
            await proven.join()
        assert proven.objects == 6
        write_loose_ref(repository, "refs/heads/main", OIDS[1])
        observer = Observed()
        async with await client.fetch_oids(repository, url, [OIDS[2]], observer) as proven:
            await proven.join()
        assert proven.objects == 3
        assert observer.pack_bytes == proven.pack_bytes > 0
    git(repository, "fsck", "--full", "--strict")
    assert git(repository, "rev-list", "--count", OIDS[2]).strip() == "3"
    methods = [request.method for request in server.requests]
    assert methods == (["POST"] * 2 if protocol_v2 else ["POST", "GET", "POST", "POST"])


@pytest.mark.parametrize("protocol_v2", [True, False])
async def test_a_missing_object_does_not_hold_up_the_others(
    protocol_v2: bool, tmp_path: Path, upstream: Path
) -> None:
    repository = new_repository(tmp_path / "here")
    async with (
        GitServer(upstream, protocol_v2=protocol_v2, config=STOCK) as server,
        client_for(tmp_path) as client,
    ):
        url = server.url("r.git")
        proven = await client.fetch_oids(repository, url, [MADE_UP, OIDS[2], "34" * 20])
        assert proven.obtained == {OIDS[2]}
        assert len(server.requests) == 3
        with pytest.raises(ObjectsRefused):
            await client.fetch_oids(repository, server.url("empty.git"), [OIDS[0]])


@pytest.fixture(autouse=True)
def _empty(upstream: Path) -> None:
    git(upstream, "init", "-q", "--bare", "empty.git")


@pytest.fixture
def large_blob(upstream: Path) -> str:
    """Three million bytes that do not compress, tagged in r.git."""
    path = upstream / "r.git"
    blob = Blob.from_string(Random(7).randbytes(3_000_000))
    add_loose(path, [blob])
    git(path, "tag", "blob", oid_of(blob))
    return oid_of(blob)


async def test_a_large_pack_goes_by_the_disk(
    tmp_path: Path, upstream: Path, large_blob: str
) -> None:
    repository = new_repository(tmp_path / "here")
    async with GitServer(upstream) as server, client_for(tmp_path) as client:
        url = server.url("r.git")
        async with await client.fetch_oids(repository, url, [large_blob, OIDS[2]]) as proven:
            assert proven.pack_bytes > 3_000_000
            await proven.join()
    assert present_oids(repository, [large_blob]) == {large_blob}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=404), RepositoryUnavailable),
        (Fault(hang=True), TimedOut),
        (Fault(stall_at=100), TimedOut),
        (Fault(cut_at=100), ProtocolBroken),
    ],
)
async def test_faults_have_their_errors(
    fault: Fault, expected: type[AttemptFailed], tmp_path: Path, upstream: Path
) -> None:
    repository = new_repository(tmp_path / "here")
    quick = HuntSettings(min_free_bytes=0, idle_timeout_secs=0.3)
    async with GitServer(upstream) as server, client_for(tmp_path, quick) as client:
        server.fail("r.git", fault)
        with pytest.raises(expected):
            await client.fetch_oids(repository, server.url("r.git"), [OIDS[2]])
        server.heal()
        await client.fetch_oids(repository, server.url("r.git"), [OIDS[2]])


async def test_cancelling_ends_a_transfer_within_a_second(tmp_path: Path, upstream: Path) -> None:
    repository = new_repository(tmp_path / "here")
    over = trio.Event()
    async with (
        GitServer(upstream, on_request=lambda request: over.set()) as server,
        client_for(tmp_path) as client,
    ):
        server.fail("r.git", Fault(stall_at=100))
        with trio.move_on_after(0.3) as scope:
            await client.fetch_oids(repository, server.url("r.git"), [OIDS[2]])
        assert scope.cancelled_caught
        assert trio.current_time() - scope.deadline < 1
        with trio.fail_after(5):  # the server's child is gone with its connection
            await over.wait()


async def test_no_server_listens(tmp_path: Path, upstream: Path) -> None:
    repository = new_repository(tmp_path / "here")
    async with GitServer(upstream) as server:
        url = server.url("r.git")
    async with client_for(tmp_path) as client:
        with pytest.raises(ConnectFailed):
            await client.fetch_oids(repository, url, [OIDS[2]])


async def loopback(host: str) -> list[str]:
    return ["127.0.0.1"]


async def test_certificates_are_judged_by_name_and_issuer(tmp_path: Path, upstream: Path) -> None:
    repository = new_repository(tmp_path / "here")
    settings, gate = HuntSettings(min_free_bytes=0), Gate(LOOPBACK, resolve=loopback)
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    named: list[str | None] = []
    async with GitServer(upstream) as server, tls_in_front_of(server.port, named) as port:
        there = f"https://git.example:{port}/r.git"
        misnamed = f"https://other.example:{port}/r.git"
        no_tls = f"https://git.example:{server.port}/r.git"
        no_http = f"http://git.example:{port}/r.git"
        async with GitClient(settings, gate, tmp_path / "q", tls=trusting) as client:
            assert (await client.fetch_oids(repository, there, [OIDS[2]])).obtained == {OIDS[2]}
            for url in (misnamed, no_tls):
                with pytest.raises(TlsFailed):
                    await client.fetch_oids(repository, url, [OIDS[2]])
            assert named == ["git.example", "other.example"]
            with pytest.raises((NotHttp, ConnectFailed)):
                await client.fetch_oids(repository, no_http, [OIDS[2]])
        async with GitClient(settings, gate, tmp_path / "q") as client:
            with pytest.raises(TlsFailed):
                await client.fetch_oids(repository, there, [OIDS[2]])
