"""Servers that are slow, endless or hung, on virtual time (B 8.4)."""

from pathlib import Path

import pytest
import trio
import trio.testing

from purgatory_sync.errors import (
    ProtocolBroken,
    TimedOut,
    TooLarge,
)
from purgatory_sync.settings import HuntSettings

from .attempts import (
    PACK,
    REFS,
    TIP,
    URL,
    failure,
    smart,
    v0_server,
)
from .scripted import (
    HANG,
    Answer,
    Reply,
    err,
    seconds,
    v2_pack,
    world,
)


@pytest.mark.parametrize(
    "reply",
    [
        HANG,
        Reply(raw=b"HTTP/1.1 200 OK\r\n", then="hang"),
        Reply(v2_pack(PACK).body[:100], then="hang"),
    ],
)
async def test_silence_ends_an_attempt(
    reply: Reply, repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: reply
        with seconds(30):
            assert isinstance(await failure(place, repository), TimedOut)


async def test_a_drip_ends_an_attempt_after_its_whole_time(
    repository: Path, tmp: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp) as place:
        drip = [bytes([byte]) for byte in v2_pack(PACK).body]
        place.answer = lambda seen: Reply(pieces=drip, secs_between=20)
        with seconds(600):
            assert isinstance(await failure(place, repository), TimedOut)


async def test_hung_servers_delay_nobody(
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


LARGE = v2_pack(bytes(3_000_000)).body[:-4]


async def test_what_came_of_a_large_pack_is_removed(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: Reply(LARGE)
        assert isinstance(await failure(place, repository), ProtocolBroken)


@pytest.mark.parametrize(
    "reply",
    [HANG, Reply(v2_pack(PACK).body[:100], then="hang"), Reply(LARGE, then="hang")],
)
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


async def test_a_pack_is_bounded(repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=0, max_pack_bytes=len(PACK) - 1)) as place:
        place.answer = lambda seen: v2_pack(PACK)
        assert isinstance(await failure(place, repository), TooLarge)


@pytest.mark.parametrize("answer", [v0_server(REFS), smart(REFS, set(), err("no"))])
async def test_advertised_refs_are_bounded(answer: Answer, repository: Path, tmp: Path) -> None:
    async with world(tmp, HuntSettings(min_free_bytes=0, max_refs_bytes=50)) as place:
        place.answer = answer
        assert isinstance(await failure(place, repository), TooLarge)
