"""Which held events a visitor chooses: by name and by what their sources gave, in memory alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.engine.status import explainer
from purgatory_sync.engine.status.held_events import UNASKED, Choice
from purgatory_sync.errors import ResultClass
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, NOW, OWNER, Home, announce
from .test_catalogue import CountingStore

A, INSIDE = "https://a.example/x.git", "https://inside.example/x.git"


async def hold(engine: PurgatorySync, count: int = 4) -> list[str]:
    """An announcement and states of one repository; their ids, the announcement's first."""
    announced = announce()
    await engine.offer(announced, "user")
    ids = [announced.id]
    for number in range(count):
        refs = {MAIN: f"{number + 1:040}"}
        state = events.state(OWNER, "repo", refs, created_at=NOW - 50 + number)
        assert (await engine.offer(state, "user")).accepted
        ids.append(state.id)
    return ids


async def found(engine: PurgatorySync, choice: Choice) -> set[str]:
    look = await engine.explainer.look(choice)
    assert look.events_total == len(look.events)
    return {each.event_id for each in look.events}


async def test_b_10_3_by_name(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with Home(tmp_path).running() as engine:
        ids = await hold(engine)
        other = Author.from_seed(9)
        tip = events.pull_request(other, [OWNER.coordinate("repo")], "9" * 40, created_at=NOW)
        await engine.offer(tip, "user")
        assert await found(engine, Choice(("repo",))) == {*ids, tip.id}
        assert await found(engine, Choice(("repo.git", "repo"))) == {*ids, tip.id}
        assert await found(engine, Choice(("rep",))) == set()


async def test_b_10_3_by_result(tmp_path: Path, autojump_clock: MockClock) -> None:
    """What the gate refused is as if it was not asked, so that a choice tells nothing of it."""
    async with Home(tmp_path).running() as engine:
        ids = await hold(engine)
        note, purgatory = engine.purgatory.record_attempt, engine.purgatory
        note(ids[1], A, ResultClass.TIMEOUT, "", NOW)
        note(ids[2], A, ResultClass.TIMEOUT, "", NOW)
        note(ids[2], A, ResultClass.NOTHING, "", NOW + 1)
        note(ids[3], INSIDE, ResultClass.FORBIDDEN, "", NOW)
        note(ids[4], "http://10.0.0.1/x", ResultClass.TIMEOUT, "", NOW)

        def told(url: str) -> bool:
            return "10." not in url

        for result, wanted in (
            ("timeout", {ids[1]}),
            ("nothing", {ids[2]}),
            ("forbidden", set()),
            (UNASKED, {ids[3], ids[4]}),
        ):
            assert await found(engine, Choice((), result, told)) == wanted
            assert await found(engine, Choice(("repo",), result, told)) == wanted
        assert purgatory.held_total == 5


async def test_b_10_3_the_newest_are_shown_and_all_are_counted(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explainer, "EVENTS_SHOWN", 2)
    async with Home(tmp_path).running() as engine:
        ids = await hold(engine)
        look = await engine.explainer.look(Choice(("repo",)))
        assert (len(look.events), look.events_total) == (2, 5)
        engine.purgatory.record_attempt(ids[4], A, ResultClass.TIMEOUT, "", NOW)
        (old,) = (await engine.explainer.look(Choice((), "timeout"))).events
        assert (old.event_id, old.missing_total) == (ids[4], None)


async def test_b_10_3_a_choice_reads_no_database_and_tells_nothing_of_what_is_served(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, (step,) = Home(tmp_path), history(1)
    store = home.store = CountingStore()
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        await engine.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW), "user")
        await engine.explainer.look()
        engine._core.index.use_lists(engine.lists)  # nothing is remembered of the store
        store.reads = 0
        served = await engine.explainer.look(Choice(("repo",)))
        assert served == await engine.explainer.look(Choice(("never",)))
        assert served.events == ()
        assert store.reads == 0


async def test_b_10_3_attempts_are_kept_up_to_a_number(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with Home(tmp_path).running() as engine:
        _, state = await hold(engine, 1)
        for number in range(30):
            engine.purgatory.record_attempt(state, A, ResultClass.TIMEOUT, "", NOW + number)
        engine.purgatory.record_attempt(state, INSIDE, ResultClass.FORBIDDEN, "", NOW + 31)
        (look,) = (await engine.explainer.look(Choice((), "timeout"))).events
        assert [each.at for each in look.attempts] == [NOW + number for number in range(10, 30)]
        assert (look.attempts_total, look.attempts[0].url) == (30, A)
        assert look.attempts[0].result is ResultClass.TIMEOUT
