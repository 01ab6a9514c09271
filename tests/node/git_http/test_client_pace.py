"""A place for a clone is never held for long by who takes it slowly (B 6.2)."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import cast

import httpx
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.node.git_http import client_pace
from purgatory_sync.node.git_http.client_pace import ClientPace
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.server_stream import Gone

from ..support import Client, read_to_end
from .git_support import NPUB, GitServed, git, git_served

LEAST = 8192


class Slow:
    """An answer whose pieces are taken after a while."""

    def __init__(self, secs: float) -> None:
        self.secs = secs

    async def write(self, data: bytes) -> None:
        await trio.sleep(self.secs)


async def send(pace: ClientPace, pieces: int, size: int, secs: float) -> None:
    for _ in range(pieces):
        await pace.write(cast(Exchange, Slow(secs)), bytes(size))


async def test_b_6_2_a_byte_every_29_seconds_is_too_slow_while_others_wait(
    autojump_clock: MockClock,
) -> None:
    pace = ClientPace(LEAST, lambda: True)
    with pytest.raises(Gone, match="moves 0 bytes a second while others wait"):
        await send(pace, 100, 1, 29)
    assert trio.current_time() == 58


async def test_b_6_2_no_client_is_hurried_while_none_waits(autojump_clock: MockClock) -> None:
    waiting = False
    pace = ClientPace(LEAST, lambda: waiting)
    await send(pace, 100, 1, 29)
    waiting = True
    with pytest.raises(Gone):
        await send(pace, 3, 1, 29)


async def test_b_6_2_a_client_at_the_floor_goes_on_and_one_below_it_ends(
    autojump_clock: MockClock,
) -> None:
    pace = ClientPace(LEAST, lambda: True)
    await send(pace, 1000, LEAST, 1)
    with pytest.raises(Gone):  # what it took before does not count
        await send(pace, 31, LEAST - 1, 1)


async def test_b_6_2_the_time_that_git_needs_is_not_the_clients(autojump_clock: MockClock) -> None:
    pace = ClientPace(LEAST, lambda: True)
    for _ in range(100):
        await trio.sleep(60)
        await send(pace, 1, 100, 0)


@pytest.fixture
def large(tmp_path: Path) -> str:
    """A repository beyond what sockets hold; its tip."""
    git("init", "-q", "--bare", "-b", "main", tmp_path / "repo.git")
    blob = git(
        "-C", tmp_path / "repo.git", "hash-object", "-w", "--stdin",
        stdin=random.Random(1).randbytes(12 << 20),
    )  # fmt: skip
    tree = git("-C", tmp_path / "repo.git", "mktree", stdin=f"100644 blob {blob}\tx\n".encode())
    tip = git("-C", tmp_path / "repo.git", "commit-tree", tree, "-m", "x")
    git("-C", tmp_path / "repo.git", "update-ref", "refs/heads/main", tip)
    return tip


def wanting(tip: str) -> bytes:
    body = f"0032want {tip}\n00000009done\n".encode()
    head = (
        f"POST /{NPUB}/repo.git/git-upload-pack HTTP/1.1\r\nHost: a\r\n"
        f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + b"\r\n" + body


async def asked_for(server: GitServed, tip: str) -> Client:
    """A client's stream that has asked for a clone and reads nothing so far."""
    stream = await trio.open_tcp_stream("127.0.0.1", server.place.port)
    await stream.send_all(wanting(tip))
    await trio.sleep(0.2)
    return stream


async def next_in_line(server: GitServed) -> None:
    refs = server.url("repo.git/info/refs?service=git-upload-pack")
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        with trio.fail_after(15):
            assert (await client.get(refs)).status_code == 200


def cut(data: bytes) -> bool:
    return data.startswith(b"HTTP/1.1 200") and not data.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.real
async def test_b_6_2_a_clone_that_takes_too_long_gives_its_place_to_the_next(
    tmp_path: Path, large: str
) -> None:
    async with (
        git_served(tmp_path, max_processes=1, max_secs=1.0) as server,
        await asked_for(server, large) as stream,
    ):
        await next_in_line(server)
        assert cut(await read_to_end(stream))


@pytest.mark.real
@pytest.mark.parametrize("others", [True, False])
async def test_b_6_2_a_clone_that_is_taken_slowly_gives_its_place_to_the_next(
    tmp_path: Path, large: str, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    monkeypatch.setattr(client_pace, "JUDGED_SECS", 0.3)
    async with git_served(tmp_path, max_processes=1, least_pace=1 << 30) as server:
        async with await asked_for(server, large) as stream, trio.open_nursery() as nursery:
            if others:
                nursery.start_soon(next_in_line, server)
            data = bytearray()
            with contextlib.suppress(trio.BrokenResourceError):
                while piece := await stream.receive_some(1 << 18):
                    data += piece
                    if data.endswith(b"\r\n0\r\n\r\n"):
                        break
                    await trio.sleep(0.02)
        assert cut(bytes(data)) == others
