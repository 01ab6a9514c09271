from __future__ import annotations

import trio
from trio.testing import MockClock

from purgatory_sync.errors import ResultClass
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.purgatory.capacity import Load
from purgatory_sync.purgatory.entries import HeldState, Origin
from purgatory_sync.purgatory.purgatory import HeldCounts, Purgatory
from purgatory_sync.records import Placeholder
from purgatory_sync.settings import SyncSettings

from .support import ALICE, announcement, pull_request, state

NOW = 1_000_000.0


async def test_enqueue_sync_debounces_rapid_calls(autojump_clock: MockClock) -> None:
    purgatory = Purgatory()
    for _ in range(10):
        purgatory.enqueue_sync("repo", 0.5)
        await trio.sleep(0.01)
    assert len(purgatory.sync_queue) == 1
    assert purgatory.sync_queue.due(0.499) == ()
    assert purgatory.sync_queue.due(0.5) == ("repo",)


async def test_s3_delay_by_origin() -> None:
    purgatory = Purgatory(sync=SyncSettings(), clock=lambda: 0.0)
    purgatory.add_state(state("mine"), Origin.USER, NOW)
    purgatory.add_state(state("theirs"), Origin.SYNC, NOW)
    purgatory.add_state(state("restored"), Origin.USER, NOW, delay=0.0)
    queue = purgatory.sync_queue
    assert queue.due(0.0) == ("restored",)
    assert queue.due(0.5) == ("restored", "theirs")
    assert queue.due(179.9) == ("restored", "theirs")
    assert queue.due(180.0) == ("restored", "theirs", "mine")


async def test_b_9_what_was_noted_in_the_future_of_the_clock_counts_from_then_on() -> None:
    purgatory, ahead = Purgatory(clock=lambda: 0.0), NOW + 5_000.0
    held = purgatory.add_state(state(), Origin.USER, ahead)
    soft = purgatory.add_announcement(
        announcement("soft"), Origin.USER, NOW - 5, soft_expired_at=ahead
    )
    earlier = purgatory.add_pr(pull_request("repo"), Origin.SYNC, NOW - 5)
    purgatory.expired.remember("e" * 64, ahead)
    for number, at in enumerate((ahead, NOW - 5)):
        purgatory.placeholders.add(Placeholder(ALICE, "repo", str(number), "1" * 40, at))
    purgatory.clamp_timestamps(NOW)
    assert (held.accepted_at, soft.accepted_at, soft.soft_expired_at) == (NOW, NOW - 5, NOW)
    assert earlier.accepted_at == NOW - 5
    assert purgatory.expired.expired_at("e" * 64, NOW) == NOW
    assert [each.at for each in purgatory.placeholders] == [NOW, NOW - 5]
    assert purgatory.placeholders.count(ALICE, "repo") == 2


async def test_trigger_immediate_sync_uses_the_immediate_delay() -> None:
    purgatory = Purgatory(sync=SyncSettings(immediate_delay_ms=700), clock=lambda: 0.0)
    purgatory.trigger_immediate_sync("repo")
    (entry,) = purgatory.sync_queue.due(0.7)
    assert entry == "repo"
    assert purgatory.sync_queue.due(0.6) == ()


async def test_several_states_wait_under_one_identifier_oldest_first() -> None:
    purgatory = Purgatory()
    newer = purgatory.add_state(state(number=2, created_at=20), Origin.USER, NOW)
    older = purgatory.add_state(state(number=1, created_at=10), Origin.USER, NOW)
    assert purgatory.find_state("repo") == [older, newer]
    assert purgatory.find_state("other") == []
    assert purgatory.get(newer.event_id) is newer
    assert purgatory.remove_state_event(older.event_id) is older
    assert purgatory.find_state("repo") == [newer]
    assert purgatory.remove_state_event(older.event_id) is None


