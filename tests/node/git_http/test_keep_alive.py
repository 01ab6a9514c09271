"""Signs of life for the client of a push that is judged (B 13.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.errors import PushRefused, StoreError
from purgatory_sync.node.git_http.keep_alive import EMPTY_PACKET
from purgatory_sync.node.git_http.receive_pack_http import FAILED, GitPush
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.nostr.keys import encode_npub

from ..support import Served, read_to_end, served
from .push_support import ZERO

NPUB = encode_npub("1" * 64)
SIDE_BAND = "report-status side-band-64k agent=git/2.47.0"


@attrs.define
class SlowJudge:
    """Judges for a while, then takes a push, refuses it, or fails."""

    secs: float
    end: Exception | None = None
    judged: list[str] = attrs.field(factory=list)

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str]:
        return {}

    @contextmanager
    def waiting(self, npub: str, identifier: str) -> Iterator[None]:
        yield

    async def receive(
        self,
        npub: str,
        identifier: str,
        changes: Mapping[str, str | None],
        read: Callable[[], Awaitable[bytes]],
    ) -> None:
        while await read():
            pass
        await trio.sleep(self.secs)
        self.judged.append(identifier)
        if self.end is not None:
            raise self.end


async def _nothing_here(npub: str, identifier: str) -> Path | None:
    return None


@asynccontextmanager
async def judging(judge: SlowJudge, every_secs: float = 5.0) -> AsyncIterator[Served]:
    http = GitEndpoint(_nothing_here, 1, GitPush(judge, 1 << 20, keepalive_secs=every_secs))

    async def answer(exchange: Exchange) -> None:
        assert await http.answer(exchange)

    async with served(answer) as place:
        yield place


def push(capabilities: str, version: str = "1.1", more: int = 0) -> bytes:
    command = f"{ZERO} {'1' * 40} refs/heads/main\0{capabilities}".encode()
    body = b"%04x%b0000PACK" % (len(command) + 4, command)
    head = (
        f"POST /{NPUB}/repo.git/git-receive-pack HTTP/{version}\r\nHost: a\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\nConnection: close\r\n"
        f"Content-Length: {len(body) + more}\r\n\r\n"
    )
    return head.encode() + body


async def pieces(place: Served, request: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """What came and when, in whole seconds since the request; and all of it."""
    found: list[tuple[int, bytes]] = []
    begin = trio.current_time()
    async with await place.connect() as client:
        await client.send_all(request)
        async for piece in client:
            found.append((round(trio.current_time() - begin), bytes(piece)))
    return found, b"".join(piece for _, piece in found)


async def test_b_13_4_while_a_push_is_judged_empty_packets_come(
    autojump_clock: trio.testing.MockClock,
) -> None:
    judge = SlowJudge(12)
    async with judging(judge) as place:
        found, answer = await pieces(place, push(SIDE_BAND))
    assert EMPTY_PACKET == b"0005\x01"
    assert sorted({moment for moment, _ in found}) == [5, 10, 12]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert body.startswith(b"5\r\n0005\x01\r\n5\r\n0005\x01\r\n")
    assert body.count(b"0005\x01") == 2
    assert b"unpack ok" in body
    assert judge.judged == ["repo"]


@pytest.mark.parametrize(
    ("capabilities", "secs", "every_secs"),
    [
        (SIDE_BAND, 4.9, 5.0),  # quick enough
        (SIDE_BAND, 100, 0.0),  # turned off
        ("report-status agent=go-git", 100, 5.0),  # no side-band, nowhere to put them
    ],
)
async def test_b_13_4_otherwise_a_push_is_answered_in_one_piece(
    autojump_clock: trio.testing.MockClock, capabilities: str, secs: float, every_secs: float
) -> None:
    async with judging(SlowJudge(secs), every_secs) as place:
        found, answer = await pieces(place, push(capabilities))
    assert {moment for moment, _ in found} == {round(secs)}
    assert EMPTY_PACKET not in answer
    assert b"unpack ok" in answer


async def test_b_13_4_http_1_0_gets_them_until_the_connection_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with judging(SlowJudge(6)) as place:
        _, answer = await pieces(place, push(SIDE_BAND, "1.0"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(EMPTY_PACKET)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PushRefused("no signed state names it"), b"ERR no signed state names it"),
        (StoreError("boom"), b"ERR " + FAILED.encode()),
    ],
)
async def test_b_13_4_a_refusal_after_them_is_one_that_clients_print(
    autojump_clock: trio.testing.MockClock, error: Exception, said: bytes
) -> None:
    async with judging(SlowJudge(6, error)) as place:
        _, answer = await pieces(place, push(SIDE_BAND))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"0005\x01" in answer
    assert said in answer


async def test_b_13_4_none_comes_while_the_body_still_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with judging(SlowJudge(0)) as place, await place.connect() as client:
        await client.send_all(push(SIDE_BAND, more=4))
        with trio.move_on_after(20) as waited:
            await client.receive_some(1)
        assert waited.cancelled_caught
        await client.send_all(b"rest")
        assert b"unpack ok" in await read_to_end(client)


async def test_b_13_4_a_client_that_left_does_not_end_the_judging(
    autojump_clock: trio.testing.MockClock,
) -> None:
    judge = SlowJudge(30)
    async with judging(judge) as place:
        async with await place.connect() as client:
            await client.send_all(push(SIDE_BAND))
            await trio.sleep(6)
        await trio.sleep(23)
        assert judge.judged == []
        await trio.sleep(2)
        assert judge.judged == ["repo"]
