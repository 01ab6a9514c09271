"""The verification that comes by itself, and what is remembered of it (B 13.7)."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.keeping.caretaker import Caretaker
from purgatory_sync.engine.verifying.findings import Flaw, Verified
from purgatory_sync.engine.verifying.verifier import Verifier
from purgatory_sync.engine.verifying.verify_record import VERIFIED, VerifyRecord
from purgatory_sync.engine.verifying.verify_rounds import (
    FIRST_AFTER_SECS,
    SECS_PER_DAY,
    VerifyRounds,
)
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing.mock_context import clock_at

from ...git.local_repos import history
from ...world import NOW, World
from .test_verifier import MAIN, NAME, OWNER, serve

BAD = Flaw(NAME, "refs", "refs/heads/main is another")
DAY = SECS_PER_DAY


def found(at: float, *flaws: Flaw) -> Verified:
    return Verified(at, at, 1, 0, flaws, len(flaws), len(flaws))


def rounds(world: World, record: VerifyRecord, days: float) -> VerifyRounds:
    clock = clock_at(NOW)
    verifier = Verifier(world.store, world.core, world.releaser, clock, nullcontext, record=record)
    return VerifyRounds(verifier, record, clock, days)


def ended(record: VerifyRecord) -> float | None:
    return None if record.last is None else record.last.ended


async def let_run(each: VerifyRounds, secs: float) -> None:
    with blocking_in_place(), trio.move_on_after(secs):
        await each.run()


async def test_b_13_7_everything_is_verified_every_thirty_days(
    world: World, autojump_clock: MockClock
) -> None:
    record = VerifyRecord(None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_run, rounds(world, record, 30), 61 * DAY)
        await trio.sleep(FIRST_AFTER_SECS - 1)
        assert ended(record) is None
        await trio.sleep(2)
        first = ended(record)
        assert first is not None
        await trio.sleep(30 * DAY - 2)
        assert ended(record) == first
        await trio.sleep(3700)
        assert ended(record) == pytest.approx(first + 30 * DAY, abs=3700)
        nursery.cancel_scope.cancel()


async def test_b_13_7_zero_days_is_never(world: World, autojump_clock: MockClock) -> None:
    record = VerifyRecord(None)
    await let_run(rounds(world, record, 0), 100 * DAY)
    assert record.last is None


async def test_b_13_7_a_start_knows_when_the_last_one_was(
    world: World, autojump_clock: MockClock
) -> None:
    record = VerifyRecord(None, found(NOW - 29 * DAY))
    await let_run(rounds(world, record, 30), DAY - 10)
    assert record.last == found(NOW - 29 * DAY)
    await let_run(rounds(world, record, 30), DAY + 3700)
    assert record.last != found(NOW - 29 * DAY)


def test_b_13_7_what_was_found_is_remembered_over_a_restart(tmp_path: Path) -> None:
    VerifyRecord(tmp_path).note(found(5.0, BAD), None)
    record = VerifyRecord(tmp_path)
    record.load()
    assert record.last == found(5.0, BAD)
    assert record.counts()["refs"] == 1
    assert record.counts()["missing"] == record.counts()["not_looked"] == 0
    (tmp_path / VERIFIED).write_text("{")
    record = VerifyRecord(tmp_path)
    record.load()
    assert (record.last, record.counts()) == (None, {})


def test_b_13_7_looking_at_some_again_replaces_what_is_known_of_them() -> None:
    other = Flaw("another", "damaged", "x")
    record = VerifyRecord(None, found(5.0, BAD, other))
    record.note(found(9.0), [NAME])
    assert record.last is not None
    assert (record.last.ended, record.last.findings, record.last.left) == (5.0, (other,), 1)
    nothing = VerifyRecord(None)
    nothing.note(found(9.0, BAD), [NAME])
    assert nothing.last is None


@pytest.mark.real
async def test_b_13_7_list_shows_what_was_found(world: World) -> None:
    steps = history(2)
    await serve(world, steps, OWNER)
    update_refs(world.path(OWNER), {MAIN: steps[0].oid})
    record = VerifyRecord(None)
    each = rounds(world, record, 30)
    await each.verifier.verify()
    caretaker = Caretaker(world.core, world.releaser, record)
    (listed,) = await caretaker.list()
    assert listed.problem is not None
    assert listed.problem.startswith("`verify` found: refs/heads/main is ")
    await each.verifier.verify([NAME], repair=True)
    (listed,) = await caretaker.list()
    assert listed.problem is None
