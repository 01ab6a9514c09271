from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.errors import ConnectFailed, Forbidden, RateLimited, ResultClass
from purgatory_sync.hunt.limits import living_domains
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics, HuntStatistics
from purgatory_sync.hunt.limits.tried_urls import TriedUrls
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.hunt.sync_identifier import sync_identifier
from purgatory_sync.settings import SyncSettings
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import MockSyncContext, clock_at

from .support import EPOCH, A, B, manager, most_in_a_window, most_in_flight, serving, starts, url


def world(count: int, host: str = "a", *, latency: float = 0.0) -> MockSyncContext:
    """So many identifiers r0, r1 …, each with one URL of the host that has its object."""
    ctx = MockSyncContext()
    for number in range(count):
        where = url(host, f"r{number}")
        ctx.with_urls([where], f"r{number}").with_needed_oids([f"oid{number}"], f"r{number}")
        ctx.url_provides(where, [f"oid{number}"]).latency(where, latency)
    return ctx


async def hunt_all(ctx: MockSyncContext, throttles: ThrottleManager, count: int) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(sync_identifier, ctx, f"r{number}", throttles)


async def test_is_throttled_reflects_domain_capacity() -> None:
    throttles = manager(MockSyncContext(), concurrent=2)
    assert not throttles.is_throttled("a.example")
    first = throttles.start_request("a.example")
    throttles.start_request("a.example")
    assert first is not None
    assert throttles.is_throttled("a.example")
    assert throttles.start_request("a.example") is None
    assert not throttles.is_throttled("never-seen.example")
    throttles.complete_request(first)
    assert not throttles.is_throttled("a.example")


async def test_complete_request_triggers_next(autojump_clock: MockClock) -> None:
    ctx = world(1)
    throttles = manager(ctx, concurrent=1)
    place = throttles.start_request("a.example")
    assert place is not None
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(5)
        assert ctx.fetches == []
        throttles.complete_request(place)
        await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert starts(ctx) == [(5.0, url("a", "r0"))]


async def test_enqueue_identifier_triggers_next(autojump_clock: MockClock) -> None:
    ctx = world(1)
    throttles = manager(ctx)
    async with serving(throttles):
        await trio.sleep(3)
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await wait_all_tasks_blocked()
        assert starts(ctx) == [(3.0, url("a", "r0"))]
        assert throttles.queued_at("r0") == ()


async def test_b_8_2_never_more_than_5_in_flight_nor_30_starts_in_60_seconds(
    autojump_clock: MockClock,
) -> None:
    ctx = world(100, latency=2.0)
    throttles = manager(ctx)
    async with serving(throttles):
        await hunt_all(ctx, throttles, 100)
        await trio.sleep(1000)
    assert most_in_flight(ctx.fetches) == 5
    assert most_in_a_window(ctx.fetches) == 30
    assert sorted(fetch.url for fetch in ctx.fetches) == sorted(
        url("a", f"r{number}") for number in range(100)
    )
    assert [fetch.at for fetch in ctx.fetches[::5]] == [
        60.0 * window + 2.0 * five for window in range(4) for five in range(6)
    ][:20]


async def test_b_8_2_two_hunts_at_the_same_instant_share_the_limits(
    autojump_clock: MockClock,
) -> None:
    ctx = world(40)
    ctx.look_up_secs = 0.25
    throttles = manager(ctx, concurrent=30)
    async with serving(throttles):
        await hunt_all(ctx, throttles, 40)
        await trio.sleep(50)
        assert len(ctx.fetches) == 30
        assert {fetch.at for fetch in ctx.fetches} == {0.5}
        await trio.sleep(12)
    assert len(ctx.fetches) == 40
    assert most_in_a_window(ctx.fetches) == 30


async def test_b_8_2_a_full_window_wakes_by_itself_when_the_oldest_token_returns(
    autojump_clock: MockClock,
) -> None:
    ctx = world(1)
    throttles = manager(ctx, per_minute=2)
    for pause in (10.0, 5.0):
        place = throttles.start_request("a.example")
        assert place is not None
        throttles.complete_request(place)
        await trio.sleep(pause)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(100)
    assert starts(ctx) == [(60.0, url("a", "r0"))]


