from __future__ import annotations

from math import inf

from purgatory_sync.hunt.limits.domain_throttle import DomainThrottle, Place
from purgatory_sync.hunt.limits.tried_urls import TriedUrls


def throttle(max_concurrent: int = 5, max_per_minute: int = 30) -> DomainThrottle:
    return DomainThrottle("git.example", max_concurrent, max_per_minute)


def start(domain: DomainThrottle, now: float) -> Place:
    place = domain.start_request(now)
    assert place is not None
    return place


def run(domain: DomainThrottle, now: float, *, succeeded: bool = True) -> None:
    domain.complete_request(start(domain, now), now, succeeded=succeeded)


def test_concurrent_limit_blocks_when_saturated() -> None:
    domain = throttle(max_concurrent=2)
    first = start(domain, 0.0)
    assert domain.has_capacity(0.0)
    start(domain, 0.0)
    assert not domain.has_capacity(0.0)
    assert domain.start_request(0.0) is None
    assert (domain.free_at(0.0), domain.in_flight) == (inf, 2)
    domain.complete_request(first, 1.0)
    assert domain.has_capacity(1.0)


def test_rate_limit_blocks_when_window_full() -> None:
    domain = throttle(max_per_minute=2)
    run(domain, 0.0)
    run(domain, 10.0)
    assert not domain.has_capacity(59.9)
    assert domain.start_request(59.9) is None
    assert domain.free_at(59.9) == 60.0
    assert domain.has_capacity(60.0)
    run(domain, 60.0)
    assert domain.free_at(60.0) == 70.0


def test_round_robin_processes_identifiers_fairly() -> None:
    domain, order = throttle(), []
    for identifier in ("A", "B", "C"):
        domain.enqueue_identifier(identifier, TriedUrls())
    for _ in range(6):
        identifier = domain.next_ready_identifier() or ""
        order.append(identifier)
        domain.mark_identifier_not_in_progress(identifier)
    assert order == ["A", "B", "C", "A", "B", "C"]


def test_skips_in_progress_identifiers() -> None:
    domain = throttle()
    domain.enqueue_identifier("A", TriedUrls())
    domain.enqueue_identifier("B", TriedUrls())
    assert domain.next_ready_identifier() == "A"
    assert domain.next_ready_identifier() == "B"
    assert domain.next_ready_identifier() is None
    domain.mark_identifier_not_in_progress("B")
    assert domain.next_ready_identifier() == "B"


def test_tried_urls_are_kept_per_queued_identifier() -> None:
    domain = throttle()
    domain.mark_url_tried("A", "u", "1")
    assert len(domain.get_tried_urls("A")) == 0
    domain.enqueue_identifier("A", TriedUrls())
    domain.mark_url_tried("A", "u", "1")
    assert domain.get_tried_urls("A").untried("u", frozenset("12")) == {"2"}
    domain.remove_identifier("A", 0.0)
    assert len(domain.get_tried_urls("A")) == 0


def test_b_8_2_what_is_given_back_was_never_taken() -> None:
    domain = throttle(max_concurrent=1, max_per_minute=1)
    place = start(domain, 0.0)
    domain.give_back(place, 0.0)
    domain.give_back(place, 0.0)
    domain.complete_request(place, 0.0)
    assert domain.has_capacity(0.0)
    assert (domain.in_flight, domain.requests_total) == (0, 0)


def test_completing_twice_frees_one_place() -> None:
    domain = throttle(max_concurrent=2)
    first = start(domain, 0.0)
    start(domain, 0.0)
    domain.complete_request(first, 1.0)
    domain.complete_request(first, 1.0)
    assert domain.in_flight == 1


def test_b_8_2_the_tokens_clock_starts_with_the_answer() -> None:
    domain = throttle(max_per_minute=1)
    place = start(domain, 0.0)
    domain.answered(place, 5.0)
    domain.complete_request(place, 50.0)
    assert domain.free_at(50.0) == 65.0


def test_b_8_6_rests_and_then_one_goes_first() -> None:
    domain = throttle()
    domain.rest(100.0, 0.0)
    assert domain.is_resting(99.9)
    assert domain.free_at(50.0) == 100.0
    assert not domain.is_resting(100.0)
    probe = start(domain, 100.0)
    assert domain.start_request(100.0) is None
    assert domain.free_at(100.0) == inf
    domain.complete_request(probe, 101.0, succeeded=True)
    for _ in range(5):
        start(domain, 101.0)


def test_b_8_6_the_others_follow_only_when_it_succeeds() -> None:
    domain = throttle()
    domain.rest(100.0, 0.0)
    probe = start(domain, 100.0)
    domain.complete_request(probe, 101.0, succeeded=False)
    second = start(domain, 101.0)
    assert domain.start_request(101.0) is None
    domain.give_back(second, 101.0)
    assert domain.has_capacity(101.0)


def test_b_8_6_a_success_that_began_before_the_rest_proves_nothing() -> None:
    domain = throttle()
    early, late = start(domain, 0.0), start(domain, 0.0)
    domain.complete_request(late, 1.0)
    domain.rest(61.0, 1.0)
    domain.complete_request(early, 70.0, succeeded=True)
    start(domain, 70.0)
    assert not domain.has_capacity(70.0)


def test_b_8_6_at_most_an_hour() -> None:
    domain = throttle()
    domain.rest(1_000_000.0, 10.0)
    assert domain.resting_until == 3610.0


def test_b_8_6_a_shorter_rest_does_not_end_a_longer_one() -> None:
    domain = throttle()
    domain.rest(100.0, 0.0)
    domain.rest(50.0, 0.0)
    assert domain.resting_until == 100.0


def test_b_8_2_starts_and_rests_survive_a_restart() -> None:
    domain = throttle(max_per_minute=2)
    domain.restore((0.0, 10.0), None, now=20.0)
    assert domain.free_at(20.0) == 60.0
    domain.restore((), 90.0, now=20.0)
    assert domain.free_at(20.0) == 90.0
    domain.restore((), 15.0, now=20.0)
    assert domain.resting_until == 90.0


def test_idle_means_no_queue_no_token_out_and_no_rest() -> None:
    domain = throttle()
    assert domain.idle_since() == 0.0
    place = start(domain, 5.0)
    assert domain.idle_since() == inf
    domain.complete_request(place, 7.0)
    assert domain.idle_since() == 67.0
    domain.rest(100.0, 7.0)
    assert domain.idle_since() == 100.0
    domain.enqueue_identifier("A", TriedUrls())
    assert domain.idle_since() == inf
    domain.remove_identifier("A", 200.0)
    assert domain.idle_since() == 200.0
