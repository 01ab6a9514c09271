from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import (
    AttemptFailed,
    BadPack,
    BadStatus,
    ConnectFailed,
    DiskFull,
    NameUnknown,
    NaughtyScope,
    ProtocolBroken,
    RateLimited,
    RepositoryUnavailable,
    ResolverFailed,
    ResultClass,
    TimedOut,
    TlsFailed,
)
from purgatory_sync.hunt.hunt_attempt import sync_identifier_from_url
from purgatory_sync.hunt.limits.sync_context import AttemptObserver
from purgatory_sync.hunt.limits.tried_urls import TriedUrls
from purgatory_sync.hunt.sync_identifier import sync_identifier
from purgatory_sync.purgatory.entries import UNCOUNTED
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import MockSyncContext

from .support import A, B, C, D, Finished, asked, manager, next_url, saturate, serving, starts, url

REPO = "test-repo"


def needing(*urls: str) -> MockSyncContext:
    return MockSyncContext().with_urls(urls).with_needed_oids(["oid1"])


async def test_b_8_5_below_the_floor_another_domain_is_asked_too(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B, C).hangs(A).hangs(B).url_provides(C, ["oid1"]).latency(C, 1.0)
    throttles = manager(ctx)
    assert await sync_identifier(ctx, REPO, throttles)
    assert starts(ctx) == [(0.0, A), (3.0, B), (6.0, C)]
    assert trio.current_time() == 7.0


async def test_b_8_5_the_first_wins_and_a_cancelled_attempt_is_not_tried(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).hangs(A).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    assert await sync_identifier(ctx, REPO, throttles)
    assert [(f.url, f.outcome, f.ended_at) for f in ctx.fetches] == [
        (A, "cancelled", 3.0),
        (B, "obtained", 3.0),
    ]
    assert [(a.url, a.result) for a in ctx.attempts] == [
        (B, ResultClass.SUCCESS),
        (A, ResultClass.CANCELLED),
    ]
    assert throttles.statistics().domains["a.example"].in_flight == 0


async def test_b_8_5_a_transfer_above_the_floor_is_not_doubled(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).drips(A, 1024, 300.0).url_provides(A, ["oid1"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A)]
    assert trio.current_time() == 300.0


async def test_b_8_5_a_drip_below_the_floor_is_doubled(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).drips(A, 1000, 300.0).url_provides(A, ["oid1"]).url_provides(B, ["oid1"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A), (3.0, B)]


async def test_b_8_5_the_slow_one_may_win_after_all(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).latency(A, 5.0).url_provides(A, ["oid1"]).hangs(B)
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert [(f.url, f.outcome) for f in ctx.fetches] == [(A, "obtained"), (B, "cancelled")]
    assert trio.current_time() == 5.0


async def test_b_8_5_another_url_of_the_same_domain_is_no_other_way(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, url("a", "second")).latency(A, 10.0)
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A), (10.0, url("a", "second"))]


async def test_b_8_5_after_3_seconds_it_queues_at_throttled_domains(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).hangs(A).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    places = saturate(throttles, "b.example")
    async with serving(throttles) as nursery:
        hunt = Finished()
        nursery.start_soon(hunt.run, sync_identifier, ctx, REPO, throttles)
        await trio.sleep(2.9)
        assert throttles.queued_at(REPO) == ()
        await trio.sleep(0.2)
        assert throttles.queued_at(REPO) == ("b.example",)
        await trio.sleep(1.9)
        throttles.complete_request(places[0])
        await trio.sleep(1)
    assert starts(ctx) == [(0.0, A), (5.0, B)]
    assert (hunt.at, hunt.value) == (5.0, True)


async def test_b_8_5_a_push_that_completes_it_ends_the_transfer(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).drips(A, 1_000_000, 500.0)
    throttles = manager(ctx)
    async with serving(throttles) as nursery:
        hunt = Finished()
        nursery.start_soon(hunt.run, sync_identifier, ctx, REPO, throttles)
        await trio.sleep(20)
        ctx.push(["oid1"])
        await trio.sleep(0.5)
        assert (hunt.at, hunt.value) == (20.0, True)
    assert [fetch.outcome for fetch in ctx.fetches] == ["cancelled"]


async def test_b_8_5_a_push_ends_a_domains_turn_too(autojump_clock: MockClock) -> None:
    ctx = needing(A).drips(A, 1_000_000, 500.0)
    throttles = manager(ctx)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", REPO, TriedUrls())
        await trio.sleep(20)
        ctx.push(["oid1"])
        await trio.sleep(0.5)
        assert [fetch.ended_at for fetch in ctx.fetches] == [20.0]
        assert throttles.queued_at(REPO) == ()
        assert throttles.statistics().domains["a.example"].in_flight == 0