async def test_b_8_2_wakes_when_the_clock_of_a_token_starts_late(
    autojump_clock: MockClock,
) -> None:
    ctx = world(1)
    throttles = manager(ctx, per_minute=1)
    place = throttles.start_request("a.example")
    assert place is not None
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(7)
        throttles.answered(place)
        await trio.sleep(100)
    assert starts(ctx) == [(67.0, url("a", "r0"))]


async def test_b_8_2_newcomers_do_not_overtake_those_who_wait(autojump_clock: MockClock) -> None:
    ctx = world(3, latency=1.0)
    throttles = manager(ctx, concurrent=1)
    place = throttles.start_request("a.example")
    assert place is not None
    async with serving(throttles):
        for waiting in ("r0", "r1"):
            throttles.enqueue_identifier("a.example", waiting, TriedUrls())
        throttles.complete_request(place)
        assert throttles.is_throttled("a.example")
        assert not await sync_identifier(ctx, "r2", throttles)
        await trio.sleep(10)
    assert starts(ctx) == [
        (0.0, url("a", "r0")),
        (1.0, url("a", "r1")),
        (2.0, url("a", "r2")),
    ]


async def test_b_8_2_those_in_progress_do_not_throttle_newcomers(
    autojump_clock: MockClock,
) -> None:
    ctx = world(2, latency=5.0)
    throttles = manager(ctx)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(1)
        assert not throttles.is_throttled("a.example")
        assert throttles.is_throttled_for("a.example", "r0")
        assert await sync_identifier(ctx, "r1", throttles)
    assert starts(ctx) == [(0.0, url("a", "r0")), (1.0, url("a", "r1"))]


async def test_turns_go_round_robin_until_no_url_is_left(autojump_clock: MockClock) -> None:
    ctx = MockSyncContext()
    for name in ("x", "y"):
        urls = [url("a", f"{name}{number}") for number in (1, 2)]
        ctx.with_urls(urls, name).with_needed_oids([f"oid-{name}"], name)
        for each in urls:
            ctx.latency(each, 1.0)
    throttles = manager(ctx, concurrent=1)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "x", TriedUrls())
        throttles.enqueue_identifier("a.example", "y", TriedUrls())
        await trio.sleep(10)
    assert [fetch.url for fetch in ctx.fetches] == [
        url("a", each) for each in ("x1", "y1", "x2", "y2")
    ]
    assert throttles.queued_at("x") == throttles.queued_at("y") == ()


async def test_crash_in_a_turn_occupies_nothing(autojump_clock: MockClock) -> None:
    ctx = world(2)
    ctx.fails(url("a", "r0"), ZeroDivisionError())
    throttles = manager(ctx, concurrent=1)
    with capture_logs():
        async with serving(throttles):
            for number in range(2):
                throttles.enqueue_identifier("a.example", f"r{number}", TriedUrls())
            await trio.sleep(1)
    assert [fetch.outcome for fetch in ctx.fetches] == ["ZeroDivisionError", "obtained"]
    assert throttles.statistics().domains["a.example"].in_flight == 0
    assert throttles.queued_at("r0") == ()


async def test_crash_of_a_look_up_in_a_turn_occupies_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = world(1)

    async def crash(identifier: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ctx, "fetch_repository_data", crash)
    throttles = manager(ctx, concurrent=1)
    with capture_logs() as logs:
        async with serving(throttles):
            throttles.enqueue_identifier("a.example", "r0", TriedUrls())
            await trio.sleep(1)
        assert [entry["event"] for entry in logs] == ["turn crashed"]
        domain = throttles.statistics().domains["a.example"]
        assert (domain.in_flight, domain.tokens, domain.queued) == (0, 30, 0)


async def test_b_8_2_what_was_passed_over_is_not_looked_at_again_in_a_turn(
    autojump_clock: MockClock,
) -> None:
    ctx = world(1)
    ctx.fails(url("a", "r0"), Forbidden("not public"))
    throttles = manager(ctx)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(1)
    assert len(ctx.fetches) == 1
    assert throttles.queued_at("r0") == ()
    assert throttles.statistics().domains["a.example"].tokens == 30


