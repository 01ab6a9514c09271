from __future__ import annotations

import msgspec

from purgatory_sync.node.upstream.memory import Refused, Settled
from purgatory_sync.testing.events import note

from .support import NOW, OTHER, OWNER, listed, state_of


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
        refused.add(event, (f"d:{event.first('d')}", "e:x"))
    assert refused.take(["d:repo", "nothing"]) == [announced, early, late]
    assert refused.take(["d:repo"]) == []
    assert len(refused) == 1


def test_refused_are_bounded_and_what_had_to_go_is_known_by_its_keys() -> None:
    refused = Refused(limit=2)
    events = [state_of(OWNER, name) for name in "abc"]
    gone = [refused.add(e, (f"d:{e.first('d')}",)) for e in events]
    assert gone == [[], [], [events[0]]]
    assert refused.take(["d:a"]) == []
    assert refused.take_lost(["d:a", "d:b"]) == ["d:a"]
    assert refused.take_lost(["d:a"]) == []


def test_refused_are_bounded_in_size() -> None:
    refused = Refused(max_chars=100_000)
    for number in range(10):
        refused.add(note(OWNER, str(number) + "x" * 30_000), ("d:a",))
    assert len(refused) == 3
    assert refused.add(note(OWNER, "y" * 200_000), ("d:a",)) != []
    assert len(refused) == 0


def test_the_same_event_is_kept_once() -> None:
    refused, event = Refused(), note(OWNER)
    refused.add(event, ("d:a",))
    refused.add(event, ("d:b",))
    assert len(refused) == 1
    assert refused.take(["d:a"]) == []
    assert refused.take(["d:b"]) == [event]
