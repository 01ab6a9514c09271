"""Servers that leave a first request without an answer, on virtual time (B 8.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio.testing

from purgatory_sync.errors import ObjectsRefused, TimedOut
from purgatory_sync.git.protocol.pktline import pkt_line

from ..scripted import (
    ADVERTISEMENT,
    HANG,
    SERVICE,
    Answer,
    Reply,
    Seen,
    World,
    refs_v0,
    seconds,
    v0_pack,
    v2_pack,
    world,
)
from .attempts import GET, PACK, POST, REFS, TIP, URL, failure, smart

WHOLE = v2_pack(PACK)


def info(agent: str) -> Reply:
    lines = [b"version 2\n", b"agent=" + agent.encode() + b"\n", b"ls-refs\n", b"fetch\n"]
    return Reply(SERVICE + b"".join(map(pkt_line, lines)) + b"0000", content_type=ADVERTISEMENT)


def late(reply: Reply, secs: float) -> Reply:
    """The same answer, whose first byte takes its time."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        % (
            reply.content_type.encode(),
            len(reply.body),
        )
    )
    return Reply(raw=b"", pieces=[head + reply.body], secs_between=secs)


@attrs.define
class InOrder:
    """Answers nothing before it was asked for info/refs, on any connection; then at once."""

    greet: Callable[[], Reply]
    pack: Reply
    greeted: bool = False

    def __call__(self, seen: Seen) -> Reply:
        if seen.method == "GET":
            self.greeted = True
            return self.greet()
        if not self.greeted:
            return HANG
        self.greeted = False
        return self.pack


async def fetched(place: World, repository: Path) -> None:
    async with await place.client.fetch_oids(repository, URL, [TIP]) as proven:
        assert proven.obtained == {TIP}


@pytest.mark.parametrize(
    "answer",
    [
        InOrder(lambda: info("git/2.39"), WHOLE),
        InOrder(lambda: refs_v0(REFS, "side-band-64k"), v0_pack(PACK)),
    ],
    ids=["v2", "v0"],
)
async def test_b_8_4_what_is_not_answered_is_asked_in_gits_order(
    answer: Answer, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = answer
        with seconds(5):
            await fetched(place, repository)
        assert place.asked == [POST, GET, POST]
        with seconds(0):
            await fetched(place, repository)
        assert place.asked[3:] == [GET, POST]


async def test_b_8_4_another_repository_of_that_server_is_asked_in_order_too(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = InOrder(lambda: info("git/2.39"), WHOLE)
        await fetched(place, repository)
        with seconds(0):
            await place.client.fetch_oids(repository, URL.replace("a.git", "b.git"), [TIP])


async def test_b_8_4_a_server_that_is_slow_in_any_order_is_given_its_time(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: info("git/2.39") if seen.method == "GET" else late(WHOLE, 20)
        with seconds(5 + 20):
            await fetched(place, repository)
        assert place.asked == [POST, GET, POST]
        with seconds(20):
            await fetched(place, repository)
        assert place.asked[3:] == [POST]


@pytest.mark.parametrize("agent", ["go-git/6.x", "dulwich/0.24.1"])
async def test_b_8_4_who_makes_the_whole_pack_first_may_take_long(
    agent: str, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: info(agent) if seen.method == "GET" else late(WHOLE, 290)
        await fetched(place, repository)
        assert place.asked == [POST, GET, POST]
        await fetched(place, repository)
        assert place.asked[3:] == [POST]


async def test_b_8_4_who_is_not_known_for_it_is_given_up_after_silence(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: info("git/2.39") if seen.method == "GET" else HANG
        with seconds(5 + 30):
            assert isinstance(await failure(place, repository), TimedOut)
        assert place.asked == [POST, GET, POST]
        with seconds(5 + 30):
            await failure(place, repository)
        assert place.asked[3:] == [POST, GET, POST]


async def test_an_answer_that_begins_is_not_taken_for_none(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    slow = Reply(WHOLE.body, pieces=[WHOLE.body[:40], WHOLE.body[40:]], secs_between=20)
    async with world(tmp) as place:
        place.answer = lambda seen: slow
        await fetched(place, repository)
        assert place.asked == [POST]


async def test_a_list_that_is_not_answered_is_asked_for_in_order_too(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    usual = smart(REFS, {TIP}, Reply(status=500))

    def answer(seen: Seen) -> Reply:
        return HANG if b"command=ls-refs" in seen.body else usual(seen)

    async with world(tmp) as place:
        place.answer = answer
        with pytest.raises(ObjectsRefused), seconds(5):
            await place.client.fetch_oids(repository, URL, ["12" * 20])
