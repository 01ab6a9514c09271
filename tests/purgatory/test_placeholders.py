from __future__ import annotations

import attrs

from purgatory_sync.purgatory.placeholders import HeldPlaceholder, Placeholders

ONE = HeldPlaceholder("alice", "repo", "event", "oid", at=0.0)


def test_b_4_3_nobody_overwrites_anothers_placeholder() -> None:
    placeholders = Placeholders()
    assert placeholders.add(ONE) is ONE
    assert placeholders.add(attrs.evolve(ONE, oid="other")) is ONE
    assert placeholders.get("alice", "repo", "event") is ONE


def test_b_4_3_one_id_may_wait_in_several_repositories() -> None:
    placeholders = Placeholders()
    other = attrs.evolve(ONE, owner="bob")
    placeholders.add(ONE)
    placeholders.add(other)
    assert placeholders.of_event("event") == (ONE, other)
    assert tuple(placeholders) == (ONE, other)
    placeholders.remove(ONE)
    placeholders.remove(ONE)
    assert placeholders.of_event("event") == (other,)
    assert len(placeholders) == 1
