from __future__ import annotations

import trio
from trio.testing import MockClock

from purgatory_sync.errors import (
    ConnectFailed,
    Forbidden,
    NotReachedByProxy,
    ProxyFailed,
    ResultClass,
)
from purgatory_sync.hunt.hunt_attempt import sync_identifier_from_url
from purgatory_sync.hunt.limits.tried_urls import TriedUrls
from purgatory_sync.hunt.strategy import ThrottledDomainInfo
from purgatory_sync.hunt.sync_identifier import sync_identifier
from purgatory_sync.purgatory.entries import UNCOUNTED
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import MockSyncContext

from .support import A, B, C, manager, next_url, saturate, serving, starts, throttled_domains, url

REPO = "test-repo"


def tried(*urls: str) -> TriedUrls:
    return TriedUrls({each: frozenset(["oid1", "oid2"]) for each in urls})


def needing(*oids: str, urls: tuple[str, ...] = (A, B, C)) -> MockSyncContext:
    return MockSyncContext().with_urls(urls).with_needed_oids(oids)


async def test_next_url_skips_throttled_domains() -> None:
    ctx = needing("oid1")
    throttles = manager(ctx)
    saturate(throttles, "a.example")
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    assert reserved.url == B


async def test_next_url_skips_tried_urls() -> None:
    ctx = needing("oid1")
    reserved = await next_url(ctx, REPO, None, tried(A, B), manager(ctx))
    assert reserved is not None
    assert reserved.url == C


async def test_next_url_none_without_pending_events() -> None:
    ctx = needing("oid1").with_pending(False)
    assert await next_url(ctx, REPO, None, TriedUrls(), manager(ctx)) is None


async def test_next_url_none_when_nothing_needed() -> None:
    ctx = MockSyncContext().with_urls([A]).with_pending()
    assert await next_url(ctx, REPO, None, TriedUrls(), manager(ctx)) is None


async def test_next_url_specific_domain() -> None:
    ctx = needing("oid1")
    throttles = manager(ctx)
    reserved = await next_url(ctx, REPO, "b.example", TriedUrls(), throttles)
    assert reserved is not None
    assert (reserved.url, reserved.domain) == (B, "b.example")
    again = await next_url(ctx, REPO, "b.example", tried(B), throttles)
    assert again is None


async def test_next_url_none_when_all_tried() -> None:
    ctx = needing("oid1")
    assert await next_url(ctx, REPO, None, tried(A, B, C), manager(ctx)) is None


async def test_next_url_none_without_repository_data() -> None:
    ctx = needing("oid1").with_repo_data(None)
    assert await next_url(ctx, REPO, None, TriedUrls(), manager(ctx)) is None


async def test_next_url_never_our_own_domain() -> None:
    ctx = MockSyncContext("a.example").with_urls([A]).with_needed_oids(["oid1"])
    assert await next_url(ctx, REPO, None, TriedUrls(), manager(ctx)) is None


async def test_b_8_2_the_place_is_taken_in_the_same_step_as_the_choice() -> None:
    ctx = needing("oid1", urls=(A,))
    ctx.with_urls([A], "other").with_needed_oids(["oid2"], "other")
    throttles = manager(ctx, concurrent=1)
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    assert throttles.statistics().domains["a.example"].in_flight == 1
    assert await next_url(ctx, "other", None, TriedUrls(), throttles) is None
    reserved.give_back()
    assert throttles.statistics().domains["a.example"].tokens == 30
    assert len(throttles.hunts) == 0
    assert await next_url(ctx, "other", None, TriedUrls(), throttles) is not None


async def test_b_8_2_no_url_is_chosen_twice_at_once() -> None:
    ctx = needing("oid1", urls=(A, url("a", "second")))
    throttles = manager(ctx)
    first = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert first is not None
    assert await next_url(ctx, REPO, None, TriedUrls(), throttles) is None
    first.give_back()


async def test_b_8_2_the_domain_with_the_most_to_spare_is_taken() -> None:
    ctx = needing("oid1", urls=(A, B))
    throttles = manager(ctx)
    throttles.start_request("a.example")
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    assert reserved.url == B


async def test_from_url_fetches_and_processes_on_success() -> None:
    ctx = needing("oid1").url_provides(A, ["oid1"])
    throttles = manager(ctx)
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    assert await sync_identifier_from_url(ctx, reserved, throttles) == 1
    assert ctx.fetched_urls == [A]
    assert [release.new_oids for release in ctx.releases] == [{"oid1"}]
    assert [release.released for release in ctx.releases] == [("event-1",)]
    assert not ctx.has_pending_events(REPO)
    assert len(throttles.hunts) == 0


