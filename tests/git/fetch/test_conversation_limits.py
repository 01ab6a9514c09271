"""Servers that are slow, hung or endless, on virtual time (B 8.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat
from pathlib import Path
from random import Random
from typing import Literal

import pytest
import trio
import trio.testing

from purgatory_sync.errors import (
    AttemptFailed,
    BadPack,
    DiskFull,
    NotGit,
    NotHttp,
    ProtocolBroken,
    RepositoryUnavailable,
    TimedOut,
    TlsFailed,
    TooLarge,
)
from purgatory_sync.git.pack.format import BLOB, GitObject
from purgatory_sync.git.protocol.pktline import pkt_line
from purgatory_sync.settings import HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..scripted import (
    ADVERTISEMENT,
    HANG,
    RESULT,
    SERVICE,
    Answer,
    Reply,
    Seen,
    err,
    info_v2,
    refs_v2,
    seconds,
    v2_pack,
    world,
)
from .attempts import GET, PACK, POST, REFS, TIP, URL, failure, smart, v0_server

HEAD = b"HTTP/1.1 200 OK\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\n\r\n"
WHOLE = v2_pack(PACK).body
FIRST = pkt_line(b"packfile\n")
PROGRESS = pkt_line(b"\x02Counting objects: 1\r")
REFS_LINES = pkt_line(b"12" * 20 + b" refs/heads/x\n") * 100
# The header of a pack of many objects, and one of them.
SOUND = encode_pack([GitObject(BLOB, Random(1).randbytes(60_000))])
SOUND = SOUND[:8] + (2_000_000).to_bytes(4, "big") + SOUND[12:]
LARGE = v2_pack(encode_pack([GitObject(BLOB, Random(1).randbytes(3_000_000))])).body[:-4]


def opened() -> list[Path]:
    """What this process has open."""
    return [each.resolve() for each in Path("/proc/self/fd").iterdir()]


def held(body: bytes) -> Reply:
    """A body after which nothing comes, not even its end."""
    return Reply(body, then="hang")


def bytewise(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


# Silence, at every point of an answer


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=HEAD[:7], then="hang"),
        Reply(raw=HEAD, then="hang"),
        Reply(raw=HEAD + b"content-ty", then="hang"),
        Reply(raw=HEAD + b"content-length: 10\r\ncontent-type: %b\r\n\r\n00" % RESULT.encode()),
        held(b"00"),
        held(b"000dpack"),
        held(WHOLE[:100]),
        held(WHOLE[:-4]),
        held(WHOLE[:-1]),
    ],
)
async def test_silence_ends_an_attempt(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(reply.body, raw=reply.raw, then="hang")
        with seconds(30):
            assert isinstance(await failure(place, repository), TimedOut)
        assert place.asked == [POST]


@pytest.mark.parametrize("held_back", [info_v2().body[:-2], SERVICE, b"001e# serv"])
async def test_silence_within_the_refs_ends_an_attempt(
    held_back: bytes, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: (
            Reply(status=500)
            if seen.method == "POST"
            else Reply(held_back, content_type=ADVERTISEMENT, then="hang")
        )
        with seconds(30):
            assert isinstance(await failure(place, repository), TimedOut)


async def test_silence_instead_of_tls_ends_an_attempt(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.mute = True
        with seconds(10):
            error = await failure(place, repository, "https://git.example/a.git")
        assert isinstance(error, TimedOut)
        assert not isinstance(error, TlsFailed)


# Drips: never silent for long, ended by the total deadline


@pytest.mark.parametrize(
    "reply",
    [
        Reply(pieces=bytewise(WHOLE), secs_between=5),
        Reply(raw=HEAD, pieces=bytewise(b"x: y\r\n" * 50), secs_between=5),
        Reply(pieces=[FIRST, *[PROGRESS] * 200], secs_between=5),
        Reply(raw=HINT, pieces=[HINT] * 15, secs_between=29),
    ],
    ids=["pack", "head", "progress", "hints"],
)
async def test_a_drip_ends_an_attempt_after_its_whole_time(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    settings = HuntSettings(min_free_bytes=0, total_timeout_secs=300)
    async with world(tmp, settings) as place:
        place.answer = lambda seen: reply
        with seconds(300):
            assert isinstance(await failure(place, repository), TimedOut)
        assert place.asked == [POST]


# What comes without end


@pytest.mark.parametrize(
    ("raw", "pieces", "expected"),
    [
        (b"", [HEAD * 100], NotHttp),
        (HEAD, [b"x: y\r\n" * 100], NotHttp),
        (HEAD + b"x: ", [b"y" * 1000], NotHttp),
        (b"", [b"HTTP/1.1 100 Continue\r\n\r\n"], ProtocolBroken),
        (None, [FIRST, PROGRESS * 1000], ProtocolBroken),
        (None, [FIRST, pkt_line(b"\x01" + b"x" * 65000)], BadPack),
        (
            None,
            [FIRST, pkt_line(b"\x01" + SOUND[:12]), pkt_line(b"\x01" + SOUND[12:-20])],
            TooLarge,
        ),
    ],
    ids=["heads", "headers", "header", "100s", "progress", "nonsense", "pack"],
)
async def test_an_answer_without_end_is_bounded(
    raw: bytes | None,
    pieces: list[bytes],
    expected: type[AttemptFailed],
    repository: Path,
    tmp: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = HuntSettings(min_free_bytes=0, max_pack_bytes=3_000_000)
    async with world(tmp, settings) as place:
        place.answer = lambda seen: Reply(raw=raw, pieces=chain(pieces, repeat(pieces[-1])))
        with seconds(0):
            error = await failure(place, repository)
        # An answer that is no answer is followed by one look at the refs, which fares no better;
        # so is one that brought much for nothing, so that it is not asked for again.
        assert isinstance(error, expected) or isinstance(error.__context__, expected)
        assert place.asked in ([POST], [POST, GET], [POST, POST, GET])


def endless(pieces: Iterable[bytes], content_type: str = RESULT) -> Reply:
    return Reply(pieces=pieces, content_type=content_type)


def endless_info(seen: Seen) -> Reply:
    if seen.method == "POST":
        return Reply(status=500)
    first = pkt_line(b"12" * 20 + b" HEAD\0side-band-64k\n")
    return endless(chain([SERVICE, first], repeat(REFS_LINES)), ADVERTISEMENT)


def endless_list(seen: Seen) -> Reply:
    return endless(repeat(REFS_LINES)) if b"ls-refs" in seen.body else err("not our ref")


def endless_capabilities(seen: Seen) -> Reply:
    if seen.method == "POST":
        return Reply(status=500)
    lines = chain([SERVICE, pkt_line(b"version 2\n")], repeat(pkt_line(b"x\n")))
    return endless(lines, ADVERTISEMENT)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (endless_info, TooLarge),
        (endless_list, TooLarge),
        (endless_capabilities, ProtocolBroken),
        (v0_server(REFS), TooLarge),
        (smart(REFS, set(), err("no")), TooLarge),
    ],
)
async def test_advertised_refs_are_bounded(
    answer: Answer, expected: type[AttemptFailed], repository: Path, tmp: Path
) -> None:
    few = 50 if "endless" not in answer.__name__ else 1_000_000
    async with world(tmp, HuntSettings(min_free_bytes=0, max_refs_bytes=few)) as place:
        place.answer = answer
        assert type(await failure(place, repository)) is expected


async def test_a_refusal_without_end_is_not_read_to_its_end(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(status=404, pieces=repeat(b"<p>sorry" * 1000))
        with seconds(0):
            assert isinstance(await failure(place, repository), RepositoryUnavailable)
        place.answer = lambda seen: Reply(status=404, pieces=repeat(b"x"), secs_between=1)
        start = trio.current_time()
        assert isinstance(await failure(place, repository), RepositoryUnavailable)
        assert trio.current_time() - start < 1


async def test_a_page_without_end_is_not_read(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: endless(repeat(b"<p>sorry"), "text/html")
        with seconds(0):
            assert isinstance(await failure(place, repository), NotGit)


# Connections that stay open when all has been said


@pytest.mark.parametrize("then", ["hang", "cut"])
async def test_a_pack_that_is_here_is_not_waited_for(
    then: str, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(WHOLE, then=then)
        for _ in range(2):
            start = trio.current_time()
            assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
            assert trio.current_time() - start < 0.1
        assert place.asked == [POST, POST]
        assert place.connections == 2


def held_list(seen: Seen) -> Reply:
    if b"ls-refs" in seen.body:
        return held(refs_v2(REFS).body)
    return v2_pack(PACK) if seen.wants == [TIP] else err("not our ref")


def held_info(seen: Seen) -> Reply:
    usual = v0_server(REFS)(seen)
    return usual if seen.method == "POST" else Reply(usual.body, 200, ADVERTISEMENT, then="hang")


def held_refusal(seen: Seen) -> Reply:
    usual = smart(REFS, {TIP}, err("not our ref"))(seen)
    return held(usual.body) if usual == err("not our ref") else usual


@pytest.mark.parametrize("answer", [held_list, held_info, held_refusal])
async def test_nor_is_the_end_of_a_list_or_a_refusal(
    answer: Callable[[Seen], Reply],
    repository: Path,
    tmp: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world(tmp) as place:
        place.answer = answer
        start = trio.current_time()
        proven = await place.client.fetch_oids(repository, URL, [TIP, "12" * 20])
        assert proven.obtained == {TIP}
        assert trio.current_time() - start < 0.5


# Others meanwhile, cancellation, size


async def test_hung_servers_delay_no_other(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place, trio.open_nursery() as nursery:
        place.answer = lambda seen: HANG if seen.host.startswith("hung") else v2_pack(PACK)
        for number in range(101):
            url = f"http://hung{number}.example/a.git"
            nursery.start_soon(place.client.fetch_oids, repository, url, [TIP])
        await trio.testing.wait_all_tasks_blocked()
        with seconds(0):
            assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
        nursery.cancel_scope.cancel()


async def test_what_came_of_a_large_pack_is_removed(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(LARGE)
        assert isinstance(await failure(place, repository), ProtocolBroken)
        assert repository not in opened()


@pytest.mark.parametrize("reply", [HANG, held(WHOLE[:100]), held(LARGE)])
async def test_cancelling_ends_an_attempt_at_once(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        with seconds(5), trio.move_on_after(5):
            await place.client.fetch_oids(repository, URL, [TIP])
        await trio.testing.wait_all_tasks_blocked()
        assert place.open == 0
        assert place.left_behind() == []


@pytest.mark.parametrize("ingest", ["auto", pytest.param("git", marks=pytest.mark.real)])
async def test_cancelling_after_the_proof_leaves_nothing_open(
    ingest: Literal["auto", "git"],
    repository: Path,
    tmp: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The end of the answer is awaited for a moment, although all that is wanted is here."""
    async with world(tmp, HuntSettings(min_free_bytes=0, ingest=ingest)) as place:
        place.answer = lambda seen: held(WHOLE)
        with trio.move_on_after(0.04) as scope:
            await place.client.fetch_oids(repository, URL, [TIP])
        assert scope.cancelled_caught
        assert place.left_behind() == []
        assert repository not in opened()


async def test_b_8_4_on_a_full_disk_no_server_is_contacted(repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=1 << 60)) as place:
        place.answer = lambda seen: v2_pack(PACK)
        error = await failure(place, repository)
        assert isinstance(error, DiskFull)
        assert not error.contacted
        assert (place.asked, place.connections) == ([], 0)


async def test_a_pack_is_bounded(repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=0, max_pack_bytes=len(PACK) - 1)) as place:
        place.answer = lambda seen: v2_pack(PACK)
        assert isinstance(await failure(place, repository), TooLarge)
