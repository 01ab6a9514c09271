from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.hunt.limits.domain_queue import DomainQueue
from purgatory_sync.hunt.limits.tried_urls import TriedUrls


def queue_of(*identifiers: str) -> DomainQueue:
    queue = DomainQueue()
    for identifier in identifiers:
        queue.enqueue(identifier, TriedUrls())
    return queue


def turns(queue: DomainQueue, count: int) -> list[str | None]:
    order = []
    for _ in range(count):
        order.append(queue.next_ready())
        if order[-1] is not None:
            queue.end_turn(order[-1])
    return order


def test_turns_come_in_round_robin_order() -> None:
    assert turns(queue_of("A", "B", "C"), 6) == ["A", "B", "C", "A", "B", "C"]


def test_one_whose_turn_is_going_on_gets_no_second_one() -> None:
    queue = queue_of("A", "B")
    assert queue.next_ready() == "A"
    assert queue.next_ready() == "B"
    assert queue.next_ready() is None
    assert queue.waiting == 0
    queue.end_turn("A")
    assert queue.next_ready() == "A"


def test_removal_keeps_the_order_of_the_rest() -> None:
    queue = queue_of("A", "B", "C", "D")
    assert turns(queue, 1) == ["A"]
    queue.remove("C")
    assert turns(queue, 4) == ["B", "D", "A", "B"]


def test_re_enqueue_merges_tried_urls_and_keeps_the_place() -> None:
    queue = queue_of("A", "B")
    queue.enqueue("A", TriedUrls({"u": frozenset({"1"})}))
    queue.enqueue("A", TriedUrls({"u": frozenset({"2"}), "v": frozenset({"3"})}))
    tried = queue.tried("A")
    assert tried is not None
    assert tried.untried("u", frozenset("123")) == {"3"}
    assert tried.untried("v", frozenset("123")) == {"1", "2"}
    assert turns(queue, 2) == ["A", "B"]


def test_re_enqueue_during_a_turn_does_not_begin_a_second_one() -> None:
    queue = queue_of("A")
    assert queue.next_ready() == "A"
    queue.enqueue("A", TriedUrls({"u": frozenset({"1"})}))
    assert queue.next_ready() is None
    queue.end_turn("A")
    tried = queue.tried("A")
    assert tried is not None
    assert "u" in tried
    assert len(queue) == 1


def test_ending_the_turn_of_one_that_was_removed_does_nothing() -> None:
    queue = queue_of("A")
    assert queue.next_ready() == "A"
    queue.remove("A")
    queue.end_turn("A")
    assert "A" not in queue
    assert len(queue) == 0
    assert queue.tried("A") is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("ABCDE"), unique=True, min_size=1), st.integers(1, 25))
def test_each_gets_a_turn_before_one_gets_a_second(names: list[str], count: int) -> None:
    order = turns(queue_of(*names), count)
    counts = [order.count(name) for name in names]
    assert max(counts) - min(counts) <= 1