async def test_a_turn_that_completes_it_ends_the_waiting_elsewhere(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).url_provides(A, ["oid1"])
    throttles = manager(ctx)
    saturate(throttles, "b.example")
    async with serving(throttles):
        throttles.enqueue_identifier("b.example", REPO, TriedUrls())
        throttles.enqueue_identifier("a.example", REPO, TriedUrls())
        await trio.sleep(1)
        assert not ctx.has_pending_events(REPO)
        assert throttles.queued_at(REPO) == ()


async def test_b_8_6_the_identifier_waits_at_the_resting_domain_at_once(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).fails(A, RateLimited("429", 60.0), times=1).drips(B, 5000, 300.0)
    throttles = manager(ctx)
    async with serving(throttles) as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(10)
        assert throttles.queued_at(REPO) == ("a.example",)


async def test_what_an_attempt_brought_during_a_look_up_is_not_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).drips(A, 5000, 100.0).url_provides(A, ["oid1"]).url_provides(B, ["new"])
    ctx.look_up_secs = 0.25
    ctx.release_fails("read-only")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, manager(ctx))
        await trio.sleep(100)
        ctx.arrives(["new"], delay=0.25)
    assert asked(ctx) == [(0.5, A, ["oid1"]), (101.75, A, ["new"]), (202.25, B, ["new"])]


async def test_b_8_2_what_a_running_hunt_has_tried_is_tried_for_its_domains_turns(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B, C).hangs(B)
    throttles = manager(ctx)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(4)
        again = await next_url(ctx, REPO, "a.example", TriedUrls(), throttles)
        assert again is None
        nursery.cancel_scope.cancel()


async def test_b_8_5_a_slow_turn_looks_for_another_way(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).hangs(A).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles):
        throttles.enqueue_identifier("a.example", REPO, TriedUrls())
        await trio.sleep(10)
    assert starts(ctx) == [(0.0, A), (3.0, B)]
    assert [fetch.ended_at for fetch in ctx.fetches] == [3.0, 3.0]


async def test_b_8_5_a_turn_does_not_double_a_transfer_above_the_floor(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).drips(A, 2000, 100.0).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles) as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(10)
        throttles.enqueue_identifier("b.example", REPO, TriedUrls())
        await trio.sleep(50)
        assert starts(ctx) == [(0.0, A)]
        assert throttles.queued_at(REPO) == ("b.example",)
        assert throttles.statistics().domains["b.example"].in_flight == 0
        await trio.sleep(100)
    assert starts(ctx) == [(0.0, A), (100.0, B)]


async def test_n3_a_drip_does_not_keep_the_others_from_being_asked_again(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).drips(A, 100, 600.0).fails(B, ConnectFailed("refused"), times=3)
    ctx.url_provides(B, ["oid1"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A), (3.0, B), (23.0, B), (63.0, B), (143.0, B)]


@pytest.mark.parametrize(
    ("bytes_per_sec", "asked_after"),
    [(100_000_000, 600.0), (1024, 600.0), (0, 3.0), (0.5, 3.0)],
    ids=["giant", "at the floor", "progress messages only", "a byte every two seconds"],
)
async def test_n3_ten_minutes_of_anything_keep_no_identifier_from_its_other_sources(
    bytes_per_sec: float, asked_after: float, autojump_clock: MockClock
) -> None:
    """What makes headway is not doubled (B 8.5): then the others are asked when it has failed."""
    ctx = needing(A, B).drips(A, bytes_per_sec, 600.0).fails(A, TimedOut("not done within 600 s"))
    ctx.url_provides(B, ["oid1"])
    others = [f"other{number}" for number in range(20)]
    for name in others:  # at the same domain, and at another
        ctx.with_urls([url("a", name), url("c", name)], name).with_needed_oids(["oid1"], name)
        ctx.url_provides(url("a", name), ["oid1"])
    throttles = manager(ctx)
    async with serving(throttles) as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(1)
        for name in others:
            nursery.start_soon(sync_identifier, ctx, name, throttles)
        await trio.sleep(60)
        assert not any(ctx.has_pending_events(name) for name in others)
        await trio.sleep(asked_after)
    assert [(at, u) for at, u in starts(ctx) if u in (A, B)] == [(0.0, A), (asked_after, B)]
    assert not ctx.has_pending_events(REPO)


