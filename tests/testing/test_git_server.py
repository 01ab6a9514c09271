"""The git server that tests and benchmarks use, asked by the stock git client."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from purgatory_sync.testing.git_server import Fault, GitServer, SeenRequest

pytestmark = pytest.mark.real

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/none"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a/r.git: one commit on main."""
    path = tmp_path / "root" / "a" / "r.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True)
    stream = b"commit refs/heads/main\ncommitter a <a> 1700000000 +0000\ndata 1\nx\n"
    subprocess.run(["git", "-C", path, "fast-import", "--quiet"], input=stream, check=True)
    return tmp_path / "root"


async def ls_remote(url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    return await trio.run_process(
        ["git", *options, "ls-remote", url],
        env=ENVIRONMENT,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


async def test_the_stock_client_is_served_and_seen(root: Path) -> None:
    seen: list[SeenRequest] = []
    async with GitServer(root, on_request=seen.append) as server:
        result = await ls_remote(server.url("a/r.git"))
        assert result.returncode == 0, result.stderr
        assert result.stdout.endswith(b"\trefs/heads/main\n")
        assert [(r.method, r.path, r.git_protocol, r.status) for r in server.requests] == [
            ("GET", "/a/r.git/info/refs?service=git-upload-pack", "version=2", 200),
            ("POST", "/a/r.git/git-upload-pack", "version=2", 200),
        ]
        assert seen == server.requests
        assert {request.bind for request in seen} == {f"127.0.0.1:{server.port}"}
        assert (await ls_remote(server.url("a/none.git"))).returncode == 128
        assert (await ls_remote(server.url("../root/a/r.git"))).returncode == 128


async def test_a_v0_server_answers_in_v0(root: Path) -> None:
    async with GitServer(root, protocol_v2=False) as server:
        assert (await ls_remote(server.url("a/r.git"))).stdout.endswith(b"\trefs/heads/main\n")
        assert [request.method for request in server.requests] == ["GET"]


async def test_nothing_can_be_pushed(root: Path, tmp_path: Path) -> None:
    async with GitServer(root) as server:
        clone = tmp_path / "clone"
        url = server.url("a/r.git")
        for arguments in (["clone", "-q", url, str(clone)], ["-C", str(clone), "push", "-q"]):
            result = await trio.run_process(
                ["git", *arguments], env=ENVIRONMENT, capture_stderr=True, check=False
            )
        assert result.returncode != 0


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault(status=503, headers=(("retry-after", "5"),)), b"503"),
        (Fault(status=301, headers=(("location", "/elsewhere"),)), b"not found"),
        (Fault(content_type="text/html"), b"not valid"),
        (Fault(cut_at=10), b"fatal"),
    ],
)
async def test_faults_happen_as_written_and_heal(
    fault: Fault, complaint: bytes, root: Path
) -> None:
    async with GitServer(root) as server:
        server.fail("a/r.git/info/refs", fault)
        result = await ls_remote(server.url("a/r.git"))
        assert result.returncode == 128
        assert complaint in result.stderr
        server.heal()
        assert (await ls_remote(server.url("a/r.git"))).returncode == 0


async def test_faults_count_and_hang(root: Path) -> None:
    async with GitServer(root) as server:
        server.fail("r.git", Fault(delay_secs=0.01, status=500, times=1))
        server.fail("hung.git", Fault(hang=True))
        assert (await ls_remote(server.url("a/r.git"))).returncode == 128
        assert (await ls_remote(server.url("a/r.git"))).returncode == 0
        with trio.move_on_after(0.3) as scope:
            await ls_remote(server.url("a/hung.git"))
        assert scope.cancelled_caught


async def test_as_a_process_with_several_addresses_and_a_log(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "purgatory_sync.testing.git_server", str(root)]
    command += ["--bind", "127.0.0.2:0", "--bind", "127.0.0.3:0", "--log", str(log)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    ready = b""
    with trio.fail_after(20):
        while not ready.endswith(b"\n"):
            ready += await process.stdout.receive_some()
    word, *binds = ready.decode().split()
    assert word == "ready"
    assert [bind.partition(":")[0] for bind in binds] == ["127.0.0.2", "127.0.0.3"]
    for bind in binds:
        assert (await ls_remote(f"http://{bind}/a/r.git")).returncode == 0
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0
    await process.stdout.aclose()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["bind"] for line in lines] == [binds[0]] * 2 + [binds[1]] * 2
    assert all(line["status"] == 200 and line["wall"] > 1_700_000_000 for line in lines)
