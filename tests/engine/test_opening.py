"""What an embedder opens: a running engine, and what it offers, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import run_engine
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events

from ..git.local_repos import add_pack, history
from .pushes.pushing_support import pack_of
from .test_engine import MAIN, NOW, OWNER, Home, announce, held


async def test_what_the_block_raises_comes_out_as_it_is(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    with pytest.raises(ValueError, match="of ours"):
        async with home.running():
            raise ValueError("of ours")
    async with home.running():  # nothing of the first one is left
        pass


async def test_an_engine_runs_in_a_nursery_until_it_is_cancelled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    with blocking_in_place():
        async with trio.open_nursery() as nursery:
            run = partial(run_engine, home.settings, store=home.store, clock=WallClock(home.epoch))
            engine = await nursery.start(run)
            assert (await engine.offer(announce(), "user")).outcome is Outcome.HELD
            nursery.cancel_scope.cancel()
    assert await held(home) == {announce().id}


async def test_served_events_are_queried_and_counted(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    await home.store.apply(Change(save=[announce(created_at=NOW - n) for n in (100,)]))
    async with home.running() as engine:
        filters = [Filter(kinds=frozenset({30617}))]
        assert [event.id for event in await engine.query(filters)] == [announce().id]
        assert await engine.query(filters, 0) == []
        assert await engine.count(filters) == 1


async def test_held_events_are_told_once_and_served_ones_never_as_held(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    told: list[str] = []
    home.held = lambda event: told.append(event.id)
    waits = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    steps = history(1)
    here = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 60)
    async with home.running() as engine:
        for _ in range(2):
            await engine.offer(announce(), "user")
            await engine.offer(waits, "user")
        add_pack(home.path(), steps[0].objects)
        assert (await engine.offer(here, "user")).outcome is Outcome.SERVED
    assert told == [announce().id, waits.id]


async def test_a_held_listener_that_raises_stops_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)

    def raises(event: Event) -> None:
        raise RuntimeError

    home.held = raises
    async with home.running() as engine:
        assert (await engine.offer(announce(), "user")).outcome is Outcome.HELD


async def test_b_6_8_a_push_of_an_embedder_is_judged_proven_and_released(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    repository, steps = RepositoryId(OWNER.pubkey, "repo"), history(2)
    tip = steps[-1].oid
    state = events.state(OWNER, "repo", {MAIN: tip}, created_at=NOW - 50)
    pack = pack_of([each for step in steps for each in step.objects])

    async def body() -> AsyncIterator[bytes]:
        for piece in (b"", pack[:100], b"", pack[100:]):
            yield piece

    async with home.running() as engine:
        await engine.offer(announce(), "user")
        with pytest.raises(PushRefused, match="publish the state first"):
            await engine.push(repository, {MAIN: tip}, body())
        await engine.offer(state, "user")
        with pytest.raises(PushRefused, match="the state says"):
            await engine.push(repository, {MAIN: "2" * 40})
        await engine.push(repository, {MAIN: tip}, body())
        assert home.told == [announce().id, state.id]
        assert list_refs(home.path()) == {MAIN: tip}
        await engine.push(repository, {MAIN: tip})  # it is so already
        assert engine._core.repositories.is_ours_alone(home.path())