async def test_n3_what_goes_on_above_the_floor_is_doubled_after_ten_minutes(
    autojump_clock: MockClock,
) -> None:
    """It is not ended by its age (B 8.4); nor may it keep an identifier for as long as it likes."""
    ctx = needing(A, B).drips(A, 1024, 7200.0)
    ctx.url_provides(B, ["oid1"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A), (600.0, B)]


async def test_what_goes_wrong_is_told_once_and_not_at_each_retry(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).fails(A, ConnectFailed("refused"), times=3)
    throttles = manager(ctx)
    with capture_logs() as entries:
        for _ in range(3):
            await sync_identifier(ctx, REPO, throttles)
            await trio.sleep(60)
        ctx.fails(A, ConnectFailed("reset"), times=1)
        await sync_identifier(ctx, REPO, throttles)
    told = [entry for entry in entries if entry["event"] == "attempt failed"]
    assert [entry["log_level"] for entry in told] == ["warning", "debug", "debug", "warning"]


async def test_n3_no_url_is_forgotten_over_slow_ones_of_its_domain(
    autojump_clock: MockClock,
) -> None:
    first, second, third = (url("a", name) for name in ("1", "2", "3"))
    ctx = needing(first, second, third).url_provides(third, ["oid1"])
    for each in (first, second):
        ctx.latency(each, 600.0).fails(each, TimedOut("silent"))
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, first), (600.0, second), (1200.0, third)]


async def test_b_8_5_release_that_has_begun_is_never_cut_short(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).hangs(A).url_provides(B, ["oid1"])
    ctx.release_secs = 5.0
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert [(release.at, release.released) for release in ctx.releases] == [(8.0, ("event-1",))]


async def test_b_8_5_a_transfer_is_ended_when_nothing_of_it_is_missing_any_more(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).hangs(A).url_provides(B, ["oid1"]).release_fails("read-only")
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert [(f.url, f.outcome) for f in ctx.fetches] == [(A, "cancelled"), (B, "obtained")]
    assert trio.current_time() == 3.0


async def test_b_8_11_newcomers_are_taken_on_at_each_step(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).latency(A, 2.0).url_provides(B, ["oid1", "new"])
    async with trio.open_nursery() as nursery:
        hunt = Finished()
        nursery.start_soon(hunt.run, sync_identifier, ctx, REPO, manager(ctx))
        await trio.sleep(1)
        ctx.arrives(["new"], delay=180.0)
    assert asked(ctx) == [(0.0, A, ["oid1"]), (2.0, B, ["new", "oid1"])]
    assert (hunt.at, hunt.value) == (2.0, True)


async def test_b_8_11_newcomers_are_asked_for_at_their_time_during_a_giant_transfer(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).drips(A, 1_000_000, 600.0).url_provides(A, ["oid1"])
    ctx.url_provides(B, ["new"])
    throttles = manager(ctx)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(100)
        ctx.arrives(["new"], delay=0.5)
    assert asked(ctx) == [
        (0.0, A, ["oid1"]),
        (100.5, B, ["new"]),
    ]
    assert [(r.at, r.released) for r in ctx.releases] == [
        (100.5, ("event-2",)),
        (600.0, ("event-1",)),
    ]


