from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.upkeep.throttle_journal import ThrottleJournal
from purgatory_sync.errors import StoreError
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.store.opening import open_store
from purgatory_sync.store.protocol import Applied, Change, DomainRow
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import MockSyncContext, clock_at

from ...world import World


async def test_a_store_that_cannot_note_a_start_does_not_occupy_the_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(rows: Sequence[DomainRow]) -> None:
        raise StoreError("closed")

    monkeypatch.setattr(world.store, "note_domains", fails)
    throttle_journal = ThrottleJournal(world.store, world.ledger, clock_at(0.0))
    throttles = ThrottleManager(MockSyncContext(), on_change=throttle_journal.domain_changed)
    with capture_logs() as logs:
        place = throttles.start_request("a.example")
        assert place is not None
        throttles.complete_request(place)
    assert throttles.statistics().domains["a.example"].in_flight == 0
    assert {each["error"] for each in logs} == {"closed"}


async def test_b_8_2_starts_survive_a_kill_though_nothing_else_is_written(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with aclosing(await open_store(tmp_path / "live")) as store, trio.open_nursery() as here:
        throttle_journal = ThrottleJournal(store, world.ledger, clock_at(0.0))
        here.start_soon(throttle_journal.run)
        for row in (DomainRow("a.example", (10.0,)), DomainRow("a.example", (10.0, 11.0), 90.0)):
            throttle_journal.domain_changed(row.domain, row.starts, row.resting_until)
            await trio.sleep(2)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        here.cancel_scope.cancel()
    async with aclosing(await open_store(tmp_path / "killed")) as store:
        assert (await store.load()).domains == (row,)


async def test_a_store_that_could_not_write_starts_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    changes: list[Change] = []

    async def apply(change: Change) -> Applied:
        changes.append(change)
        raise StoreError("full")

    monkeypatch.setattr(world.store, "apply", apply)
    throttle_journal = ThrottleJournal(world.store, world.ledger, clock_at(0.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(throttle_journal.run)
        with capture_logs() as logs:
            for _ in range(2):
                throttle_journal.domain_changed("a.example", (10.0,), None)
                await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert changes == [Change(), Change()]
    assert [each["error"] for each in logs] == ["full", "full"]
