"""Group commit, with a commit function that counts."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.errors import StoreCorrupt, StoreError
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.store.group_commit import MAX_BATCH, Writer
from purgatory_sync.store.protocol import Applied, Change, DomainRow

BAD = "bad"


@attrs.define
class Disk:
    """Stands for the database: notes every batch, fails as it is told."""

    batches: list[list[str]] = attrs.field(factory=list)
    domains: list[list[str]] = attrs.field(factory=list)
    failure: Exception | None = None

    def commit(
        self, changes: Sequence[Change], domains: Sequence[DomainRow]
    ) -> Sequence[Applied | StoreError]:
        if self.failure is not None:
            raise self.failure
        self.batches.append([change.delete[0] for change in changes])
        self.domains.append([row.domain for row in domains])
        return [
            StoreError("alone") if BAD in change.delete else Applied(saved=tuple(change.delete))
            for change in changes
        ]


def named(name: str) -> Change:
    return Change(delete=[name])


def writer_on(disk: Disk) -> tuple[Writer, trio.CapacityLimiter]:
    place = trio.CapacityLimiter(1)
    return Writer(disk.commit, place), place


async def test_one_writes_for_all_that_came_meanwhile() -> None:
    disk = Disk()
    writer, place = writer_on(disk)
    answers: dict[str, Applied] = {}

    async def bring(name: str) -> None:
        answers[name] = await writer.apply(named(name))

    with blocking_in_place():
        async with trio.open_nursery() as nursery, place:
            nursery.start_soon(bring, "first")
            await trio.testing.wait_all_tasks_blocked()
            for i in range(20):
                nursery.start_soon(bring, f"{i:02}")
            await trio.testing.wait_all_tasks_blocked()
    assert disk.batches[0] == ["first"]
    assert sorted(disk.batches[1]) == [f"{i:02}" for i in range(20)]
    assert len(disk.batches) == 2
    assert answers == {name: Applied((name,)) for name in ["first", *disk.batches[1]]}


async def test_a_batch_is_bounded() -> None:
    disk = Disk()
    writer, place = writer_on(disk)
    with blocking_in_place():
        async with trio.open_nursery() as nursery, place:
            nursery.start_soon(writer.apply, named("first"))
            await trio.testing.wait_all_tasks_blocked()
            for i in range(MAX_BATCH + 3):
                nursery.start_soon(writer.apply, named(str(i)))
            await trio.testing.wait_all_tasks_blocked()
    assert [len(batch) for batch in disk.batches] == [1, MAX_BATCH, 3]


async def test_a_bad_change_fails_alone() -> None:
    disk = Disk()
    writer, _ = writer_on(disk)
    outcomes: list[str] = []

    async def bring(name: str) -> None:
        try:
            outcomes.append((await writer.apply(named(name))).saved[0])
        except StoreError as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        for name in ("one", BAD, "two"):
            nursery.start_soon(bring, name)
    assert sorted(outcomes) == ["alone", "one", "two"]


async def test_a_failed_batch_fails_for_all_and_the_next_one_works() -> None:
    disk = Disk(failure=StoreCorrupt("damaged"))
    writer, _ = writer_on(disk)
    failures: list[StoreError] = []

    async def bring(name: str) -> None:
        with pytest.raises(StoreCorrupt, match="damaged") as caught:
            await writer.apply(named(name))
        failures.append(caught.value)

    async with trio.open_nursery() as nursery:
        for i in range(3):
            nursery.start_soon(bring, str(i))
    assert len({id(failure) for failure in failures}) == 3
    disk.failure = None
    assert await writer.apply(named("next")) == Applied(("next",))


async def test_an_unforeseen_error_is_typed_too() -> None:
    disk = Disk(failure=RuntimeError("can't start new thread"))
    writer, _ = writer_on(disk)
    with pytest.raises(StoreError, match="can't start new thread"):
        await writer.apply(named("x"))


async def test_noted_domains_go_with_the_next_batch_that_succeeds() -> None:
    disk = Disk(failure=StoreError("full"))
    writer, _ = writer_on(disk)
    writer.note_domains([DomainRow("a.example", (1.0,)), DomainRow("b.example", (1.0,))])
    with pytest.raises(StoreError):
        await writer.apply(named("x"))
    writer.note_domains([DomainRow("a.example", (2.0,))])
    disk.failure = None
    await writer.apply(named("y"))
    await writer.apply(named("z"))
    assert disk.domains == [["a.example", "b.example"], []]


async def test_cancelled_before_it_is_taken_a_change_is_not_done() -> None:
    disk = Disk()
    writer, place = writer_on(disk)
    with blocking_in_place():
        async with trio.open_nursery() as nursery, place:
            nursery.start_soon(writer.apply, named("first"))
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0) as scope:
                await writer.apply(named("withdrawn"))
            assert scope.cancelled_caught
    assert disk.batches == [["first"]]


async def test_a_leader_that_is_cancelled_before_it_begins_hands_over() -> None:
    disk = Disk()
    writer, _ = writer_on(disk)

    async def follow(go: trio.Event) -> None:
        await go.wait()
        await writer.apply(named("follower"))

    # Trio shuffles: in about half of the rounds the follower queues before the leader is gone.
    for _ in range(12):
        with blocking_in_place():
            async with trio.open_nursery() as nursery:
                go = trio.Event()
                nursery.start_soon(follow, go)
                await trio.testing.wait_all_tasks_blocked()
                with trio.CancelScope() as scope:
                    scope.cancel()
                    go.set()
                    await writer.apply(named("leader"))
                assert scope.cancelled_caught
    assert disk.batches == [["follower"]] * 12


async def test_a_leader_promoted_and_cancelled_at_once_hands_over() -> None:
    disk = Disk()
    writer, place = writer_on(disk)
    scope = trio.CancelScope()

    async def second() -> None:
        with scope:
            await writer.apply(named("second"))

    async def first() -> None:
        await writer.apply(named("first"))
        scope.cancel()

    with blocking_in_place():
        async with trio.open_nursery() as nursery, place:
            nursery.start_soon(first)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(second)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(writer.apply, named("third"))
            await trio.testing.wait_all_tasks_blocked()
    assert [name for batch in disk.batches for name in batch if name != "second"] == [
        "first",
        "third",
    ]


async def test_cancelled_after_it_was_taken_the_outcome_is_returned() -> None:
    """So that the caller's memory and the disk agree."""
    disk = Disk()
    writer, place = writer_on(disk)
    returned: list[Applied] = []
    scopes = [trio.CancelScope(), trio.CancelScope()]

    async def bring(name: str, scope: trio.CancelScope) -> None:
        with scope:
            returned.append(await writer.apply(named(name)))

    with blocking_in_place():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bring, "leader", scopes[0])
            nursery.start_soon(bring, "follower", scopes[1])
            async with place:
                await trio.testing.wait_all_tasks_blocked()
                for scope in scopes:
                    scope.cancel()
                await trio.testing.wait_all_tasks_blocked()
                assert returned == []
    assert sorted(applied.saved[0] for applied in returned) == ["follower", "leader"]
    assert len(disk.batches) == 1
