from __future__ import annotations

import msgspec

from purgatory_sync.node.upstream.state.rejected_events import Refused, RejectedLimits, Settled
from purgatory_sync.testing.events import note

from ..support import NOW, OTHER, OWNER, listed, state_of


def test_settled_forgets_what_was_seen_longest_ago() -> None:
    settled = Settled(limit=2)
    one, two, three = (note(OWNER, str(n)) for n in range(3))
    settled.add(one)
    settled.add(two)
    assert one in settled
    settled.add(three)
    assert (one in settled, two in settled, three in settled) == (True, False, True)
    settled.discard(one)
    assert one not in settled


def test_a_forgery_under_the_same_id_settles_nothing() -> None:
    settled = Settled()
    true = note(OWNER, "true")
    forged = msgspec.structs.replace(true, sig="0" * 128)
    settled.add(forged)
    assert true not in settled


def test_refused_come_back_announcements_first_then_oldest() -> None:
    refused = Refused()
    late, early = (state_of(OWNER, "repo", created_at=NOW + n) for n in (1, 0))
    announced = listed(OTHER, "repo", created_at=NOW + 5)
    for event in (late, early, announced, state_of(OWNER, "other")):
        refused.add(event, (f"d:{event.first('d')}", "e:x"), 0)
    assert refused.take(["d:repo", "nothing"], 1) == ([announced, early, late], [])
    assert refused.take(["d:repo"], 1) == ([], [])
    assert len(refused) == 1


def test_what_has_no_room_as_a_whole_is_known_by_id() -> None:
    refused = Refused(RejectedLimits(whole=2))
    events = [state_of(OWNER, name) for name in "abc"]
    gone = [refused.add(e, (f"d:{e.first('d')}",), 0) for e in events]
    assert gone == [[], [], [events[0]]]
    assert [refused.knows(e.id, 0) for e in events] == [True, True, True]
    assert refused.take(["d:a", "d:b"], 0) == ([events[1]], [events[0].id])
    assert refused.take(["d:a", "d:b"], 0) == ([], [])
    assert [refused.knows(e.id, 0) for e in events] == [False, False, True]


def test_b_10_2_what_was_refused_is_known_for_seven_days() -> None:
    assert RejectedLimits().secs == 7 * 24 * 3600
    refused, event = Refused(RejectedLimits(whole=0)), state_of(OWNER, "a")
    assert refused.add(event, ("d:a",), 10) == [event]
    assert refused.knows(event.id, 10 + 7 * 24 * 3600 - 1)
    assert not refused.knows(event.id, 10 + 7 * 24 * 3600)
    assert refused.take(["d:a"], 10 + 7 * 24 * 3600) == ([], [])
    assert (len(refused), refused._by_key, refused._kept.weight) == (0, {}, 0)


def test_what_lacks_nothing_is_known_by_id_at_once() -> None:
    refused, event = Refused(), note(OWNER)
    assert refused.add(event, (), 0) == []
    assert refused.knows(event.id, 0)
    assert (len(refused._whole), refused._whole.weight) == (0, 0)


def test_ids_are_bounded_too() -> None:
    refused = Refused(RejectedLimits(ids=3))
    events = [state_of(OWNER, name) for name in "abcde"]
    gone = [refused.add(e, ("d:x",), 0) for e in events]
    assert gone == [[], [], [], [events[0]], [events[1]]]
    assert refused.take(["d:x"], 0)[1] == []
    long = Refused(RejectedLimits(key_chars=1_000))
    for event in events:
        long.add(event, ("d:" + "x" * 400,), 0)
    assert len(long) == 1


def test_refused_are_bounded_in_size() -> None:
    refused = Refused(RejectedLimits(whole_chars=100_000))
    for number in range(10):
        refused.add(note(OWNER, str(number) + "x" * 30_000), ("d:a",), 0)
    assert len(refused) == 10
    assert len(refused._whole) == 3
    large = note(OWNER, "y" * 200_000)
    assert large in refused.add(large, ("d:a",), 0)
    assert (len(refused._whole), refused._whole.weight) == (0, 0)


def test_the_same_event_is_kept_once() -> None:
    refused, event = Refused(), note(OWNER)
    refused.add(event, ("d:a",), 0)
    refused.add(event, ("d:b",), 0)
    assert len(refused) == 1
    assert refused.take(["d:a"], 0) == ([], [])
    assert refused.take(["d:b"], 0) == ([event], [])
