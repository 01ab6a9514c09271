from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import ResultClass
from purgatory_sync.hunt.loop import SYNC_LOOP_INTERVAL
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import MockSyncContext

from ..purgatory.support import oid, state
from .support import A, B, asked, looping, manager, starts

NOW = 1_000_000.0


def purgatory_and_world(*urls: str) -> tuple[Purgatory, MockSyncContext]:
    purgatory = Purgatory()
    return purgatory, MockSyncContext(purgatory=purgatory).with_urls(urls, "repo")


def test_s4_the_interval_is_one_second() -> None:
    assert SYNC_LOOP_INTERVAL == 1.0


async def test_burst_events_debounced(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.url_provides(A, [oid(number) for number in range(1, 11)])
    async with looping(purgatory, ctx, manager(ctx)):
        await trio.sleep(0.1)
        for number in range(1, 11):
            purgatory.add_state(state("repo", number), Origin.SYNC, NOW)
            await trio.sleep(0.01)
        assert len(purgatory.sync_queue) == 1
        await trio.sleep(2)
    assert starts(ctx) == [(1.0, A)]
    assert ctx.fetches[0].oids == {oid(number) for number in range(1, 11)}
    assert purgatory.held_total == 0


async def test_s4_complete_is_removed_and_incomplete_backs_off(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo"), Origin.SYNC, NOW)
        await trio.sleep(390)
        assert [fetch.at for fetch in ctx.fetches] == [1.0, 21.0, 61.0, 141.0, 261.0, 381.0]
        ctx.url_provides(A, [oid(1)])
        await trio.sleep(120)
        assert "repo" not in purgatory.sync_queue
    assert ctx.fetches[-1].at == 501.0
    assert purgatory.held_total == 0


async def test_s3_a_users_event_waits_180_seconds(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo"), Origin.USER, NOW)
        await trio.sleep(190)
    assert starts(ctx) == [(180.0, A)]


async def test_s4_no_pending_events_means_removed(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.enqueue_sync("repo", 0.0)
        await trio.sleep(1.5)
        assert len(purgatory.sync_queue) == 0
    assert ctx.fetches == []


async def test_s4_each_identifier_has_its_own_concurrent_task(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world()
    ctx.with_urls([A], "slow").with_urls([B], "fast").hangs(A).url_provides(B, [oid(2)])
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("slow", 1), Origin.SYNC, NOW)
        purgatory.add_state(state("fast", 2), Origin.SYNC, NOW)
        await trio.sleep(1.5)
        assert not purgatory.has_pending_events("fast")
        slow = purgatory.sync_queue.get("slow")
        assert slow is not None
        assert slow.in_progress


async def test_b_8_11_a_newcomer_in_the_middle_of_a_hunt_is_not_delayed(
    autojump_clock: MockClock,
) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.drips(A, 1_000_000, 600.0)
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo", 1), Origin.SYNC, NOW)
        await trio.sleep(100)
        purgatory.add_state(state("repo", 2), Origin.SYNC, NOW)
        await trio.sleep(20)
        purgatory.add_state(state("repo", 3), Origin.USER, NOW)
        await trio.sleep(200)
    assert [(at, o) for at, _, o in asked(ctx)] == [
        (1.0, [oid(1)]),
        (100.5, [oid(2)]),
        (300.0, [oid(3)]),
    ]


async def test_b_8_11_a_newcomer_at_the_end_of_a_hunt_is_neither_lost_nor_delayed(
    autojump_clock: MockClock,
) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.url_provides(A, [oid(1), oid(2)])
    ctx.release_secs = 0.25
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo", 1), Origin.SYNC, NOW)
        await trio.sleep(1.2)  # the first is being released just now
        purgatory.add_state(state("repo", 2), Origin.SYNC, NOW)
        await trio.sleep(2)
    assert [(at, o) for at, _, o in asked(ctx)] == [
        (1.0, [oid(1)]),
        (1.25, [oid(2)]),
    ]
    assert purgatory.held_total == 0


async def test_b_8_11_a_release_that_fails_backs_off(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.url_provides(A, [oid(1)]).release_fails("disk is read-only", "repo")
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo", 1), Origin.SYNC, NOW)
        await trio.sleep(30)
        assert "repo" in purgatory.sync_queue
        ctx.release_fails(None, "repo")
        await trio.sleep(40)
    assert starts(ctx) == [(1.0, A)]
    assert purgatory.held_total == 0


async def test_a_crashing_hunt_is_logged_and_the_loop_goes_on(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.url_provides(A, [oid(1)])
    working = ctx.fetch_repository_data

    async def crash(identifier: str) -> None:
        raise ZeroDivisionError

    with capture_logs() as logs:
        async with looping(purgatory, ctx, manager(ctx)):
            monkeypatch.setattr(ctx, "fetch_repository_data", crash)
            purgatory.add_state(state("repo"), Origin.SYNC, NOW)
            await trio.sleep(2)
            entry = purgatory.sync_queue.get("repo")
            assert entry is not None
            assert (entry.in_progress, entry.attempt_count, entry.next_attempt) == (False, 1, 21.0)
            monkeypatch.setattr(ctx, "fetch_repository_data", working)
            await trio.sleep(20)
    assert purgatory.held_total == 0
    crashes = [entry for entry in logs if entry["log_level"] == "error"]
    assert [(e["event"], e["identifier"]) for e in crashes] == [("hunt crashed", "repo")]


async def test_a_push_during_the_hunt_completes_it(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A)
    ctx.drips(A, 1_000_000, 500.0)
    async with looping(purgatory, ctx, manager(ctx)):
        purgatory.add_state(state("repo"), Origin.SYNC, NOW)
        await trio.sleep(50)
        ctx.push([oid(1)], "repo")
        await trio.sleep(0.1)
        assert len(purgatory.sync_queue) == 0
    assert [fetch.outcome for fetch in ctx.fetches] == ["cancelled"]


async def test_b_8_3_what_was_tried_is_noted_on_the_held_event(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A, B)
    ctx.hangs(B)
    async with looping(purgatory, ctx, manager(ctx)):
        held = purgatory.add_state(state("repo"), Origin.SYNC, NOW)
        await trio.sleep(2)
        assert {u: t.result for u, t in held.tried.items()} == {A: ResultClass.NOTHING}
        assert held.tried[A].counted


async def test_n3_one_bad_domain_delays_no_other(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world()
    for number in range(200):
        bad, good = f"https://bad.example/{number}", f"https://g{number % 20}.example/{number}"
        ctx.with_urls([bad, good], f"r{number}").hangs(bad).url_provides(good, [oid(number)])
    async with looping(purgatory, ctx, manager(ctx)):
        for number in range(200):
            purgatory.add_state(state(f"r{number}", number), Origin.SYNC, NOW)
        await trio.sleep(4.5)
        assert purgatory.held_total == 0


async def test_s19_log_lines_carry_the_names_of_the_design(autojump_clock: MockClock) -> None:
    purgatory, ctx = purgatory_and_world(A, B)
    ctx.url_provides(B, [oid(1)])
    with capture_logs() as logs:
        async with looping(purgatory, ctx, manager(ctx)):
            held = purgatory.add_state(state("repo"), Origin.SYNC, NOW)
            await trio.sleep(2)
    assert logs == [
        {
            "event": "tried",
            "log_level": "debug",
            "identifier": "repo",
            "url": A,
            "domain": "a.example",
            "oids_fetched": 0,
            "missing": 1,
        },
        {
            "event": "tried",
            "log_level": "debug",
            "identifier": "repo",
            "url": B,
            "domain": "b.example",
            "oids_fetched": 1,
            "missing": 0,
        },
        {
            "event": "released",
            "log_level": "info",
            "identifier": "repo",
            "event_id": [held.event_id],
            "ready_count": 1,
        },
        {"event": "complete", "log_level": "info", "identifier": "repo", "complete": True},
    ]


async def test_n2_a_source_is_tried_only_for_events_it_was_asked_for(
    autojump_clock: MockClock,
) -> None:
    purgatory, ctx = purgatory_and_world(A, B)
    ctx.drips(A, 1_000_000, 500.0)
    async with looping(purgatory, ctx, manager(ctx)):
        first = purgatory.add_state(state("repo", 1), Origin.SYNC, NOW)
        await trio.sleep(10)
        second = purgatory.add_state(state("repo", 2), Origin.SYNC, NOW)
        await trio.sleep(2)
        assert [(u, o) for _, u, o in asked(ctx)] == [
            (A, [oid(1)]),
            (B, [oid(2)]),
            (A, [oid(2)]),
        ]
        assert list(second.tried) == [B]
        assert list(first.tried) == []
