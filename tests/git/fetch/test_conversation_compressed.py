"""Answers that are compressed without being asked (B 8.4)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio.testing

from purgatory_sync.errors import AttemptFailed, NotGit, ProtocolBroken, TooLarge
from purgatory_sync.git.protocol.pktline import pkt_line
from purgatory_sync.settings import HuntSettings

from ..scripted import ADVERTISEMENT, RESULT, SERVICE, Reply, v2_pack, world
from .attempts import PACK, REFS, TIP, URL, failure, v0_server

GZIP = (("content-encoding", "gzip"),)
REF = pkt_line(b"12" * 20 + b" refs/heads/x\n")


def compressed(reply: Reply) -> Reply:
    return attrs.evolve(reply, body=gzip.compress(reply.body), headers=GZIP)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_b_8_4_a_compressed_pack_is_taken(
    coding: str, compress: Callable[[bytes], bytes], size: int, repository: Path, tmp: Path
) -> None:
    body = compress(v2_pack(PACK).body)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(pieces=pieces, headers=(("content-encoding", coding),))
        assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
        assert place.seen[0].headers["accept-encoding"] == "identity"


async def test_b_8_4_compressed_refs_are_taken(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        usual = v0_server(REFS)
        place.answer = lambda seen: compressed(usual(seen)) if seen.method == "GET" else usual(seen)
        assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (gzip.compress(v2_pack(PACK).body)[:-30], ProtocolBroken),
        (b"\x1f\x8b\x08 nonsense", ProtocolBroken),
        (b"", ProtocolBroken),
        (
            gzip.compress(pkt_line(b"packfile\n") + pkt_line(b"\x02" + b"x" * 60_000) * 1_000),
            NotGit,
        ),
    ],
    ids=["cut", "nonsense", "empty", "bomb of progress"],
)
async def test_b_8_4_what_cannot_be_inflated_or_is_too_much_ends_the_attempt(
    body: bytes, expected: type[AttemptFailed], repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(body, content_type=RESULT, headers=GZIP)
        assert isinstance(await failure(place, repository), expected)


async def test_b_8_4_refs_are_bounded_as_they_are_inflated(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    head = SERVICE + pkt_line(b"12" * 20 + b" HEAD\0side-band-64k\n")
    bomb = Reply(gzip.compress(head + REF * 200_000), content_type=ADVERTISEMENT, headers=GZIP)
    assert len(bomb.body) < 100_000
    async with world(tmp, HuntSettings(min_free_bytes=0, max_refs_bytes=1 << 20)) as place:
        place.answer = lambda seen: Reply(status=500) if seen.method == "POST" else bomb
        assert isinstance(await failure(place, repository), TooLarge)
