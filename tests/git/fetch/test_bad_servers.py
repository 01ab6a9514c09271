"""Servers that misbehave on purpose, over real sockets: each has its error, nothing changes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.errors import (
    AttemptFailed,
    BadPack,
    BadStatus,
    Forbidden,
    NotClosed,
    NotGit,
    NotHttp,
    ObjectsRefused,
    ProtocolBroken,
    RateLimited,
    RedirectRefused,
    RepositoryUnavailable,
    TimedOut,
    TooLarge,
)
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing import faults
from purgatory_sync.testing.faults import Fault
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.pack_tampering import pack_of, shallow_pack_of

from ..local_repos import MADE_UP, add_pack, git, history, new_repository, write_loose_ref

pytestmark = pytest.mark.real

STEPS = history(3)
OIDS = [step.oid for step in STEPS]
HUNG = 100
STOCK = {
    "uploadpack.allowTipSHA1InWant": "false",
    "uploadpack.allowReachableSHA1InWant": "false",
    "uploadpack.allowAnySHA1InWant": "false",
}


@attrs.frozen
class Scene:
    """A server with r.git and others, and an empty repository here.

    What must succeed is waited for, however slow the machine; what must fail fails soon.
    """

    server: GitServer
    patient: GitClient
    hasty: GitClient
    here: Path
    quarantine: Path

    async def fetch(self, *oids: str) -> frozenset[str]:
        return await self._fetch(self.patient, oids, "r.git")

    async def failure(self, *oids: str, name: str = "r.git", hasty: bool = False) -> AttemptFailed:
        """The error of a fetch that must fail and leave nothing behind, nothing changed.

        Args:
          hasty: for silence; what else is wrong shows at once, however slow the machine.
        """
        with pytest.raises(AttemptFailed) as caught:
            await self._fetch(self.hasty if hasty else self.patient, oids, name)
        assert list(self.quarantine.glob("*")) == []
        assert list((self.here / "objects" / "pack").iterdir()) == []
        return caught.value

    async def _fetch(self, client: GitClient, oids: Sequence[str], name: str) -> frozenset[str]:
        proven = await client.fetch_oids(self.here, self.server.url(name), oids or [OIDS[2]])
        async with proven:
            await proven.join()
        return proven.obtained


QUICK = HuntSettings(
    min_free_bytes=0,
    connect_timeout_secs=2,
    idle_timeout_secs=0.4,
    total_timeout_secs=1.5,
    max_refs_bytes=1_000_000,
)
PATIENT = attrs.evolve(QUICK, idle_timeout_secs=30, total_timeout_secs=60)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    path = new_repository(tmp_path / "upstream")
    add_pack(path, [item for step in STEPS for item in step.objects])
    write_loose_ref(path, "refs/heads/main", OIDS[2])
    write_loose_ref(path, "refs/heads/old", OIDS[1])
    quarantine = tmp_path / "quarantine"
    async with (
        GitServer(path.parent, config=STOCK) as server,
        GitClient(PATIENT, Gate(networks("127.0.0.0/8")), quarantine) as patient,
        GitClient(QUICK, Gate(networks("127.0.0.0/8")), quarantine) as hasty,
    ):
        yield Scene(server, patient, hasty, new_repository(tmp_path / "here"), quarantine)


def other_pack(folder: Path, *options: str) -> bytes:
    """A pack of another repository."""
    git(folder, "init", "-q", "--bare", *options, "other.git")
    stream = b"commit refs/heads/main\ncommitter A <a> 1700000000 +0000\ndata 1\nx\n"
    other = folder / "other.git"
    subprocess.run(
        ["git", "-C", other, "fast-import", "--quiet"],
        input=stream,
        check=True,
        env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return pack_of(other)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.hang(), TimedOut),
        (faults.delay(1.0), TimedOut),
        (faults.drip(1, every_secs=0.1), TimedOut),
        (faults.stall(100), TimedOut),
        (faults.half_a_head(), TimedOut),
        (faults.half_a_packet(), TimedOut),
        (faults.cut(100), ProtocolBroken),
        (faults.raw(b"220 ftp.example\r\n"), NotHttp),
        (faults.endless_progress(), ProtocolBroken),
        (faults.endless_refs(), TooLarge),
        (faults.page(), NotGit),
        (faults.content_type("text/plain"), NotGit),
        (faults.status(401), RepositoryUnavailable),
        (faults.status(404), RepositoryUnavailable),
        (faults.status(500), BadStatus),
        (faults.status(429, retry_after="7"), RateLimited),
        (faults.status(503), RateLimited),
        (faults.redirect("/login"), RedirectRefused),
        (faults.moved("http://169.254.169.254/latest"), Forbidden),
        (faults.moved("http://10.0.0.1/r.git", 307), Forbidden),
        (faults.moved("/r.git"), RedirectRefused),
    ],
)
async def test_every_fault_has_its_error(
    fault: Fault, expected: type[AttemptFailed], scene: Scene
) -> None:
    scene.server.fail("r.git", fault)
    error = await scene.failure(hasty=expected is TimedOut)
    assert isinstance(error, expected), error
    scene.server.heal()
    assert await scene.fetch() == {OIDS[2]}


async def test_retry_after_is_read(scene: Scene) -> None:
    scene.server.fail("r.git", faults.status(429, retry_after="7"))
    error = await scene.failure()
    assert isinstance(error, RateLimited)
    assert error.retry_after_secs == 7


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda tmp: faults.flipped(20), BadPack),
        (lambda tmp: faults.flipped(-1), BadPack),
        (lambda tmp: faults.appended(), BadPack),
        (lambda tmp: faults.truncated(60), BadPack),
        (lambda tmp: faults.empty_pack(), BadPack),
        (lambda tmp: faults.with_pack(other_pack(tmp)), ObjectsRefused),
        (lambda tmp: faults.with_pack(other_pack(tmp, "--object-format=sha256")), BadPack),
        (
            lambda tmp: faults.with_pack(shallow_pack_of(tmp / "upstream/npub/r.git", OIDS[2])),
            NotClosed,
        ),
    ],
)
async def test_packs_that_are_not_what_was_asked_for(
    make: Callable[[Path], Fault], expected: type[AttemptFailed], scene: Scene, tmp_path: Path
) -> None:
    scene.server.fail("git-upload-pack", make(tmp_path))
    assert isinstance(error := await scene.failure(), expected), error


async def test_a_sha256_repository_is_told_by_its_name(scene: Scene) -> None:
    git(scene.server.root, "init", "-q", "--bare", "--object-format=sha256", "sha256.git")
    error = await scene.failure(name="sha256.git")
    assert isinstance(error, NotGit | ObjectsRefused | ProtocolBroken), error


@pytest.mark.parametrize("server", faults.REFUSALS)
async def test_a_server_without_some_yields_the_rest_in_two_more_requests(
    server: str, scene: Scene
) -> None:
    scene.server.fail("git-upload-pack", faults.refusing_like(server))
    missing = [f"{number:040x}" for number in range(1, 31)]
    assert await scene.fetch(*missing, OIDS[2]) == {OIDS[2]}
    assert len(scene.server.requests) <= 3


@pytest.mark.parametrize("fault", [faults.keeps_open(), faults.delay(0.1)])
async def test_a_whole_pack_is_taken_at_once(fault: Fault, scene: Scene) -> None:
    scene.server.fail("git-upload-pack", fault)
    start = trio.current_time()
    assert await scene.fetch() == {OIDS[2]}
    assert trio.current_time() - start < PATIENT.idle_timeout_secs


async def test_redirects_to_the_same_host_are_followed(scene: Scene) -> None:
    git(scene.server.root, "clone", "-q", "--bare", "r.git", "moved.git")
    scene.server.fail("/r.git", faults.moved("/moved.git"))
    assert await scene.fetch() == {OIDS[2]}
    assert present_oids(scene.here, [OIDS[2]]) == {OIDS[2]}


async def test_a_hundred_hung_servers_and_a_healthy_one(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hung before, in and after the head, and within a pack that goes to disk already."""
    stages: list[bytes] = [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-ty",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-result\r\n\r\n00",
    ]

    async def serve(number: int, stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if said := stages[number % len(stages)]:
                await stream.send_all(said)
            await trio.sleep_forever()

    async with (
        GitClient(PATIENT, Gate(networks("127.0.0.0/8")), tmp_path / "q") as client,
        trio.open_nursery() as nursery,
    ):
        for number in range(HUNG):
            host = f"127.0.1.{number + 1}"

            async def answer(stream: trio.SocketStream, number: int = number) -> None:
                await serve(number, stream)

            (listener,) = await trio.open_tcp_listeners(0, host=host)
            port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, answer, [listener])
            url = f"http://{host}:{port}/r.git"
            nursery.start_soon(client.fetch_oids, scene.here, url, [MADE_UP])
        with trio.fail_after(10):
            await trio.testing.wait_all_tasks_blocked(0.05)
        # A second on a machine that is not busy; one that waits for another needs 30.
        with trio.fail_after(10):
            url = scene.server.url("r.git")
            assert (await client.fetch_oids(scene.here, url, [OIDS[2]])).obtained == {OIDS[2]}
        nursery.cancel_scope.cancel()
