from __future__ import annotations

import heapq
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.purgatory.queue import SyncQueue


class Clock:
    """Time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> SyncQueue:
    return SyncQueue(clock)


def test_burst_waits_from_its_first_event(queue: SyncQueue, clock: Clock) -> None:
    for clock.now in (0.0, 0.1, 0.2, 0.4):
        queue.enqueue("repo", 0.5)
    assert len(queue) == 1
    assert queue.due(0.499) == ()
    assert queue.due(0.5) == ("repo",)


def test_due_ones_come_in_the_order_of_their_times(queue: SyncQueue) -> None:
    for name, delay in (("c", 3.0), ("a", 1.0), ("d", 9.0), ("b", 2.0)):
        queue.enqueue(name, delay)
    assert queue.due(5.0) == ("a", "b", "c")


def test_due_ones_stay_due_until_leased(queue: SyncQueue) -> None:
    queue.enqueue("repo", 0.0)
    assert queue.due(0.0) == queue.due(0.0) == ("repo",)
    with queue.lease("repo", lambda: True):
        assert queue.due(0.0) == ()


def test_lease_sets_and_clears_in_progress(queue: SyncQueue, clock: Clock) -> None:
    queue.enqueue("repo", 0.0)
    with queue.lease("repo", lambda: True) as entry:
        assert entry.in_progress
        clock.now = 7.0
    after = queue.get("repo")
    assert after is entry
    assert (after.in_progress, after.attempt_count, after.next_attempt) == (False, 1, 27.0)
    assert queue.due(26.9) == ()
    assert queue.due(27.0) == ("repo",)


def test_crash_in_a_lease_leaves_the_entry_free(queue: SyncQueue) -> None:
    queue.enqueue("repo", 0.0)
    with pytest.raises(ZeroDivisionError), queue.lease("repo", lambda: True):
        _ = 1 / 0
    assert queue.due(20.0) == ("repo",)


def test_lease_removes_an_identifier_in_which_nothing_is_pending(queue: SyncQueue) -> None:
    queue.enqueue("repo", 0.0)
    with queue.lease("repo", lambda: False):
        pass
    assert "repo" not in queue
    assert queue.due(1e9) == ()


def test_b_8_11_pending_is_looked_at_when_the_lease_ends(queue: SyncQueue, clock: Clock) -> None:
    pending: list[str] = []
    queue.enqueue("repo", 0.0)
    with queue.lease("repo", lambda: bool(pending)):
        clock.now = 5.0
        pending.append("newcomer")
        queue.enqueue("repo", 0.5)
    assert queue.due(5.4) == ()
    assert queue.due(5.5) == ("repo",)


def test_second_lease_is_a_mistake(queue: SyncQueue) -> None:
    queue.enqueue("repo", 0.0)
    with queue.lease("repo", lambda: True):
        with pytest.raises(RuntimeError, match="already"), queue.lease("repo", lambda: True):
            pass
        assert queue.due(0.0) == ()


def test_remove_spares_what_is_being_hunted(queue: SyncQueue) -> None:
    queue.enqueue("repo", 0.0)
    with queue.lease("repo", lambda: True):
        queue.remove("repo")
        assert "repo" in queue
    queue.remove("repo")
    assert "repo" not in queue


def test_due_ones_are_found_without_scanning_all(
    queue: SyncQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[object] = []
    heappop = heapq.heappop

    def counting(heap: list[Any]) -> Any:
        looked_at.append(heap[0])
        return heappop(heap)

    monkeypatch.setattr(heapq, "heappop", counting)
    order = list(range(100_000))
    random.Random(7).shuffle(order)
    for number in order:
        queue.enqueue(f"repo-{number}", 1.0 if number < 10 else 1000.0 + number)
    assert len(queue.due(1.0)) == 10
    assert len(looked_at) == 10
    assert queue.due(0.9) == ()
    assert len(looked_at) == 10


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enqueue", "hunt", "done", "remove"]),
            st.sampled_from("abc"),
            st.integers(0, 200),
        ),
        max_size=40,
    )
)
def test_due_is_what_a_scan_of_all_entries_finds(steps: list[tuple[str, str, int]]) -> None:
    clock = Clock()
    queue = SyncQueue(clock)
    for what, name, number in steps:
        clock.now += number / 10
        if what == "enqueue":
            queue.enqueue(name, number)
        elif what == "remove":
            queue.remove(name)
        elif name in queue:
            with queue.lease(name, {"hunt": True, "done": False}[what].__bool__):
                queue.enqueue(name, number)
        entries = {i: e for i in queue if (e := queue.get(i)) is not None}
        ready = {i for i, entry in entries.items() if entry.is_ready(clock.now)}
        assert set(queue.due(clock.now)) == ready
