from __future__ import annotations

from purgatory_sync.runtime.bounded import Bounded


def test_the_oldest_makes_room() -> None:
    mapping: Bounded[str, int] = Bounded(2)
    assert mapping.put("a", 1) == []
    assert mapping.put("b", 2) == []
    assert mapping.get("a") == 1
    assert mapping.put("c", 3) == [("a", 1)]
    assert list(mapping) == ["b", "c"]


def test_what_is_put_again_is_the_newest() -> None:
    mapping: Bounded[str, int] = Bounded(2)
    mapping.put("a", 1)
    mapping.put("b", 2)
    mapping.put("a", 3)
    assert mapping.put("c", 4) == [("b", 2)]
    assert list(mapping.items()) == [("a", 3), ("c", 4)]


def test_by_use_what_is_read_is_the_newest() -> None:
    mapping: Bounded[str, int] = Bounded(2, by_use=True)
    mapping.put("a", 1)
    mapping.put("b", 2)
    assert mapping.get("a") == 1
    assert mapping.put("c", 3) == [("b", 2)]
    assert mapping.oldest() == ("a", 1)


def test_weight_is_bounded_and_counted_once() -> None:
    mapping: Bounded[str, str] = Bounded(10, weigh=len, most_weight=5)
    mapping.put("a", "xx")
    mapping.put("a", "xxx")
    assert mapping.weight == 3
    assert mapping.put("b", "yyy") == [("a", "xxx")]
    assert mapping.weight == 3
    assert mapping.put("c", "too long") == [("b", "yyy"), ("c", "too long")]
    assert (len(mapping), mapping.weight, mapping.oldest()) == (0, 0, None)


def test_an_entry_can_be_forgotten_or_changed_in_its_place() -> None:
    mapping: Bounded[str, int] = Bounded(2)
    mapping.put("a", 1)
    mapping.put("b", 2)
    mapping.replace("a", 7)
    assert list(mapping.values()) == [7, 2]
    assert mapping.pop("a") == 7
    assert mapping.pop("a") is None
    assert "a" not in mapping
