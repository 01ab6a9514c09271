"""A damaged pack of any kind is refused by its own error and the repository is untouched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
import trio

from purgatory_sync.errors import AttemptFailed, BadPack, NotClosed
from purgatory_sync.git.ingest.connectivity import complete_oids
from purgatory_sync.git.pack.format import GitObject
from purgatory_sync.testing.packs import encode_pack

from ..packs import PackBuilder, blob, commit, history, oid_of, tree, with_trailer, write_loose
from .judges import Way

HISTORY = history(2)
HERE, NEW = HISTORY[:3], HISTORY[3:]
TIP = HISTORY[-1]
PACK = encode_pack(NEW)
OTHER = history(2, b"of another repository")

_AT_ONCE = 8


@asynccontextmanager
async def untouched(way: Way) -> AsyncIterator[None]:
    """The block changes nothing in the repository and leaves nothing in quarantine."""
    write_loose(way.repository, HERE)
    before = way.files()
    yield
    assert way.files() == before
    assert way.leftovers() == []


async def refusals(way: Way, packs: Iterable[bytes]) -> list[type[Exception] | None]:
    """What becomes of each pack; None where it is proven."""
    packs = list(packs)
    found: list[type[Exception] | None] = [None] * len(packs)
    places = trio.CapacityLimiter(_AT_ONCE)

    async def judge(number: int) -> None:
        async with places:
            try:
                proven = await way.prove(packs[number], TIP)
            except AttemptFailed as error:
                found[number] = type(error)
            else:
                await proven.discard()

    async with trio.open_nursery() as nursery:
        for number in range(len(packs)):
            nursery.start_soon(judge, number)
    return found


async def test_the_sound_pack_is_proven(way: Way) -> None:
    async with untouched(way):
        assert await refusals(way, [PACK]) == [None]


async def test_each_flipped_byte(way: Way) -> None:
    def flipped(at: int) -> bytes:
        return PACK[:at] + bytes([PACK[at] ^ 1 << at % 8]) + PACK[at + 1 :]

    async with untouched(way):
        found = await refusals(way, map(flipped, range(len(PACK))))
        # The number of objects may be what was flipped: then there are too many.
        assert {error.__name__ for error in found if error} <= {"BadPack", "NotClosed", "TooLarge"}
        assert None not in found


async def test_each_flipped_byte_with_a_true_checksum(way: Way) -> None:
    body = PACK[:-20]

    def flipped(at: int) -> bytes:
        return with_trailer(body[:at] + bytes([body[at] ^ 1 << (at + 4) % 8]) + body[at + 1 :])

    async with untouched(way):
        for at in range(len(body)):
            try:
                proven = await way.prove(flipped(at), TIP)
            except AttemptFailed:
                continue
            # Only the first bytes of a zlib stream mean nothing to what comes out of it.
            async with proven:
                assert proven.obtained == {oid_of(TIP)}
                assert proven.objects == 3


async def test_cut_at_each_byte(way: Way) -> None:
    async with untouched(way):
        found = await refusals(way, (PACK[:end] for end in range(len(PACK))))
        assert found == [BadPack] * len(PACK)


async def test_cut_at_each_byte_with_a_true_checksum(way: Way) -> None:
    async with untouched(way):
        ends = range(len(PACK) - 20)
        found = await refusals(way, (with_trailer(PACK[:end]) for end in ends))
        assert found == [BadPack] * len(ends)


def with_count(count: int, *objects: GitObject) -> bytes:
    pack = PackBuilder()
    for object in objects:
        pack.add(object)
    return pack.build(count)


def of_sha256() -> bytes:
    """Names in commits and trees are longer there, and so is the trailer."""
    content = blob(b"x")
    root = GitObject(2, b"100644 a\0" + bytes(range(32)))
    tip = commit(root)
    renamed = GitObject(1, tip.data.replace(oid_of(root).encode(), b"ab" * 32))
    body = encode_pack([content, root, renamed])[:-20]
    return body + sha256(body).digest()


def broken_file() -> bytes:
    """Objects that hold together, under names that their bytes do not have."""
    root = tree((b"100644", b"a", bytes(range(20))))
    return encode_pack([root, commit(root)])


@pytest.mark.parametrize(
    ("pack", "expected"),
    [
        (lambda: b"", BadPack),
        (lambda: b"<!doctype html><title>Not here</title>" * 9, BadPack),
        (lambda: encode_pack([]), BadPack),
        (lambda: PACK + b"\0", BadPack),
        (lambda: PACK + PACK, BadPack),
        (lambda: with_trailer(PACK[:-20] + b"more"), BadPack),
        (lambda: with_count(2, *NEW), BadPack),
        (lambda: with_count(4, *NEW), BadPack),
        (lambda: encode_pack(NEW[1:]), NotClosed),
        (lambda: encode_pack([*OTHER[3:]]), NotClosed),
        (lambda: encode_pack([*NEW, OTHER[-1]]), NotClosed),
        (of_sha256, BadPack),
        (lambda: with_trailer(of_sha256()[:-32]), BadPack),
        (broken_file, NotClosed),
    ],
    ids=[
        "nothing",
        "a page",
        "empty",
        "a byte after it",
        "twice",
        "bytes in front of the checksum",
        "more objects than declared",
        "fewer objects than declared",
        "a hole",
        "shallow",
        "one shallow history beside what was asked for",
        "sha256",
        "sha256 inside",
        "names of nothing",
    ],
)
async def test_what_is_wrong_has_its_own_error(
    way: Way, pack: Callable[[], bytes], expected: type[Exception]
) -> None:
    async with untouched(way):
        assert await refusals(way, [pack()]) == [expected]


async def test_another_repository_is_sound_but_not_what_was_asked_for(way: Way) -> None:
    async with untouched(way), await way.prove(encode_pack(OTHER), TIP) as proven:
        assert proven.obtained == set()


async def test_more_than_was_asked_for_is_welcome(way: Way) -> None:
    write_loose(way.repository, HERE)
    more = [*NEW, *OTHER, blob(b"that nothing points at")]
    async with await way.prove(encode_pack(more), TIP) as proven:
        assert proven.objects == len(more)
        await proven.join()
    names = [oid_of(TIP), oid_of(OTHER[-1]), oid_of(more[-1])]
    assert complete_oids(way.repository, names) == set(names)
