"""A healthy transfer ends by silence or by the floor, not by its age (B 8.4), on virtual time."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from purgatory_sync.errors import TimedOut
from purgatory_sync.git.fetch.lifetime import Lifetime
from purgatory_sync.settings import KIB, HuntSettings
from purgatory_sync.testing.packs import encode_pack

from ..packs import blob, commit, oid_of, tree
from ..scripted import Reply, Seen, v2_pack, world
from .attempts import URL

MB = 1_000_000
LARGE = blob(Random(3).randbytes(1_500_000))
ROOT = tree((b"100644", b"large", LARGE))
TIP = commit(ROOT)
BODY = v2_pack(encode_pack([LARGE, ROOT, TIP])).body


def dripping(piece_bytes: int) -> Reply:
    """A history of 1.5 MB, so many bytes of it a second."""
    pieces = [BODY[at : at + piece_bytes] for at in range(0, len(BODY), piece_bytes)]
    return Reply(pieces=pieces, secs_between=1.0)


async def test_b_8_4_a_transfer_above_the_floor_is_not_ended_by_its_age(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: dripping(1_100)
        start = trio.current_time()
        async with await place.client.fetch_oids(repository, URL, [oid_of(TIP)]) as proven:
            assert proven.obtained == {oid_of(TIP)}
        assert trio.current_time() - start > 2 * 600


async def test_b_8_4_a_transfer_below_the_floor_has_its_whole_time(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: dripping(900)
        start = trio.current_time()
        with pytest.raises(TimedOut, match="600 s, and less than 1024 bytes of pack"):
            await place.client.fetch_oids(repository, URL, [oid_of(TIP)])
        assert 600 <= trio.current_time() - start < 630
        assert place.left_behind() == []


async def test_b_8_4_a_transfer_that_becomes_slow_ends_by_the_floor(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    def answer(seen: Seen) -> Reply:
        fast = dripping(1_500).pieces
        pieces = [*list(fast)[:700], *([BODY[1_050_000:1_050_010]] * 1_000)]
        return Reply(pieces=pieces, secs_between=1.0)

    async with world(tmp) as place:
        place.answer = answer
        start = trio.current_time()
        with pytest.raises(TimedOut):
            await place.client.fetch_oids(repository, URL, [oid_of(TIP)])
        assert 700 < trio.current_time() - start <= 730


async def test_b_8_4_two_gigabytes_at_one_megabyte_a_second_arrive(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = HuntSettings()
    assert settings.max_pack_bytes > 2_000 * MB
    lifetime = Lifetime(trio.CancelScope(), settings)
    with lifetime.scope:
        lifetime.begin()
        for _ in range(2_000):
            await trio.sleep(1)
            lifetime.received(MB)
        lifetime.body_ended()
        await trio.sleep(599)  # the proof
    assert not lifetime.scope.cancelled_caught


async def test_each_window_costs_what_the_floor_asks_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lifetime = Lifetime(trio.CancelScope(), HuntSettings(total_timeout_secs=10))
    with lifetime.scope:
        lifetime.begin()
        lifetime.received(30 * KIB - 1)
        assert lifetime.scope.deadline == 10
        lifetime.received(1)
        assert lifetime.scope.deadline == 30
        await trio.sleep(20)
        lifetime.received(30 * KIB)
        assert lifetime.scope.deadline == 50
