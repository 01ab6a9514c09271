"""One lock per identifier (B 6.7, 7.1)."""

from __future__ import annotations

import gc

import trio
from trio.testing import MockClock

from purgatory_sync.release.index.locks import IdentifierLocks

from ...world import is_held


def locks_in_memory() -> int:
    gc.collect()
    return sum(isinstance(each, trio.Lock) for each in gc.get_objects())


async def test_b_6_7_one_identifier_is_held_by_one_at_a_time(autojump_clock: MockClock) -> None:
    before, locks, log = locks_in_memory(), IdentifierLocks(), []

    async def work(name: str, identifier: str) -> None:
        async with locks.hold(identifier):
            log.append(f"{name} in")
            await trio.sleep(1)
            log.append(f"{name} out")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, "a", "repo")
        await trio.sleep(0.1)
        nursery.start_soon(work, "b", "repo")
        nursery.start_soon(work, "c", "other")
    assert [each for each in log if each[0] != "c"] == ["a in", "a out", "b in", "b out"]
    assert log.index("c in") < log.index("a out")
    assert not await is_held(locks, "repo")
    assert locks_in_memory() == before


async def test_b_6_7_several_locks_are_taken_in_sorted_order(autojump_clock: MockClock) -> None:
    locks = IdentifierLocks()

    async def work(*identifiers: str) -> None:
        for _ in range(20):
            async with locks.hold(*identifiers):
                await trio.sleep(0.01)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for names in (("a", "b", "c"), ("c", "b", "a"), ("b", "c"), ("c", "a", "a")):
                nursery.start_soon(work, *names)
    async with locks.hold("b"), trio.open_nursery() as nursery:
        nursery.start_soon(work, "c", "a", "b")
        await trio.sleep(0.1)
        assert [await is_held(locks, name) for name in "abc"] == [True, True, False]
        nursery.cancel_scope.cancel()
    assert not any([await is_held(locks, name) for name in "abc"])
