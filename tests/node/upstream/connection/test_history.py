from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.node.upstream.connection.history import (
    MAX_PAGES,
    OVERFULL_PAGES,
    IdBatch,
    Walk,
    in_batches,
)
from purgatory_sync.node.upstream.state.relay_limits import PAGE_EVENTS
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter


def event(number: int, created_at: int) -> Event:
    return Event(f"{number:064x}", "0" * 64, created_at, 1, (), "", "0" * 128)


def relay(events: list[Event], cap: int) -> Callable[[Filter], list[Event]]:
    newest = sorted(events, key=lambda e: (-e.created_at, e.id))
    return lambda page: [e for e in newest if page.matches(e)][: min(cap, page.limit or cap)]


def walk_all(walk: Walk, serve: Callable[[Filter], list[Event]]) -> tuple[list[Event], int]:
    found: dict[str, Event] = {}
    pages = 0
    while True:
        pages += 1
        for each in serve(walk.begin_page()):
            assert walk.received(each)
            found[each.id] = each
        if not walk.page_ended():
            return list(found.values()), pages


def test_the_first_page_asks_for_the_newest() -> None:
    assert Walk(Filter(), since=7).begin_page() == Filter(since=7, limit=PAGE_EVENTS)


def test_what_a_page_does_not_ask_for_is_not_counted() -> None:
    walk = Walk(Filter(kinds=frozenset({7})))
    walk.begin_page()
    assert not walk.received(event(1, 5))
    assert not walk.page_ended()


def test_nothing_there_is_one_page() -> None:
    assert walk_all(Walk(Filter()), relay([], 10)) == ([], 1)


@pytest.mark.parametrize("cap", [7, 50, 500])
def test_all_pages_come_with_every_limit_of_the_relay(cap: int) -> None:
    events = [event(n, 1000 + n // 3) for n in range(100)]
    found, _ = walk_all(Walk(Filter()), relay(events, cap))
    assert len(found) == 100


def test_a_second_that_two_pages_share_is_not_cut() -> None:
    events = [event(1, 30), event(2, 20), event(3, 20), event(4, 20), event(5, 10)]
    found, _ = walk_all(Walk(Filter()), relay(events, 3))
    assert {e.id for e in found} >= {e.id for e in events if e.created_at != 20}
    walk = Walk(Filter())
    for each in relay(events, 3)(walk.begin_page()):
        walk.received(each)
    assert walk.page_ended()
    assert walk.begin_page().until == 20


def test_a_second_fuller_than_a_page_does_not_end_the_walk() -> None:
    events = [event(n, 20) for n in range(10)] + [event(100, 10)]
    found, _ = walk_all(Walk(Filter()), relay(events, 4))
    assert event(100, 10) in found


def test_it_ends_at_since() -> None:
    events = [event(n, n) for n in range(100)]
    found, _ = walk_all(Walk(Filter(), since=90), relay(events, 4))
    assert {e.created_at for e in found} == set(range(90, 100))


def test_a_relay_that_always_brings_something_new_comes_to_an_end() -> None:
    walk, number = Walk(Filter()), 0

    def endless(page: Filter) -> list[Event]:
        nonlocal number
        number += 1
        return [event(number, page.until or 1000)]

    _, pages = walk_all(walk, endless)
    assert pages == MAX_PAGES


def test_a_page_without_end_is_noticed() -> None:
    walk = Walk(Filter())
    for number in range(100 * PAGE_EVENTS + 1):
        assert not walk.overfull
        walk.received(event(number, 5))
    assert walk.overfull


def test_a_page_that_was_cut_short_is_asked_for_again() -> None:
    events = [event(n, 20) for n in range(20)] + [event(100, 10)]
    walk, serve = Walk(Filter()), relay(events, 8)
    first = walk.begin_page()
    for each in serve(first):
        walk.received(each)
    assert walk.begin_page() == first
    assert event(100, 10) in walk_all(walk, serve)[0]


@given(
    st.lists(st.integers(min_value=0, max_value=30), max_size=60),
    st.integers(min_value=1, max_value=20),
)
@settings(max_examples=100, deadline=None)
def test_every_second_with_fewer_events_than_a_page_is_complete(
    seconds: list[int], cap: int
) -> None:
    events = [event(n, at) for n, at in enumerate(seconds)]
    found, pages = walk_all(Walk(Filter()), relay(events, cap))
    assert pages <= 2 * len(events) + 40
    # A second with as many events as a page cannot be told from one with more.
    complete = [e for e in events if seconds.count(e.created_at) < cap]
    assert {e.id for e in complete} <= {e.id for e in found}


def test_a_batch_asks_again_for_what_did_not_come() -> None:
    batch = IdBatch(f"{n:064x}" for n in range(3))
    ids = [f"{n:064x}" for n in range(3)]
    assert batch.begin_page() == Filter(ids=frozenset(ids), limit=PAGE_EVENTS)
    assert [batch.received(event(n, 5)) for n in (1, 1, 9)] == [True, True, False]
    assert batch.page_ended()
    assert batch.begin_page().ids == frozenset({ids[0], ids[2]})
    assert not batch.received(event(1, 5))
    assert not batch.page_ended(), "what never comes is not asked for without end"


def test_a_batch_is_cut_short_when_it_repeats_itself_without_end() -> None:
    batch = IdBatch([f"{1:064x}"])
    batch.begin_page()
    most = OVERFULL_PAGES * PAGE_EVENTS
    states = [(batch.received(event(1, 5)), batch.overfull) for _ in range(most + 1)]
    assert states == [(True, False)] * most + [(True, True)]
    assert not batch.page_ended()


def test_ids_are_cut_into_pages() -> None:
    ids = [f"{n:064x}" for n in range(PAGE_EVENTS + 1)]
    assert [len(batch.begin_page().ids or ()) for batch in in_batches(ids)] == [PAGE_EVENTS, 1]
    assert list(in_batches([])) == []
