from __future__ import annotations

import attrs

from purgatory_sync.purgatory.placeholders import Placeholders
from purgatory_sync.records import Placeholder

ONE = Placeholder("alice", "repo", "event", "oid", at=0.0)


def test_the_newest_of_a_key_is_kept_as_in_the_journal() -> None:
    placeholders = Placeholders()
    later = attrs.evolve(ONE, oid="other", at=5.0)
    for each in (ONE, later):
        placeholders.add(each)
    assert tuple(placeholders) == (later,)
    assert placeholders.count("alice", "repo") == 1
    assert ONE not in placeholders
    placeholders.remove(ONE)
    assert later in placeholders


def test_b_4_3_one_id_may_wait_in_several_repositories() -> None:
    placeholders = Placeholders()
    other = attrs.evolve(ONE, owner="bob")
    placeholders.add(ONE)
    placeholders.add(other)
    assert tuple(placeholders) == (ONE, other)
    placeholders.remove(ONE)
    placeholders.remove(ONE)
    assert tuple(placeholders) == (other,)
    assert len(placeholders) == 1
    assert [placeholders.count(each, "repo") for each in ("alice", "bob")] == [0, 1]