async def test_b_8_6_rest_then_one_first_then_the_others(autojump_clock: MockClock) -> None:
    ctx = world(4, latency=1.0)
    for number in range(4):
        ctx.fails(url("a", f"r{number}"), RateLimited("429", 100.0), times=1)
    throttles = manager(ctx)
    async with serving(throttles):
        await hunt_all(ctx, throttles, 4)
        await trio.sleep(98)
        assert throttles.is_resting("a.example")
        assert throttles.statistics().domains["a.example"].resting_until == EPOCH + 101
        await trio.sleep(100)
    assert [fetch.at for fetch in ctx.fetches] == [0.0] * 4 + [101.0] + [102.0] * 3
    assert not any(ctx.has_pending_events(f"r{number}") for number in range(4))


async def test_b_8_6_a_429_is_not_tried_and_does_not_stop_other_ways(
    autojump_clock: MockClock,
) -> None:
    ctx = MockSyncContext().with_urls([A, B]).with_needed_oids(["oid1"])
    ctx.fails(A, RateLimited("429", 60.0), times=1).url_provides(A, ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles):
        assert not await sync_identifier(ctx, "test-repo", throttles)
        assert ctx.fetched_urls == [A, B]
        assert throttles.queued_at("test-repo") == ("a.example",)
        await trio.sleep(100)
    assert starts(ctx) == [(0.0, A), (0.0, B), (60.0, A)]
    assert not ctx.has_pending_events("test-repo")


async def test_b_8_6_a_url_that_is_limited_comes_after_the_others_of_its_domain(
    autojump_clock: MockClock,
) -> None:
    """A repository that is 503 for ever would keep its domain's other URLs from being asked."""
    limited, good = url("a", "limited"), url("a", "good")
    ctx = MockSyncContext().with_urls([limited, good]).with_needed_oids(["oid1"])
    ctx.fails(limited, RateLimited("503", 60.0)).url_provides(good, ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles):
        assert not await sync_identifier(ctx, "test-repo", throttles)
        await trio.sleep(100)
    assert starts(ctx) == [(0.0, limited), (60.0, good)]
    assert not ctx.has_pending_events("test-repo")


async def test_b_8_6_a_url_that_is_limited_again_waits_for_the_next_hunt(
    autojump_clock: MockClock,
) -> None:
    """As long as its identifier waited for it alone, what else was tried there stayed tried."""
    limited, busy = url("a", "limited"), url("a", "busy")
    ctx = MockSyncContext().with_urls([limited, busy]).with_needed_oids(["oid1"])
    ctx.fails(limited, RateLimited("503", 60.0))
    ctx.fails(busy, ConnectFailed("refused"), times=1).url_provides(busy, ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles):
        assert not await sync_identifier(ctx, "test-repo", throttles)
        await trio.sleep(200)
        assert starts(ctx) == [(0.0, limited), (60.0, busy), (60.0, limited)]
        assert throttles.queued_at("test-repo") == ()
        assert [(a.url, a.result) for a in ctx.attempts][-1] == (limited, ResultClass.RATE_LIMITED)
        assert not await sync_identifier(ctx, "test-repo", throttles)
        await trio.sleep(100)
    assert ctx.fetched_urls[3:] == [limited, busy]
    assert not ctx.has_pending_events("test-repo")


async def test_b_8_2_a_domains_task_ends_after_ten_idle_minutes(
    autojump_clock: MockClock,
) -> None:
    ctx = world(1)
    throttles = manager(ctx)
    async with serving(throttles) as nursery:
        await sync_identifier(ctx, "r0", throttles)
        await trio.sleep(659.5)
        assert list(throttles.statistics().domains) == ["a.example"]
        assert len(nursery.child_tasks) == 1
        await trio.sleep(1)
        assert throttles.statistics().domains == {}


async def test_b_8_2_a_rest_keeps_the_domain_alive(autojump_clock: MockClock) -> None:
    throttles = manager(MockSyncContext())
    async with serving(throttles):
        throttles.rest("a.example", 3000.0)
        await trio.sleep(3599)
        assert "a.example" in throttles.statistics().domains
        await trio.sleep(2)
        assert "a.example" not in throttles.statistics().domains


