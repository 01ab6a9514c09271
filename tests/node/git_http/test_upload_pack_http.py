"""Stock git clients against the routes of git, and requests that no git client sends."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from pathlib import Path

import httpx
import pytest
import trio

from purgatory_sync.node.git_http import upload_pack_http
from purgatory_sync.node.git_http.empty_repository import CAPABILITIES

from ..support import read_until
from .git_support import NPUB, GitServed, git, git_served, make_repository

pytestmark = pytest.mark.real

UPLOAD = {"content-type": "application/x-git-upload-pack-request"}
V2 = {"git-protocol": "version=2"}
LS_REFS = b"0014command=ls-refs\n00010000"


def pkt(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


@pytest.fixture
def commits(tmp_path: Path) -> list[str]:
    return make_repository(tmp_path / "repo.git")


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_b_6_2_clone_and_ls_remote(tmp_path: Path, commits: list[str], version: int) -> None:
    wanted = git("ls-remote", tmp_path / "repo.git")
    async with git_served(tmp_path) as server:
        protocol = ("-c", f"protocol.version={version}")
        for name in ("repo.git", "repo"):
            assert await server.client(*protocol, "ls-remote", server.url(name)) == wanted
        await server.client(*protocol, "clone", "-q", server.url("repo.git"), tmp_path / "copy")
        assert await server.client("-C", tmp_path / "copy", "rev-parse", "HEAD") == commits[-1]
        await server.client("-C", tmp_path / "copy", "fsck", "--strict")


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_b_6_2_empty_repository_is_cloned_and_advertises_capabilities(
    tmp_path: Path, version: int
) -> None:
    git("init", "-q", "--bare", tmp_path / "new.git")
    async with git_served(tmp_path) as server:
        protocol = ("-c", f"protocol.version={version}")
        assert await server.client(*protocol, "ls-remote", server.url("new.git")) == ""
        await server.client(*protocol, "clone", "-q", server.url("new.git"), tmp_path / "copy")
        answer = await _get(
            server, "new/info/refs?service=git-upload-pack", {"git-protocol": f"version={version}"}
        )
    assert b"filter" in answer.content
    if version < 2:
        assert b"capabilities^{}\0" in answer.content
        assert b"allow-tip-sha1-in-want allow-reachable-sha1-in-want" in answer.content
        assert answer.content.endswith(b"\n0000") or answer.content.endswith(b"sync0000")


@pytest.mark.parametrize("version", [0, 2])
async def test_b_6_2_partial_clone_and_fetch_of_an_inner_commit(
    tmp_path: Path, commits: list[str], version: int
) -> None:
    async with git_served(tmp_path) as server:
        protocol = ("-c", f"protocol.version={version}")
        url, copy = server.url("repo.git"), tmp_path / "copy"
        await server.client(*protocol, "clone", "-q", "--bare", "--filter=blob:none", url, copy)
        missing = await server.client(
            "-C", copy, "rev-list", "--all", "--objects", "--missing=print"
        )
        assert missing.count("?") == 1
        git("init", "-q", "--bare", tmp_path / "one")
        await server.client(
            "-C", tmp_path / "one", *protocol, "fetch", "-q", url, f"{commits[1]}:refs/heads/x"
        )
        assert await server.client("-C", tmp_path / "one", "rev-list", "--count", "x") == "2"


async def test_b_6_2_repository_with_refs_names_the_same_capabilities(
    tmp_path: Path, commits: list[str]
) -> None:
    async with git_served(tmp_path) as server:
        answer = await _get(server, "repo/info/refs?service=git-upload-pack")
        empty = await _request(server, "POST", "repo/git-upload-pack", UPLOAD)
    named = answer.content.partition(b"\0")[2].partition(b"\n")[0].split()
    ours = [word for word in CAPABILITIES.split() if not word.startswith(b"agent=")]
    assert set(ours) <= set(named)
    assert (empty.status_code, empty.text) == (400, "the request is empty\n")


async def test_b_6_2_hidden_tips_can_be_asked_for_under_v0(
    tmp_path: Path, commits: list[str]
) -> None:
    git("-C", tmp_path / "repo.git", "config", "transfer.hideRefs", "refs/heads")
    git("init", "-q", "--bare", tmp_path / "one")
    async with git_served(tmp_path) as server:
        await server.client(
            "-C", tmp_path / "one", "-c", "protocol.version=0", "fetch", "-q",
            server.url("repo"), f"{commits[2]}:refs/heads/x",
        )  # fmt: skip


async def test_b_6_2_client_reads_the_reason_of_a_missing_object(
    tmp_path: Path, commits: list[str]
) -> None:
    git("init", "-q", "--bare", tmp_path / "one")
    async with git_served(tmp_path) as server:
        with pytest.raises(subprocess.CalledProcessError) as failed:
            await server.client("-C", tmp_path / "one", "fetch", server.url("repo"), "1" * 40)
    assert "not our ref" in failed.value.stderr


async def test_push_is_refused_with_a_sentence(tmp_path: Path, commits: list[str]) -> None:
    async with git_served(tmp_path) as server:
        with pytest.raises(subprocess.CalledProcessError) as failed:
            await server.client("-C", tmp_path / "repo.git", "push", server.url("repo"), "main")
        assert "403" in failed.value.stderr
        for method, path in (
            ("GET", "repo/info/refs?service=git-receive-pack"),
            ("POST", "repo.git/git-receive-pack"),
        ):
            answer = await _request(server, method, path)
            assert answer.status_code == 403
            assert "does not take pushes: it fetches" in answer.text
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "none/info/refs?service=git-upload-pack", {}, 404),
        ("POST", "none/git-upload-pack", UPLOAD, 404),
        ("POST", "repo/info/refs?service=git-upload-pack", {}, 405),
        ("GET", "repo/git-upload-pack", {}, 405),
        ("GET", "repo/info/refs", {}, 403),
        ("GET", "repo/info/refs?service=git-upload-pack", {"content-length": "1"}, 400),
        ("GET", "repo/info/refs?service=git-upload-archive", {}, 403),
        ("GET", "repo/info/refs?service=git-upload-pack&x=y", {}, 403),
        ("POST", "repo/git-upload-pack", {}, 415),
        ("POST", "repo/git-upload-pack", {"content-type": UPLOAD["content-type"] + "; a=b"}, 415),
        ("POST", "repo/git-upload-pack", {**UPLOAD, "content-encoding": "br"}, 415),
        ("POST", "repo/git-upload-pack", {**UPLOAD, "content-encoding": "gzip"}, 400),
        ("POST", "repo/git-upload-pack", {**UPLOAD, "content-length": "0"}, 400),
        ("GET", "repo/HEAD", {}, 404),
        ("GET", "repo/config", {}, 404),
        ("GET", "%2e%2e/info/refs?service=git-upload-pack", {}, 404),
    ],
)
async def test_b_6_1_requests_that_are_refused(
    tmp_path: Path, commits: list[str], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with git_served(tmp_path) as server:
        body = b"0000" if "content-length" not in headers and method == "POST" else b""
        body = b"x" if headers.get("content-length") == "1" else body
        answer = await _request(server, method, path, headers, body)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
        git_answers = answer.text != ""  # what is no path of git's is not
        assert git_answers == ("no-cache" in answer.headers.get("cache-control", ""))
        reads = "info/refs" in path
        allowed = ("GET, HEAD, OPTIONS" if reads else "POST, OPTIONS") if status == 405 else None
        assert answer.headers.get("allow") == allowed


async def test_b_6_1_content_types_head_and_caching(tmp_path: Path, commits: list[str]) -> None:
    async with git_served(tmp_path) as server:
        refs = "repo/info/refs?service=git-upload-pack"
        for method in ("GET", "HEAD"):
            answer = await _request(server, method, refs)
            kind = answer.headers["content-type"]
            assert kind == "application/x-git-upload-pack-advertisement"
            assert answer.headers["cache-control"].startswith("no-cache")
            assert bool(answer.content) == (method == "GET")
        answer = await _request(server, "POST", "repo/git-upload-pack", {**UPLOAD, **V2}, LS_REFS)
        assert answer.headers["content-type"] == "application/x-git-upload-pack-result"
        assert b"refs/heads/main" in answer.content


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("version=2", 2),
        ("version=1", 1),
        ("version=0", 0),
        ("version=9", 0),
        ("version=2; rm", 0),
        ("x=y:version=2", 2),
        ("version=1:version=2", 2),
    ],
)
async def test_b_6_2_protocol_version(
    tmp_path: Path, commits: list[str], header: str, version: int
) -> None:
    async with git_served(tmp_path) as server:
        named = {"git-protocol": header}
        answer = await _request(server, "GET", "repo/info/refs?service=git-upload-pack", named)
    preamble = b"001e# service=git-upload-pack\n0000"
    starts = {0: preamble, 1: preamble, 2: b"000eversion 2\n"}
    assert answer.content.startswith(starts[version])
    assert (b"version 1\n" in answer.content) == (version == 1)


async def test_b_6_1_gzip_and_chunked_bodies(tmp_path: Path, commits: list[str]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for byte in LS_REFS:
            yield bytes([byte])

    packed = {**UPLOAD, **V2, "content-encoding": "gzip"}
    async with git_served(tmp_path) as server:
        for headers, body in (
            (packed, gzip.compress(LS_REFS)),
            ({**UPLOAD, **V2}, chunks()),
        ):
            answer = await _request(server, "POST", "repo/git-upload-pack", headers, body)
            assert b"refs/heads/main" in answer.content


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (gzip.compress(bytes(200_000)), 413),
        (gzip.compress(LS_REFS)[:-9], 400),
        (gzip.compress(LS_REFS) + b"more", 400),
        (b"no gzip at all", 400),
    ],
    ids=["bomb", "cut", "more", "none"],
)
async def test_b_6_1_hostile_gzip(
    tmp_path: Path,
    commits: list[str],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    status: int,
) -> None:
    monkeypatch.setattr(upload_pack_http, "MAX_REQUEST_BYTES", 100_000)
    headers = {**UPLOAD, **V2, "content-encoding": "gzip"}
    async with git_served(tmp_path) as server:
        answer = await _request(server, "POST", "repo/git-upload-pack", headers, body)
        assert answer.status_code == status


async def test_b_6_1_bytes_that_come_after_the_gzip(tmp_path: Path, commits: list[str]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield gzip.compress(LS_REFS)
        await trio.sleep(0.05)
        yield b"more"

    headers = {**UPLOAD, **V2, "content-encoding": "gzip"}
    async with git_served(tmp_path) as server:
        answer = await _request(server, "POST", "repo/git-upload-pack", headers, chunks())
        assert answer.status_code == 400


async def test_b_6_1_too_large_a_body(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pack_http, "MAX_REQUEST_BYTES", 100_000)
    body = pkt(b"command=fetch") + b"0001" + pkt(b"have " + b"1" * 40 + b"\n") * 4000
    async with git_served(tmp_path) as server:
        answer = await _request(server, "POST", "repo/git-upload-pack", {**UPLOAD, **V2}, body)
        assert answer.status_code == 413


async def test_nonsense_for_git_is_a_bad_request(tmp_path: Path, commits: list[str]) -> None:
    async with git_served(tmp_path) as server:
        for headers in (UPLOAD, {**UPLOAD, **V2}):
            answer = await _request(
                server, "POST", "repo/git-upload-pack", headers, b"zzzznonsense"
            )
            assert answer.status_code == 400


async def test_folder_that_is_no_repository_is_our_failure(tmp_path: Path) -> None:
    (tmp_path / "broken.git").mkdir()
    async with git_served(tmp_path) as server:
        answer = await _request(server, "GET", "broken/info/refs?service=git-upload-pack")
        assert answer.status_code == 500


def half_a_request(tip: str, size: int) -> bytes:
    """So many bytes of a body that ends in the middle of it."""
    lines = pkt(f"want {tip}\n".encode()) + b"0000" + pkt(b"have " + b"1" * 40 + b"\n") * 6000
    head = (
        f"POST /{NPUB}/repo/git-upload-pack HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n"
        "Content-Type: application/x-git-upload-pack-request\r\n\r\n"
    )
    return head.encode() + lines[:size]


async def test_b_6_2_a_request_that_comes_slowly_holds_no_place(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pack_http, "BODY_SECS", 3.0)
    async with (
        git_served(tmp_path, max_processes=1) as server,
        await server.place.connect() as stream,
    ):
        await stream.send_all(half_a_request(commits[-1], upload_pack_http.READ_AHEAD_BYTES - 50))
        await trio.sleep(0.1)
        with trio.fail_after(2.5):
            refs = "repo/info/refs?service=git-upload-pack"
            assert (await _get(server, refs)).status_code == 200
        assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 408 ")


async def test_b_6_2_a_long_request_that_drips_gives_its_place_back(
    tmp_path: Path, commits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_pack_http, "BODY_SECS", 1.0)
    begun = half_a_request(commits[-1], upload_pack_http.READ_AHEAD_BYTES)
    more = half_a_request(commits[-1], upload_pack_http.READ_AHEAD_BYTES + 5_000)[len(begun) :]
    async with (
        git_served(tmp_path, max_processes=1) as server,
        await server.place.connect() as stream,
        trio.open_nursery() as nursery,
    ):

        async def drip() -> None:
            await stream.send_all(begun)
            for byte in more:
                await trio.sleep(0.05)
                await stream.send_all(bytes([byte]))

        nursery.start_soon(drip)
        await trio.sleep(0.5)
        with trio.fail_after(30):
            refs = "repo/info/refs?service=git-upload-pack"
            assert (await _get(server, refs)).status_code == 200
        nursery.cancel_scope.cancel()


async def test_b_6_2_large_files_do_not_wait_in_memory_to_become_deltas(tmp_path: Path) -> None:
    path = tmp_path / "large.git"
    git("init", "-q", "--bare", "-b", "main", path)
    zeros = bytes(17 << 20)
    blobs = [
        git("-C", path, "hash-object", "-w", "--stdin", stdin=zeros + end) for end in (b"", b"1")
    ]
    entries = "".join(f"100644 blob {oid}\tfile{i}\n" for i, oid in enumerate(blobs))
    tree = git("-C", path, "mktree", stdin=entries.encode())
    git(
        "-C", path, "update-ref", "refs/heads/main", git("-C", path, "commit-tree", "-m", "a", tree)
    )
    async with git_served(tmp_path) as server:
        await server.client("clone", "-q", "--bare", server.url("large.git"), tmp_path / "copy")
    asked = "".join(f"{oid}\n" for oid in blobs).encode()
    format_ = "--batch-check=%(objectname) %(deltabase)"
    came = git("-C", tmp_path / "copy", "cat-file", format_, stdin=asked)
    assert came.splitlines() == [f"{oid} {'0' * 40}" for oid in blobs]


async def test_child_dies_with_its_connection_and_frees_its_place(
    tmp_path: Path, commits: list[str]
) -> None:
    async with git_served(tmp_path, max_processes=1) as server:
        stream = await server.place.connect()
        # Half of a long request: git waits for the rest, and the next client for its place.
        await stream.send_all(half_a_request(commits[-1], upload_pack_http.READ_AHEAD_BYTES + 50))
        await trio.sleep(0.5)
        refs = "repo/info/refs?service=git-upload-pack"
        with trio.move_on_after(0.2):
            await _get(server, refs)
            pytest.fail("one place was given twice")
        await stream.aclose()
        with trio.fail_after(30):
            assert (await _get(server, refs)).status_code == 200


async def test_keep_alive_connection_serves_several_requests(
    tmp_path: Path, commits: list[str]
) -> None:
    head = f"GET /{NPUB}/repo/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: a\r\n\r\n"
    async with git_served(tmp_path) as server, await server.place.connect() as stream:
        for _ in range(3):
            await stream.send_all(head.encode())
            answer = bytearray()
            # Git's own answer is cut in chunks; later ones state their length.
            while not answer.endswith(b"0\r\n\r\n" if b"chunked" in answer else b"v1\n0000"):
                with trio.fail_after(60):
                    piece = await stream.receive_some(65536)
                assert piece
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")


async def _get(
    server: GitServed, path: str, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return await _request(server, "GET", path, headers)


async def _request(
    server: GitServed,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | AsyncIterable[bytes] = b"",
) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.request(method, server.url(path), headers=headers, content=body)


@pytest.mark.parametrize("path", ["info/lfs/objects/batch", "info/lfs/locks/verify"])
async def test_b_6_1_large_files_are_refused_in_their_own_words(
    tmp_path: Path, commits: list[str], path: str
) -> None:
    lfs = "application/vnd.git-lfs+json"
    async with git_served(tmp_path) as server, httpx.AsyncClient() as http:
        question = {"operation": "download", "objects": [{"oid": "0" * 64, "size": 1}]}
        answer = await http.post(
            f"{server.url('repo.git')}/{path}", json=question, headers={"accept": lfs}
        )
        assert answer.status_code == 404
        assert answer.headers["content-type"] == lfs
        assert "no Git LFS files: set lfs.url" in answer.json()["message"]
        page = await http.get(f"{server.url('repo.git')}/info/lfs")
        assert page.headers.get("content-type") != lfs
