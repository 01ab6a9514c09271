"""Git's children: ended with their clients, heard out when they complain, in our environment."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import trio

from purgatory_sync.node.git_http.git_child import git_child, git_environment

from ..support import read_until
from .git_support import NPUB, git_served, make_repository

pytestmark = pytest.mark.real

FLUSH = (
    f"POST /{NPUB}/repo/git-upload-pack HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
    "Content-Type: application/x-git-upload-pack-request\r\n\r\n0000"
).encode()


@pytest.fixture
def commits(tmp_path: Path) -> list[str]:
    return make_repository(tmp_path / "repo.git")


async def test_client_that_leaves_while_git_thinks_is_noticed(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = _stand_in(tmp_path, monkeypatch, "{write}\nsleep 100 & sleep 100")
    async with git_served(tmp_path, max_processes=1) as server:
        stream = await server.place.connect()
        refs = f"GET /{NPUB}/repo/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: a\r\n\r\n"
        await stream.send_all(refs.encode())
        with trio.fail_after(30):
            while not started.exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.01)
            group = started.read_text().strip()
            assert _alive(group)
            await stream.aclose()
            while _alive(group):  # noqa: ASYNC110 - the kernel's news
                await trio.sleep(0.01)


async def test_client_that_leaves_after_its_request_is_noticed(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, for a request with a body."""
    started = _stand_in(tmp_path, monkeypatch, "{write}\nsleep 100 & sleep 100")
    async with git_served(tmp_path, max_processes=1) as server:
        stream = await server.place.connect()
        await stream.send_all(FLUSH)
        with trio.fail_after(30):
            while not started.exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.01)
            group = started.read_text().strip()
            await stream.aclose()
            while _alive(group):  # noqa: ASYNC110 - the kernel's news
                await trio.sleep(0.01)


async def test_an_answer_that_git_was_killed_in_is_cut(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(tmp_path, monkeypatch, "printf 0008NAK; kill -KILL $$")
    async with git_served(tmp_path) as server, await server.place.connect() as stream:
        await stream.send_all(FLUSH)
        answer = b""
        while piece := await stream.receive_some():
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"0008NAK" in answer
        assert not answer.endswith(b"0\r\n\r\n")


async def test_a_git_that_complains_a_lot_is_not_held_up(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stand_in(tmp_path, monkeypatch, "head -c 1000000 /dev/zero >&2; printf 0008NAK")
    async with git_served(tmp_path) as server, await server.place.connect() as stream:
        await stream.send_all(FLUSH)
        with trio.fail_after(30):
            assert b"0008NAK" in await read_until(stream, b"0\r\n\r\n")


def _stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put our own program where git is looked for; the file that `{write}` writes its pid to."""
    program, started = folder / "bin" / "git", folder / "pid"
    program.parent.mkdir()
    write = f"echo $$ > {started}.tmp && mv {started}.tmp {started}"
    program.write_text(f"#!/bin/sh\n{script.format(write=write)}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return started


def _alive(group: str) -> bool:
    """Whether a process group has a member that is not dead yet."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of_group, *_ = stat.read_text().rpartition(")")[2].split()
            if of_group == group and state != "Z":
                return True
    return False


async def test_environment_is_ours_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[uploadpack]\n\tallowFilter = false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'uploadpack.allowFilter=false'")
    async with git_child(["config", "--list", "--show-scope"], git_environment(None)) as child:
        listed = b"".join([bytes(piece) async for piece in child.stdout]).decode()
    assert "command\tuploadpack.allowfilter=true" in listed
    assert "command\tsafe.directory=*" in listed
    assert {line.split("\t")[0] for line in listed.splitlines()} <= {"command", "local"}
