"""What was proven, or asked for, before objects were dropped is no server's fault after it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import BadPack, LocalFailure, NotClosed
from purgatory_sync.git.disk.layout import begin_era, read_era
from purgatory_sync.git.disk.ref_lock import exclusive
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.git.ingest.sink import Ingest, PackSink
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.testing.packs import encode_pack

from ..fetch.attempts import PACK, STEPS, TIP, URL
from ..ingest.judges import Way
from ..local_repos import add_pack, new_repository, write_loose_ref
from ..packs import PackBuilder, delta, history, name_of, oid_of, write_loose
from ..scripted import Reply, Seen, pack_of, v2_pack, world

OLD, NEW = history(2)[:3], history(2)[3:]


def thin() -> bytes:
    pack = PackBuilder()
    pack.ref_delta(name_of(OLD[0]), delta(OLD[0].data, NEW[0].data))
    pack.add(NEW[1])
    pack.add(NEW[2])
    return pack.build()


def drop(way: Way, objects: Sequence[GitObject] = OLD) -> None:
    """As `dropping` does it: an era begins, then the objects go."""
    begin_era(way.repository)
    for each in objects:
        (way.repository / "objects" / oid_of(each)[:2] / oid_of(each)[2:]).unlink()


@pytest.fixture
def leaning(way: Way) -> Way:
    write_loose(way.repository, OLD)
    return way


def opened(way: Way, era: str | None = None) -> PackSink:
    return Ingest(way.settings, way.tmp).open_sink(way.repository, era)


@pytest.mark.parametrize("pack", [encode_pack(NEW), thin()], ids=["whole", "thin"])
async def test_what_was_proven_before_does_not_join(leaning: Way, pack: bytes) -> None:
    async with await leaning.prove(pack, NEW[2]) as quarantined:
        drop(leaning)
        with pytest.raises(LocalFailure, match="dropped meanwhile"):
            await quarantined.join()
    assert list((leaning.repository / "objects" / "pack").iterdir()) == []
    assert leaning.leftovers() == []


async def test_nothing_joins_while_another_process_drops(leaning: Way) -> None:
    async def join(quarantined: Quarantined) -> None:
        with pytest.raises(LocalFailure, match="dropped meanwhile"):
            await quarantined.join()

    async with (
        await leaning.prove(encode_pack(NEW), NEW[2]) as quarantined,
        trio.open_nursery() as nursery,
    ):
        with exclusive(leaning.repository):
            nursery.start_soon(join, quarantined)
            await trio.sleep(0.2)
            drop(leaning)
    assert list((leaning.repository / "objects" / "pack").iterdir()) == []


async def test_what_is_proven_in_one_era_joins(leaning: Way) -> None:
    begin_era(leaning.repository)
    async with await leaning.prove(encode_pack(NEW), NEW[2]) as quarantined:
        await quarantined.join()
    assert list((leaning.repository / "objects" / "pack").iterdir()) != []


@pytest.mark.parametrize("pack", [encode_pack(NEW), thin()], ids=["whole", "thin"])
async def test_a_pack_that_leans_on_what_goes_meanwhile_is_not_called_bad(
    leaning: Way, pack: bytes
) -> None:
    async with opened(leaning) as sink:
        await sink.write(pack)
        drop(leaning)
        with pytest.raises(LocalFailure, match="dropped meanwhile"):
            await sink.prove([oid_of(NEW[2])])
    assert leaning.leftovers() == []


@pytest.mark.parametrize("pack", [encode_pack(NEW), thin()], ids=["whole", "thin"])
async def test_nor_is_one_whose_sender_was_told_before(leaning: Way, pack: bytes) -> None:
    era = read_era(leaning.repository)
    drop(leaning)
    async with opened(leaning, era) as sink:
        await sink.write(pack)
        with pytest.raises(LocalFailure, match="dropped meanwhile"):
            await sink.prove([oid_of(NEW[2])])


async def test_an_empty_answer_is_believed_of_the_era_only(leaning: Way) -> None:
    async with opened(leaning) as sink:
        await sink.write(encode_pack([]))
        drop(leaning)
        with pytest.raises(LocalFailure, match="dropped meanwhile"):
            await sink.prove([oid_of(OLD[2])], [oid_of(OLD[2])])


async def test_in_one_era_a_bad_pack_is_a_bad_pack(leaning: Way) -> None:
    drop(leaning)
    with pytest.raises(NotClosed):
        await leaning.prove(encode_pack(NEW), NEW[2])
    with pytest.raises(BadPack):
        await leaning.prove(thin(), NEW[2])


@pytest.mark.parametrize("when", ["before it answers", "never"])
async def test_a_server_that_was_told_what_is_gone_by_now_is_not_to_blame(
    tmp_path: Path, autojump_clock: MockClock, when: str
) -> None:
    repository = new_repository(tmp_path)
    first = add_pack(repository, STEPS[0].objects)
    write_loose_ref(repository, "refs/heads/main", STEPS[0].oid)
    rest = pack_of([item for step in STEPS[1:] for item in step.objects])

    def answer(seen: Seen) -> Reply:
        (repository / "objects/pack" / f"{first}.idx").unlink(missing_ok=True)
        if when != "never":
            begin_era(repository)
        return v2_pack(rest)

    async with world(tmp_path) as place:
        place.answer = answer
        with pytest.raises(LocalFailure if when != "never" else NotClosed):
            await place.client.fetch_oids(repository, URL, [TIP])


async def test_what_was_dropped_long_ago_stops_no_fetch(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    repository = new_repository(tmp_path)
    begin_era(repository)
    async with world(tmp_path) as place:
        place.answer = lambda seen: v2_pack(PACK)
        async with await place.client.fetch_oids(repository, URL, [TIP]) as quarantined:
            await quarantined.join()
    assert present_oids(repository, [TIP]) == {TIP}


def test_an_era_that_cannot_begin_leaves_the_last_one(tmp_path: Path) -> None:
    path = new_repository(tmp_path)
    begin_era(path)
    last = read_era(path)
    with pytest.MonkeyPatch.context() as patch:

        def full(_: int) -> None:
            # A reader that starts now sees the last one.
            assert read_era(path) == last
            raise OSError(errno.ENOSPC, "disk full")

        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="disk full"):
            begin_era(path)
    assert read_era(path) == last
    begin_era(path)
    assert read_era(path) != last