async def test_b_1_8_what_is_held_already_stays_as_it_is() -> None:
    purgatory = Purgatory(clock=lambda: 0.0)
    first = purgatory.add_state(state(), Origin.USER, NOW)
    again = purgatory.add_state(state(), Origin.SYNC, NOW + 5)
    assert again is first
    assert (first.accepted_at, first.origin) == (NOW, Origin.USER)
    entry = purgatory.sync_queue.get("repo")
    assert entry is not None
    assert entry.next_attempt == 180.0
    one = purgatory.add_pr(pull_request("repo"), Origin.USER, NOW)
    assert purgatory.add_pr(pull_request("repo"), Origin.USER, NOW + 1) is one


async def test_b_4_3_a_pr_waits_under_each_identifier() -> None:
    purgatory = Purgatory()
    held = purgatory.add_pr(pull_request("x", "y"), Origin.SYNC, NOW)
    assert purgatory.find_prs_for_identifier("x") == [held]
    assert purgatory.find_prs_for_identifier("y") == [held]
    assert set(purgatory.sync_queue) == {"x", "y"}
    assert purgatory.remove_pr(held.event_id) is held
    assert not purgatory.has_pending_events("x")
    assert not purgatory.has_pending_events("y")
    assert len(purgatory.sync_queue) == 0
    assert purgatory.remove_pr(held.event_id) is None


async def test_pending_means_states_and_prs_only() -> None:
    purgatory = Purgatory()
    held = purgatory.add_announcement(announcement(), Origin.USER, NOW)
    assert not purgatory.has_pending_events("repo")
    assert len(purgatory.sync_queue) == 0
    purgatory.add_state(state(), Origin.USER, NOW)
    assert purgatory.has_pending_events("repo")
    assert purgatory.get(held.event_id) is held


async def test_b_2_5_a_newer_announcement_replaces_and_an_older_one_does_not() -> None:
    purgatory = Purgatory()
    first = purgatory.add_announcement(announcement(created_at=10), Origin.USER, NOW)
    assert purgatory.add_announcement(announcement(created_at=9), Origin.USER, NOW + 1) is first
    second = purgatory.add_announcement(announcement(created_at=11), Origin.USER, NOW + 2)
    assert purgatory.find_announcements("repo") == [second]
    assert purgatory.get(first.event_id) is None
    assert (second.accepted_at, purgatory.room.of_author(ALICE).events) == (NOW + 2, 1)
    assert purgatory.find_announcement(ALICE, "repo") is second
    assert purgatory.remove_announcement(second.event_id) is second
    assert purgatory.find_announcements("repo") == []


async def test_b_2_7_revival_starts_the_time_anew() -> None:
    purgatory = Purgatory()
    held = purgatory.add_announcement(announcement(), Origin.USER, NOW)
    purgatory.soft_expire(held, NOW + 1800)
    assert held.soft_expired_at == NOW + 1800
    purgatory.revive_announcement(held, NOW + 2000)
    after = purgatory.find_announcement(ALICE, "repo")
    assert after is held
    assert (after.accepted_at, after.soft_expired_at) == (NOW + 2000, None)


async def test_b_1_9_what_is_held_is_counted_in_all_and_by_author() -> None:
    purgatory = Purgatory()
    one = purgatory.add_state(state(number=1), Origin.USER, NOW)
    two = purgatory.add_announcement(announcement(), Origin.USER, NOW)
    three = purgatory.add_pr(pull_request("repo"), Origin.USER, NOW)
    sizes = [len(encode_event(each.event)) for each in (one, two, three)]
    author = three.event.pubkey
    assert purgatory.room.total == Load(3, sum(sizes))
    assert purgatory.room.of_author(ALICE) == Load(2, sizes[0] + sizes[1])
    assert purgatory.room.of_author(author) == Load(1, sizes[2])
    assert purgatory.counts() == HeldCounts(states=1, prs=1, announcements=1)
    assert purgatory.counts().total == purgatory.held_total == 3
    purgatory.add_state(one.state, Origin.USER, NOW)
    assert purgatory.held_total == 3
    purgatory.remove_pr(three.event_id)
    assert (purgatory.room.of_author(author), purgatory.held_total) == (Load(), 2)
    newer = purgatory.add_announcement(announcement(created_at=2_000_000_000), Origin.USER, NOW)
    size = sizes[0] + len(encode_event(newer.event))
    assert purgatory.room.total == purgatory.room.of_author(ALICE) == Load(2, size)
    purgatory.remove_state_event(one.event_id)
    purgatory.remove_announcement(newer.event_id)
    assert purgatory.room.total == purgatory.room.of_author(ALICE) == Load()