async def test_s7_a_failed_fetch_releases_nothing() -> None:
    ctx = needing("oid1").fails(A, ConnectFailed("refused"))
    throttles = manager(ctx)
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    assert await sync_identifier_from_url(ctx, reserved, throttles) == 0
    assert ctx.releases == []
    assert throttles.statistics().domains["a.example"].requests_total == 1


async def test_s7_no_start_is_counted_when_there_is_nothing_to_do() -> None:
    for ctx in (
        needing("oid1", urls=("file:///etc/passwd",)),
        needing("oid1").with_repo_data(None),
        needing("oid1").without_target(),
        MockSyncContext().with_urls([A]).with_pending(),
    ):
        throttles = manager(ctx)
        await sync_identifier(ctx, REPO, throttles)
        assert ctx.fetches == []
        assert sum(d.requests_total for d in throttles.statistics().domains.values()) == 0
        assert len(throttles.hunts) == 0


async def test_s7_asks_for_what_is_needed_at_that_moment() -> None:
    ctx = needing("oid1", "oid2").url_provides(A, ["oid1", "oid2"])
    throttles = manager(ctx)
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    ctx.push(["oid1"])
    ctx.arrives(["oid2"], 100.0)  # a push alone need not tell; a new event does
    assert await sync_identifier_from_url(ctx, reserved, throttles) == 1
    assert [fetch.oids for fetch in ctx.fetches] == [{"oid2"}]


async def test_b_8_2_a_lost_race_gives_place_and_token_back() -> None:
    ctx = needing("oid1")
    throttles = manager(ctx)
    reserved = await next_url(ctx, REPO, None, TriedUrls(), throttles)
    assert reserved is not None
    ctx.push(["oid1"])
    assert await sync_identifier_from_url(ctx, reserved, throttles) == 0
    domain = throttles.statistics().domains["a.example"]
    assert (domain.in_flight, domain.tokens, domain.requests_total) == (0, 30, 0)


async def test_s8_throttled_domains_with_untried_urls() -> None:
    second = url("a", "second")
    ctx = needing("oid1", urls=(A, second, B, C))
    throttles = manager(ctx)
    for domain in ("a.example", "b.example"):
        saturate(throttles, domain)
    asked = tried(A, B)
    found = await throttled_domains(ctx, REPO, asked, throttles)
    assert [info.domain for info in found] == ["a.example"]
    assert isinstance(found[0], ThrottledDomainInfo)
    assert list(found[0].tried_urls_for_domain) == [A]


async def test_tries_multiple_urls_until_complete(autojump_clock: MockClock) -> None:
    ctx = needing("oid1", "oid2", "oid3")
    ctx.url_provides(A, ["oid1"]).url_provides(B, ["oid2"]).url_provides(C, ["oid3"])
    for each in (A, B, C):
        ctx.latency(each, 1.0)
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert starts(ctx) == [(0.0, A), (1.0, B), (2.0, C)]
    assert [fetch.oids for fetch in ctx.fetches] == [
        {"oid1", "oid2", "oid3"},
        {"oid2", "oid3"},
        {"oid3"},
    ]


async def test_enqueues_throttled_domains_when_incomplete(autojump_clock: MockClock) -> None:
    ctx = needing("oid1", urls=(A, B, C)).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    saturate(throttles, "b.example")
    saturate(throttles, "c.example")
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A]
    assert throttles.queued_at(REPO) == ("b.example", "c.example")
    assert trio.current_time() == 0.0


async def test_aggregates_oids_from_multiple_servers() -> None:
    ctx = needing("oid1", "oid2", urls=(A, B))
    ctx.url_provides(A, ["oid1"]).url_provides(B, ["oid2"])
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert ctx.needed == frozenset()
    assert [release.released for release in ctx.releases] == [(), ("event-1",)]


async def test_incomplete_when_oids_unavailable() -> None:
    ctx = needing("oid1", "oid2", urls=(A, B))
    ctx.url_provides(A, ["oid1"]).url_provides(B, ["oid1"])
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert ctx.needed == {"oid2"}
    assert ctx.fetched_urls == [A, B]


async def test_complete_without_asking_when_nothing_is_missing() -> None:
    ctx = MockSyncContext().with_urls([A]).with_pending()
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert ctx.fetches == []
    assert len(ctx.releases) == 1


async def test_b_8_11_a_release_that_fails_is_not_complete() -> None:
    ctx = MockSyncContext().with_urls([A]).with_pending().release_fails("disk is read-only")
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert len(ctx.releases) == 1


