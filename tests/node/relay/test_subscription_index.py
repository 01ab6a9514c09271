"""No subscriber that wants an event is missing, and few others are asked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.node.relay.subscription_index import MAX_KEYS, Interests
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.testing.events import Author, note

AUTHORS = [Author.from_seed(number) for number in (1, 2)]
EVENTS = [
    note(author, kind=kind, tags=tags)
    for author in AUTHORS
    for kind in (1, 2)
    for tags in ([], [("t", "x")], [("t", "x"), ("t", "y"), ("p",)], [("p", "x"), ("name", "x")])
]


def some_of(values: list[str] | list[int]) -> st.SearchStrategy[frozenset[str] | frozenset[int]]:
    return st.frozensets(st.sampled_from(values), max_size=2)  # type: ignore[return-value]


FILTERS = st.builds(
    Filter,
    ids=st.none() | some_of([event.id for event in EVENTS]),
    authors=st.none() | some_of([author.pubkey for author in AUTHORS]),
    kinds=st.none() | some_of([1, 2]),
    tags=st.dictionaries(st.sampled_from(["t", "p"]), some_of(["x", "y"]), max_size=2),
)


def wanting(interests: dict[int, list[Filter]], event: Event) -> set[int]:
    return {who for who, fs in interests.items() if any(each.matches(event) for each in fs)}


@given(st.dictionaries(st.integers(0, 9), st.lists(FILTERS, max_size=3), max_size=5))
@settings(max_examples=100, deadline=None)
def test_no_subscriber_is_missing(filters: dict[int, list[Filter]]) -> None:
    interests = Interests[int]()
    for who, wanted in filters.items():
        interests.add(who, wanted)
    for event in EVENTS:
        found = interests.candidates(event)
        assert len(found) == len(set(found))
        assert wanting(filters, event) <= set(found)
    for who in filters:
        interests.remove(who)
    assert len(interests) == 0
    assert not interests._filed


def test_who_asks_for_another_topic_is_not_asked() -> None:
    interests = Interests[str]()
    interests.add("x", [Filter(kinds=frozenset({1}), tags={"t": frozenset({"x"})})])
    interests.add("y", [Filter(kinds=frozenset({1}), tags={"t": frozenset({"y"})})])
    interests.add("author", [Filter(kinds=frozenset({1}), authors=frozenset({AUTHORS[1].pubkey}))])
    interests.add("everything", [Filter()])
    interests.add("nothing", [Filter(ids=frozenset())])
    event = note(AUTHORS[0], tags=[("t", "x")])
    assert sorted(interests.candidates(event)) == ["everything", "x"]


def test_who_names_very_much_is_asked_about_everything_instead() -> None:
    interests = Interests[str]()
    many = frozenset(f"t{number}" for number in range(MAX_KEYS + 1))
    interests.add("many", [Filter(tags={"t": many})])
    assert interests.candidates(EVENTS[0]) == ["many"]
    assert len(interests._filed) == 1


def test_filed_anew_it_is_what_it_asks_for_now() -> None:
    interests = Interests[str]()
    interests.add("a", [Filter(kinds=frozenset({1}))])
    interests.add("a", [Filter(kinds=frozenset({2}))])
    assert interests.candidates(note(AUTHORS[0], kind=1)) == []
    assert interests.candidates(note(AUTHORS[0], kind=2)) == ["a"]
    interests.remove("somebody else")