async def test_b_8_11_even_from_the_only_url_there_is(autojump_clock: MockClock) -> None:
    ctx = needing(A).drips(A, 1_000_000, 600.0).url_provides(A, ["oid1", "new"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, manager(ctx))
        await trio.sleep(100)
        ctx.arrives(["new"], delay=0.5)
    assert [(at, o) for at, _, o in asked(ctx)] == [(0.0, ["oid1"]), (100.5, ["new"])]


async def test_b_8_3_a_url_is_untried_for_what_a_newcomer_brings(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).url_provides(A, ["new"]).latency(B, 2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, manager(ctx))
        await trio.sleep(1)
        ctx.arrives(["new"], delay=0.5)
    assert asked(ctx) == [
        (0.0, A, ["oid1"]),
        (0.0, B, ["oid1"]),
        (1.5, A, ["new"]),
    ]


async def test_b_8_3_in_the_domains_queue_too(autojump_clock: MockClock) -> None:
    ctx = needing(A, url("a", "second")).with_needed_oids(["old"])
    throttles = manager(ctx, concurrent=1)
    place = throttles.start_request("a.example")
    assert place is not None
    async with serving(throttles):
        known = TriedUrls({A: frozenset(["oid1", "old"])})
        throttles.enqueue_identifier("a.example", REPO, known)
        ctx.arrives(["new"], delay=180.0)
        throttles.complete_request(place)
        await trio.sleep(1)
    assert [(u, o) for _, u, o in asked(ctx)] == [
        (A, ["new"]),
        (url("a", "second"), ["new", "oid1", "old"]),
    ]


async def test_what_no_attempt_asks_for_is_asked_for_at_once(autojump_clock: MockClock) -> None:
    ctx = MockSyncContext().with_urls([A], owner="a" * 64).with_urls([B], owner="b" * 64)
    ctx.with_needed_oids(["oid1"], owners=("a" * 64,)).with_needed_oids(
        ["oid2"], owners=("b" * 64,)
    )
    ctx.drips(A, 1_000_000, 600.0).url_provides(A, ["oid1"]).url_provides(B, ["oid2"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert sorted(asked(ctx)) == [(0.0, A, ["oid1"]), (0.0, B, ["oid2"])]


async def test_b_8_1_a_prs_own_clone_value_is_asked_for_its_commit_only(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).with_needed_oids(["commit"], clone=(B,)).url_provides(B, ["commit", "oid1"])
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert [(u, o) for _, u, o in asked(ctx)] == [(A, ["commit", "oid1"]), (B, ["commit"])]


async def test_hunt_and_turn_share_what_is_tried(autojump_clock: MockClock) -> None:
    ctx = needing(A, B).latency(A, 2.0).latency(B, 2.0)
    throttles = manager(ctx)
    places = saturate(throttles, "b.example")
    async with serving(throttles) as nursery:
        throttles.enqueue_identifier("b.example", REPO, TriedUrls())
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(1)
        throttles.complete_request(places[0])
        await trio.sleep(10)
    assert starts(ctx) == [(0.0, A), (2.0, B)]


async def test_b_8_7_naughty_sources_are_left_alone(autojump_clock: MockClock) -> None:
    second = url("a", "second")
    ctx = needing(A, second, B, C, D)
    ctx.fails(A, NameUnknown("no such name")).fails(B, RepositoryUnavailable("404", 404))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A, B, C, D]
    ctx.fetches.clear()
    await trio.sleep(60)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [C, D]
    await trio.sleep(12 * 3600)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [C, D, A, B, C, D]


async def test_b_8_7_a_success_clears_what_was_listed_meanwhile(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).url_provides(A, ["oid1"]).latency(A, 2.0)
    throttles = manager(ctx)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(1)
        throttles.note_naughty(url("a", "other"), NaughtyScope.ENDPOINT, "bad certificate")
    assert len(throttles.naughty) == 0


async def test_b_8_7_what_failed_behind_a_redirect_does_not_list_the_host(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).redirects(A, "b.example").fails(A, TlsFailed("bad certificate"))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert [(e.scope, e.key) for e in throttles.naughty.entries()] == [(NaughtyScope.URL, A)]


@pytest.mark.parametrize(
    "error",
    [
        ConnectFailed("refused"),
        TimedOut("silent"),
        ResolverFailed("no answer"),
        BadStatus("500", 500),
        ProtocolBroken("ends early"),
        BadPack("damaged"),
        DiskFull("none is free"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_b_8_7_a_failure_that_may_pass_bans_no_source(error: AttemptFailed) -> None:
    ctx = needing(A).fails(A, error)
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert len(throttles.naughty) == 0


async def test_b_8_7_one_bad_path_at_a_large_forge_bans_no_other() -> None:
    bad, good = url("forge", "bad"), url("forge", "good")
    ctx = needing(bad, good).fails(bad, RepositoryUnavailable("404", 404))
    ctx.url_provides(good, ["oid1"])
    throttles = manager(ctx)
    assert await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [bad, good]
    assert [(e.scope, e.key) for e in throttles.naughty.entries()] == [(NaughtyScope.URL, bad)]


async def test_b_8_4_a_full_disk_costs_no_start_and_tries_nothing(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A, B).url_provides(A, ["oid1"])
    for each in (A, B):
        ctx.fails(each, DiskFull("none is free"), times=1)
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert [(a.url, a.result) for a in ctx.attempts] == [
        (A, ResultClass.LOCAL),
        (B, ResultClass.LOCAL),
    ]
    assert ResultClass.LOCAL in UNCOUNTED
    assert {d.tokens for d in throttles.statistics().domains.values()} == {30}
    assert await sync_identifier(ctx, REPO, throttles)


async def test_b_8_2_a_redirect_takes_a_place_at_the_other_domain(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).redirects(A, "b.example").latency(A, 1.0).url_provides(A, ["oid1"])
    throttles = manager(ctx)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sync_identifier, ctx, REPO, throttles)
        await trio.sleep(0.5)
        domains = throttles.statistics().domains
        assert {name: d.in_flight for name, d in domains.items()} == {
            "a.example": 1,
            "b.example": 1,
        }
    domains = throttles.statistics().domains
    assert {name: (d.in_flight, d.tokens) for name, d in domains.items()} == {
        "a.example": (0, 29),
        "b.example": (0, 29),
    }


async def test_b_8_6_who_leads_back_to_itself_rests_and_no_other(
    autojump_clock: MockClock,
) -> None:
    """A server could have made any other rest for an hour that leads back to it."""

    class Loop(MockSyncContext):
        async def fetch_oids(
            self, repository: Path, url: str, oids: frozenset[str], observer: AttemptObserver
        ) -> frozenset[str]:
            observer.contacted()
            observer.answered()
            assert observer.redirected("b.example")
            assert observer.redirected("a.example")
            raise RateLimited("429", 3600.0)

    ctx = Loop().with_urls([A]).with_needed_oids(["oid1"])
    throttles = manager(ctx)
    await sync_identifier(ctx, REPO, throttles)
    assert throttles.is_resting("a.example")
    assert not throttles.is_resting("b.example")


async def test_a_crash_while_an_attempt_is_recorded_concerns_no_other(
    autojump_clock: MockClock,
) -> None:
    class Forgetful(MockSyncContext):
        def record_attempt(self, *what: object) -> None:
            raise ZeroDivisionError("a bug of the embedder")

    ctx = Forgetful().with_urls([A, B]).with_needed_oids(["oid1"])
    ctx.hangs(A).latency(B, 1.0).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    with trio.move_on_after(2) as scope, capture_logs() as logs:
        await sync_identifier(ctx, REPO, throttles)
    assert scope.cancelled_caught  # not replaced by the crash
    assert await sync_identifier(ctx, REPO, throttles)
    assert "attempt not recorded" in {log["event"] for log in logs}
    assert all(d.in_flight == 0 for d in throttles.statistics().domains.values())


async def test_b_8_2_a_redirect_where_no_place_is_free_is_passed_over() -> None:
    ctx = needing(A).redirects(A, "b.example")
    throttles = manager(ctx)
    saturate(throttles, "b.example")
    assert not await sync_identifier(ctx, REPO, throttles)
    assert [(a.url, a.result) for a in ctx.attempts] == [(A, ResultClass.REFUSED)]
    assert throttles.statistics().domains["b.example"].in_flight == 5
    assert throttles.queued_at(REPO) == ()


async def test_b_8_9_a_redirect_to_a_domain_that_rests_is_no_try(
    autojump_clock: MockClock,
) -> None:
    ctx = needing(A).redirects(A, "b.example")
    throttles = manager(ctx)
    throttles.rest("b.example", 60.0)
    assert not await sync_identifier(ctx, REPO, throttles)
    (attempt,) = ctx.attempts
    assert attempt.result in UNCOUNTED
    assert attempt.event_ids == {"event-1"}


async def test_b_8_6_a_429_behind_a_redirect_lets_the_other_domain_rest_and_is_passed_over(
    autojump_clock: MockClock,
) -> None:
    """At its own domain, which does not rest, it would be asked again at once, and again."""
    ctx = needing(A).redirects(A, "b.example").fails(A, RateLimited("429", 60.0))
    throttles = manager(ctx)
    async with serving(throttles):
        assert not await sync_identifier(ctx, REPO, throttles)
        await trio.sleep(30)
    assert starts(ctx) == [(0.0, A)]
    assert (throttles.is_resting("a.example"), throttles.is_resting("b.example")) == (False, True)
    assert throttles.queued_at(REPO) == ()


async def test_b_8_2_what_turned_out_not_to_be_missing_is_passed_over() -> None:
    ctx = needing(A, B)
    throttles = manager(ctx)
    with throttles.hunts.using(REPO) as hunt:
        reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
        assert reserved is not None
        ctx.with_pending(False)
        ctx.arrives(["oid2"], 100.0)
        assert await sync_identifier_from_url(ctx, reserved, throttles) == 0
        assert list(hunt.skipped) == [A]
    assert ctx.fetches == []


async def test_b_8_2_the_tokens_time_begins_with_the_answer(autojump_clock: MockClock) -> None:
    ctx = needing(A).answers_after(A, 4.0).latency(A, 6.0)
    throttles = manager(ctx, per_minute=1)
    assert not await sync_identifier(ctx, REPO, throttles)
    throttle = throttles.domains.get("a.example")
    assert throttle is not None
    assert throttle.throttle.free_at(10.0) == 64.0
