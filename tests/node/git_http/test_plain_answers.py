from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.git.protocol.pktline import FLUSH_BYTES, pkt_line
from purgatory_sync.node.git_http import plain_answers, upload_pack_http
from purgatory_sync.node.git_http.plain_answers import PlainAnswers
from purgatory_sync.runtime.blocking import blocking_in_place

from .git_support import NPUB, GitServed, git, git_served, make_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is the client")
REFS_V2 = pkt_line(b"version 2\n") + pkt_line(b"agent=git/2.50.0\n") + FLUSH_BYTES


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The services of git that were started by the node, in their order."""
    started: list[str] = []
    start = trio.lowlevel.open_process

    async def noted(command: list[str], **options: object) -> trio.Process:
        if options.get("start_new_session"):
            started.append(command[1])
        return await start(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(trio.lowlevel, "open_process", noted)
    return started


async def clone(server: GitServed, version: int, copy: Path, *more: str) -> None:
    options = ("-c", f"protocol.version={version}", "clone", "-q", "--mirror", *more)
    await server.client(*options, server.url("repo"), copy)
    await server.client("-C", copy, "fsck", "--full", "--strict")
    there = git("-C", server.folder / "repo.git", "for-each-ref")
    if not more:
        assert git("-C", copy, "for-each-ref") == there


@pytest.mark.real
@pytest.mark.parametrize("version", [0, 1, 2])
async def test_b_6_2_only_the_first_question_starts_git(
    tmp_path: Path, children: list[str], version: int
) -> None:
    make_repository(tmp_path / "repo.git")
    git("-C", tmp_path / "repo.git", "tag", "-a", "-m", "a", "annotated", "main")
    git("-C", tmp_path / "repo.git", "repack", "-a", "-d", "-q")
    async with git_served(tmp_path) as server:
        await clone(server, version, tmp_path / "first.git")
        assert children == ["upload-pack"]  # to hear of itself
        for number in range(2):
            await clone(server, version, tmp_path / f"copy{number}.git")
            await server.client(
                "-C", tmp_path / "first.git", "-c", f"protocol.version={version}", "fetch", "-q"
            )
        assert children == ["upload-pack"]


@pytest.mark.real
async def test_b_6_2_what_is_not_plain_is_answered_by_git(
    tmp_path: Path, children: list[str]
) -> None:
    make_repository(tmp_path / "repo.git")
    async with git_served(tmp_path) as server:
        await clone(server, 2, tmp_path / "all.git")
        del children[:]
        await clone(server, 2, tmp_path / "depth.git", "--depth=1")
        assert len(children) == 1
        await clone(server, 2, tmp_path / "filter.git", "--filter=blob:none")
        assert len(children) > 1


@pytest.mark.real
async def test_settings_that_another_repository_has_are_not_learnt(
    tmp_path: Path, children: list[str]
) -> None:
    make_repository(tmp_path / "repo.git")
    make_repository(tmp_path / "odd.git")
    git("-C", tmp_path / "odd.git", "config", "uploadpack.allowRefInWant", "true")
    async with git_served(tmp_path) as server:
        for _ in range(2):
            await server.client("ls-remote", server.url("odd"))
        assert len(children) == 4
        await server.client("ls-remote", server.url("repo"))
        assert len(children) == 5
        await server.client("ls-remote", server.url("repo"))
        assert len(children) == 5


@pytest.mark.real
@pytest.mark.parametrize("change", ["push", "delete"])
async def test_a_poll_sees_what_changed(tmp_path: Path, change: str) -> None:
    commits = make_repository(tmp_path / "repo.git")
    async with git_served(tmp_path) as server:
        for _ in range(2):
            await server.client("ls-remote", server.url("repo"))
        if change == "push":
            git("-C", tmp_path / "repo.git", "update-ref", "refs/heads/new", commits[0])
        else:
            git("-C", tmp_path / "repo.git", "update-ref", "-d", "refs/tags/v1")
        seen = await server.client("ls-remote", server.url("repo"))
        assert ("refs/heads/new" in seen, "refs/tags/v1" in seen) == (
            change == "push",
            change != "delete",
        )


@pytest.mark.real
async def test_a_large_pack_is_streamed_and_its_files_are_given_back(tmp_path: Path) -> None:
    large_repository(tmp_path / "repo.git")
    async with git_served(tmp_path) as server:
        for number in range(2):
            await clone(server, 2, tmp_path / f"copy{number}.git")
        await leaves_in_the_middle(server)
        with trio.fail_after(20):
            while open_packs():  # noqa: ASYNC110 - the node does not tell
                await trio.sleep(0.01)


def large_repository(path: Path) -> None:
    """Of one pack that is more than a piece."""
    git("init", "-q", "--bare", "-b", "main", path)
    content = Random(1).randbytes(3 << 20)
    stream = b"commit refs/heads/main\ncommitter a <a> 1 +0000\ndata 1\nx\n"
    stream += b"M 100644 inline file\ndata %d\n%b\n" % (len(content), content)
    git("-C", path, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", stdin=stream)


async def leaves_in_the_middle(server: GitServed) -> None:
    oid = git("-C", server.folder / "repo.git", "rev-parse", "main")
    body = pkt_line(b"command=fetch\n") + b"0001" + pkt_line(b"ofs-delta\n")
    body += pkt_line(f"want {oid}\n".encode()) + pkt_line(b"done\n") + FLUSH_BYTES
    async with await server.place.connect() as stream:
        await stream.send_all(
            f"POST /{NPUB}/repo/git-upload-pack HTTP/1.1\r\nHost: a\r\nGit-Protocol: version=2\r\n"
            f"Content-Type: application/x-git-upload-pack-request\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        with trio.fail_after(20):
            assert await stream.receive_some(1000)


def open_packs() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return [path for path in found if path.endswith(".pack") and "repo.git" in path]


async def test_what_git_says_of_itself_is_asked_again_after_an_hour(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    make_repository(tmp_path / "repo.git")
    plain, repository = PlainAnswers(), tmp_path / "repo.git"
    with blocking_in_place():
        assert await plain.advertisement(repository, 2, unborn=False) is None
        await plain.learn(repository, 2, unborn=False, first=REFS_V2)
        assert await plain.advertisement(repository, 2, unborn=False) == REFS_V2
        assert await plain.advertisement(repository, 2, unborn=True) is None
        assert await plain.advertisement(repository, 0, unborn=False) is None
        await trio.sleep(3601)
        assert await plain.advertisement(repository, 2, unborn=False) is None


async def test_half_of_what_git_says_is_not_learnt(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    make_repository(tmp_path / "repo.git")
    plain, repository = PlainAnswers(), tmp_path / "repo.git"
    with blocking_in_place():
        await plain.learn(repository, 2, unborn=False, first=REFS_V2[:-4])
        await plain.learn(repository, 0, unborn=False, first=b"00ff")
        for version in (0, 2):
            assert await plain.advertisement(repository, version, unborn=False) is None


async def test_views_are_forgotten_within_a_bound(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    plain = PlainAnswers(most_bytes=5_000)
    body = pkt_line(b"command=ls-refs\n") + FLUSH_BYTES
    with blocking_in_place():
        for number in range(4):
            make_repository(tmp_path / f"{number}.git")
            assert await plain.upload_pack(tmp_path / f"{number}.git", 2, body)
    assert 0 < plain.kept_bytes <= 5_000


@pytest.mark.real
async def test_more_large_clones_at_once_than_files_may_be_open_go_to_git(
    tmp_path: Path, children: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    large_repository(tmp_path / "repo.git")
    async with git_served(tmp_path) as server:
        await clone(server, 2, tmp_path / "first.git")
        del children[:]
        monkeypatch.setattr(plain_answers, "MOST_STREAMS", 0)
        await clone(server, 2, tmp_path / "second.git")
        assert len(children) == 1


@pytest.mark.real
async def test_git_may_say_what_it_can_in_many_pieces(
    tmp_path: Path, children: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(tmp_path / "repo.git")
    monkeypatch.setattr(upload_pack_http, "PIECE_BYTES", 20)
    async with git_served(tmp_path) as server:
        for _ in range(2):
            await server.client("ls-remote", server.url("repo"))
    assert len(children) == 1