async def test_b_8_2_the_idlest_domain_makes_room(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living_domains, "MAX_DOMAINS", 2)
    throttles = manager(MockSyncContext())
    async with serving(throttles):
        for domain in ("a.example", "b.example"):
            place = throttles.start_request(domain)
            assert place is not None
            throttles.complete_request(place)
            await trio.sleep(1)
        assert throttles.is_throttled("c.example")
        assert throttles.start_request("c.example") is None
        assert not throttles.enqueue_identifier("c.example", "r0", TriedUrls())
        await trio.sleep(60)
        assert not throttles.is_throttled("c.example")
        assert throttles.start_request("c.example") is not None
        assert list(throttles.statistics().domains) == ["b.example", "c.example"]


async def test_b_8_2_an_identifier_backs_off_when_no_domain_can_live(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(living_domains, "MAX_DOMAINS", 1)
    ctx = world(1)
    throttles = manager(ctx)
    throttles.start_request("busy.example")
    async with serving(throttles):
        assert not await sync_identifier(ctx, "r0", throttles)
    assert ctx.fetches == []
    assert throttles.queued_at("r0") == ()


async def test_b_8_2_limits_survive_a_restart(autojump_clock: MockClock) -> None:
    rows: dict[str, tuple[tuple[float, ...], float | None]] = {}

    def note(domain: str, starts: tuple[float, ...], rest: float | None) -> None:
        rows[domain] = starts, rest

    settings = SyncSettings(domain_rate_limit=2)
    wall = clock_at(EPOCH)
    before = ThrottleManager(MockSyncContext(), settings, wall=wall, on_change=note)
    for _ in range(2):
        place = before.start_request("a.example")
        assert place is not None
        before.complete_request(place)
        await trio.sleep(10)
    before.rest("b.example", 50.0)
    assert rows == {
        "a.example": ((EPOCH, EPOCH + 10), None),
        "b.example": ((), EPOCH + 70),
    }
    ctx = world(1)
    after = ThrottleManager(ctx, settings, wall=wall)
    for domain, (began, rest) in rows.items():
        after.restore(domain, began, rest)
    after.restore("old.example", (EPOCH - 100,), EPOCH - 5)
    assert after.is_throttled("a.example")
    assert after.is_resting("b.example")
    async with serving(after):
        after.enqueue_identifier("a.example", "r0", TriedUrls())
        await trio.sleep(100)
    assert starts(ctx) == [(60.0, url("a", "r0"))]
    assert set(after.statistics().domains) == {"a.example", "b.example"}


async def test_b_9_starts_in_the_future_of_the_clock_count_from_now_on(
    autojump_clock: MockClock,
) -> None:
    wall = clock_at(EPOCH)
    after = ThrottleManager(MockSyncContext(), SyncSettings(domain_rate_limit=1), wall=wall)
    after.restore("a.example", (EPOCH + 1e6,), None)
    assert after.is_throttled("a.example")
    await trio.sleep(60)
    assert not after.is_throttled("a.example")


async def test_statistics_show_how_it_stands(autojump_clock: MockClock) -> None:
    ctx = world(3, latency=10.0)
    throttles = manager(ctx, concurrent=1)
    async with serving(throttles) as nursery:
        nursery.start_soon(hunt_all, ctx, throttles, 3)
        await trio.sleep(15)
        assert throttles.statistics() == HuntStatistics(
            domains={"a.example": DomainStatistics(1, 28, 2, None, 2)},
            attempts={ResultClass.SUCCESS: 1},
            oids_fetched=1,
            hunting=1,
        )


async def test_a_rest_that_is_over_is_not_noted_any_more(autojump_clock: MockClock) -> None:
    noted: list[float | None] = []
    throttles = ThrottleManager(
        MockSyncContext(),
        wall=clock_at(EPOCH),
        on_change=lambda domain, starts, rest: noted.append(rest),
    )
    throttles.rest("a.example", 30.0)
    await trio.sleep(31)
    assert throttles.start_request("a.example") is not None
    assert noted == [EPOCH + 30.0, None]
