"""What is remembered of the store never weighs more than it may."""

from __future__ import annotations

import pytest

from purgatory_sync.nostr.state import State
from purgatory_sync.release.index import index_cache
from purgatory_sync.release.index.index_cache import IndexCache, Served
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

OWNER = Author.from_seed(1)


def served(refs: int) -> Served:
    """A state with `d` and so many refs: two values each."""
    named = {f"refs/heads/{n}": "1" * 40 for n in range(refs)}
    found = Served((), (State.parse(events.state(OWNER, "repo", named, created_at=1)),))
    assert found.values == 2 + 2 * refs
    return found


def test_what_was_not_asked_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_cache, "MOST_VALUES", 20)
    memory, small = IndexCache(), served(3)
    for name in ("one", "two"):
        memory.put(name, small)
    assert memory.get("one") is small
    memory.put("three", small)
    assert memory.get("two") is None
    assert (memory.get("one"), memory.get("three"), memory.values) == (small, small, 16)
    memory.put("one", served(5))
    assert memory.values == 20
    memory.put("giant", served(10))
    assert (memory.get("giant"), memory.get("one"), memory.values) == (None, None, 0)


def test_identifiers_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_cache, "MOST_IDENTIFIERS", 2)
    memory, nothing = IndexCache(), Served((), ())
    for name in ("one", "two", "three"):
        memory.put(name, nothing)
    assert [memory.get(name) for name in ("one", "two", "three")] == [None, nothing, nothing]


def test_what_changed_is_read_anew_and_what_was_read_is_kept_until_then() -> None:
    memory, one, two = IndexCache(), served(3), served(4)
    memory.put("one", one)
    memory.put("two", two)
    memory.ended(frozenset((one.states[0].event.id,)))
    assert (memory.get("one"), memory.get("two"), memory.values) == (None, two, 18)
    memory.changed("two")
    memory.changed("two")
    memory.changed("three")
    assert (memory.get("two"), memory.values) == (None, 18)
    memory.put("two", served(5))
    assert memory.values == 8 + 12


def test_a_deletion_finds_what_is_remembered_and_nothing_of_what_made_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_cache, "MOST_VALUES", 20)
    memory, small, large = IndexCache(), served(3), served(9)
    for _ in range(2):
        memory.put("small", small)
    memory.put("large", large)
    assert set(memory._of) == {large.states[0].event.id}
    memory.ended(frozenset((small.states[0].event.id,)))
    assert memory.get("large") is large
    memory.ended(frozenset(memory._of))
    assert memory.get("large") is None
    memory.put("large", small)
    assert set(memory._of) == {small.states[0].event.id}