async def test_what_lacks_nothing_is_released_before_anything_is_asked() -> None:
    ctx = needing("oid1", urls=(A,)).with_pending()
    assert not await sync_identifier(ctx, REPO, manager(ctx))
    assert [release.released for release in ctx.releases] == [("event-2",)]
    assert ctx.fetched_urls == [A]


async def test_each_state_is_released_as_soon_as_its_objects_are_here(
    autojump_clock: MockClock,
) -> None:
    ctx = needing("oid1", urls=(A, B)).with_needed_oids(["oid2"])
    ctx.url_provides(A, ["oid1"]).url_provides(B, ["oid2"])
    ctx.latency(A, 1.0).latency(B, 2.0)
    assert await sync_identifier(ctx, REPO, manager(ctx))
    assert [(r.at, r.released) for r in ctx.releases] == [(1.0, ("event-1",)), (3.0, ("event-2",))]


async def test_b_8_2_what_was_passed_over_is_not_looked_at_again_in_this_hunt() -> None:
    ctx = needing("oid1", urls=(A, B)).fails(A, Forbidden("not public"))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A, B]
    domain = throttles.statistics().domains["a.example"]
    assert (domain.tokens, domain.requests_total) == (30, 0)
    assert [(a.url, a.result) for a in ctx.attempts] == [
        (A, ResultClass.FORBIDDEN),
        (B, ResultClass.NOTHING),
    ]


async def test_b_8_2_a_refused_connection_costs_a_token_and_is_tried() -> None:
    ctx = needing("oid1", urls=(A,)).fails(A, ConnectFailed("refused"))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A]
    assert throttles.statistics().domains["a.example"].tokens == 29


async def test_b_8_7_a_proxy_that_fails_is_no_servers_fault() -> None:
    """No server is contacted or naughty, and it counts for no event as tried (8.9)."""
    ctx = needing("oid1").fails(A, ProxyFailed("407")).fails(B, NotReachedByProxy("502"))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A, B, C]
    assert len(throttles.naughty) == 0
    domains = throttles.statistics().domains
    assert [domains[f"{name}.example"].tokens for name in "ab"] == [30, 29]
    assert [a.result for a in ctx.attempts[:2]] == [ResultClass.LOCAL, ResultClass.UNREACHABLE]
    assert ResultClass.LOCAL in UNCOUNTED


async def test_b_8_8_without_target_nothing_is_begun() -> None:
    ctx = needing("oid1", urls=(A, B)).without_target()
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetches == []
    assert [(a.url, a.result) for a in ctx.attempts] == [
        (A, ResultClass.NOTHING),
        (B, ResultClass.NOTHING),
    ]
    assert all(d.tokens == 30 for d in throttles.statistics().domains.values())


async def test_b_8_3_the_hunts_memory_ends_with_it() -> None:
    ctx = needing("oid1", urls=(A,))
    throttles = manager(ctx)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetched_urls == [A, A]


async def test_crashing_attempt_leaves_nothing_occupied() -> None:
    ctx = needing("oid1", urls=(A, B)).fails(A, ZeroDivisionError()).url_provides(B, ["oid1"])
    throttles = manager(ctx)
    with capture_logs() as logs:
        assert await sync_identifier(ctx, REPO, throttles)
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "attempt crashed"
    ]
    assert ctx.fetched_urls == [A, B]
    assert all(d.in_flight == 0 for d in throttles.statistics().domains.values())
    assert throttles.attempts[ResultClass.LOCAL] == 1
    assert len(throttles.hunts) == 0


async def test_cancelled_hunt_leaves_nothing_occupied(autojump_clock: MockClock) -> None:
    ctx = needing("oid1", urls=(A,)).hangs(A)
    throttles = manager(ctx)
    with trio.move_on_after(2.0) as scope:
        await sync_identifier(ctx, REPO, throttles)
    assert scope.cancelled_caught
    domain = throttles.statistics().domains["a.example"]
    assert (domain.in_flight, domain.tokens) == (0, 29)
    assert len(throttles.hunts) == 0
    assert [a.result for a in ctx.attempts] == [ResultClass.CANCELLED]


async def test_identifier_waiting_at_a_domain_counts_it_as_throttled_for_its_own_hunt(
    autojump_clock: MockClock,
) -> None:
    ctx = needing("oid1", urls=(A,))
    throttles = manager(ctx)
    throttles.enqueue_identifier("a.example", REPO, TriedUrls())
    assert throttles.domains.get("a.example") is not None
    assert throttles.is_throttled_for("a.example", REPO)
    assert not await sync_identifier(ctx, REPO, throttles)
    assert ctx.fetches == []
    async with serving(throttles):
        await trio.sleep(0.5)
    assert ctx.fetched_urls == [A]