async def test_b_8_10_lost_identifiers_are_put_back_in_the_queue() -> None:
    purgatory = Purgatory(clock=lambda: 0.0)
    purgatory.add_state(state("queued"), Origin.USER, NOW)
    purgatory.add_state(state("lost"), Origin.USER, NOW)
    purgatory.sync_queue.remove("lost")
    assert purgatory.requeue_lost() == ("lost",)
    assert purgatory.sync_queue.due(0.5) == ("lost",)
    assert purgatory.requeue_lost() == ()


async def test_b_8_10_what_is_being_hunted_is_not_lost() -> None:
    purgatory = Purgatory()
    purgatory.add_state(state(), Origin.USER, NOW)
    with purgatory.sync_queue.lease("repo", lambda: True):
        assert purgatory.requeue_lost() == ()


async def test_record_attempt_is_kept_with_the_event() -> None:
    purgatory = Purgatory()
    held = purgatory.add_state(state(), Origin.USER, NOW)
    purgatory.record_attempt(held.event_id, "u", ResultClass.TIMEOUT, "too slow", NOW + 1)
    purgatory.record_attempt("unknown", "u", ResultClass.TIMEOUT, "too slow", NOW + 1)
    assert held.tried["u"].result is ResultClass.TIMEOUT
    assert (held.tried["u"].at, held.tried["u"].counted) == (NOW + 1, True)


async def test_hunted_events_may_be_removed_while_they_are_looked_at() -> None:
    purgatory = Purgatory()
    purgatory.add_state(state(number=1), Origin.USER, NOW)
    purgatory.add_state(state(number=2), Origin.USER, NOW)
    purgatory.add_pr(pull_request("repo"), Origin.USER, NOW)
    for held in purgatory.hunted_events():
        if isinstance(held, HeldState):
            purgatory.remove_state_event(held.event_id)
    assert purgatory.counts() == HeldCounts(0, 1, 0)


async def test_watch_is_told_of_every_change_between_open_and_close() -> None:
    purgatory = Purgatory(clock=lambda: 0.0)
    told: list[bool] = []
    watch = purgatory.watch("repo", lambda: told.append(purgatory.has_pending_events("repo")))
    purgatory.add_state(state(number=1), Origin.USER, NOW)
    watch.open()
    held = purgatory.add_state(state(number=2), Origin.USER, NOW)
    purgatory.add_state(state("other"), Origin.USER, NOW)
    purgatory.remove_state_event(held.event_id)
    watch.close()
    watch.close()
    purgatory.note_change("repo")
    assert told == [True, True]


async def test_watch_knows_when_newcomers_are_due() -> None:
    now = 0.0
    purgatory = Purgatory(clock=lambda: now)
    watch = purgatory.watch("repo", lambda: None)
    purgatory.add_state(state(number=1), Origin.USER, NOW)
    with purgatory.sync_queue.lease("repo", lambda: True):
        purgatory.add_state(state(number=2), Origin.SYNC, NOW)
        assert watch.newly_queued_due == 0.5
        watch.newly_queued_taken()
        assert watch.newly_queued_due == 0.5
        now = 0.5
        watch.newly_queued_taken()
        assert watch.newly_queued_due is None


def test_what_waits_with_an_identifier_is_what_its_pull_requests_wait_under() -> None:
    purgatory = Purgatory(clock=lambda: 0.0)
    both, again, alone = pull_request("a", "b"), pull_request("a", "b", number=2), pull_request("c")
    for pr in (both, again, alone):
        purgatory.add_pr(pr, Origin.USER, NOW)
    assert set(purgatory.waits_with("a")) == set(purgatory.waits_with("b")) == {"a", "b"}
    assert set(purgatory.waits_with("c")) == set()
    purgatory.remove_pr(both.event.id)
    assert set(purgatory.waits_with("b")) == {"a", "b"}
    purgatory.remove_pr(again.event.id)
    assert set(purgatory.waits_with("a")) == set(purgatory.waits_with("b")) == set()
