from __future__ import annotations

from purgatory_sync.purgatory.queue_entry import SyncQueueEntry


def test_backoff_doubles_up_to_cap() -> None:
    entry = SyncQueueEntry(next_attempt=0.0)
    assert entry.backoff() == 20.0
    seen = []
    for _ in range(5):
        entry.on_sync_complete(now=0.0)
        seen.append(entry.backoff())
    assert seen == [20.0, 40.0, 80.0, 120.0, 120.0]


def test_backoff_of_very_many_attempts_is_still_the_cap() -> None:
    assert SyncQueueEntry(0.0, attempt_count=10_000).backoff() == 120.0


def test_sync_complete_counts_and_waits_for_the_backoff() -> None:
    entry = SyncQueueEntry(next_attempt=0.0)
    entry.on_sync_complete(now=100.0)
    assert (entry.attempt_count, entry.next_attempt) == (1, 120.0)
    entry.on_sync_complete(now=200.0)
    assert (entry.attempt_count, entry.next_attempt) == (2, 240.0)


def test_new_event_resets_attempt_count() -> None:
    entry = SyncQueueEntry(next_attempt=500.0, attempt_count=4)
    entry.on_new_event(delay=0.5, now=100.0)
    assert (entry.attempt_count, entry.next_attempt) == (0, 100.5)


def test_new_event_only_brings_the_next_attempt_forward() -> None:
    entry = SyncQueueEntry(next_attempt=110.0)
    entry.on_new_event(delay=180.0, now=100.0)
    assert entry.next_attempt == 110.0


def test_is_ready_at_its_time_and_not_while_in_progress() -> None:
    entry = SyncQueueEntry(next_attempt=10.0)
    assert not entry.is_ready(9.999)
    assert entry.is_ready(10.0)
    entry.in_progress = True
    assert not entry.is_ready(10.0)


def test_b_8_11_a_newcomer_in_a_hunt_is_due_before_the_backoff() -> None:
    entry = SyncQueueEntry(next_attempt=0.0, attempt_count=3, in_progress=True)
    entry.on_new_event(delay=180.0, now=100.0)
    entry.on_new_event(delay=0.5, now=101.0)
    entry.on_new_event(delay=180.0, now=102.0)
    assert (entry.next_attempt, entry.newly_queued_due, entry.attempt_count) == (0.0, 101.5, 0)
    entry.on_sync_complete(now=101.2)
    assert (entry.next_attempt, entry.newly_queued_due, entry.attempt_count) == (101.5, None, 1)


def test_b_8_11_the_backoff_counts_when_it_is_earlier_than_the_newcomer() -> None:
    entry = SyncQueueEntry(next_attempt=0.0, in_progress=True)
    entry.on_new_event(delay=180.0, now=0.0)
    entry.on_sync_complete(now=1.0)
    assert entry.next_attempt == 21.0


def test_b_8_11_newcomers_are_taken_on_once_they_are_due() -> None:
    entry = SyncQueueEntry(next_attempt=0.0, in_progress=True)
    entry.on_new_event(delay=0.5, now=10.0)
    entry.on_newcomers_taken(now=10.4)
    assert entry.newly_queued_due == 10.5
    entry.on_newcomers_taken(now=10.5)
    assert entry.newly_queued_due is None
