from __future__ import annotations

import trio
from trio.testing import MockClock

from purgatory_sync.node.upstream.state.filters_wanted import (
    EVERYTHING,
    MAX_CHARS,
    MAX_VALUES,
    Values,
    Wanted,
    in_batches,
)
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.roles import MAX_NAMES
from purgatory_sync.testing.events import announcement, note, pull_request, pull_request_update

from ..support import OTHER, OWNER, STRANGER, state_of


def test_b_10_2_batches_have_so_many_values_and_characters() -> None:
    assert [len(b) for b in in_batches([str(n) for n in range(2500)])] == [1000, 1000, 500]
    long = ["x" * 99 + str(n % 10) for n in range(1000)]
    batches = list(in_batches(long))
    assert [value for batch in batches for value in batch] == long
    assert all(sum(map(len, batch)) <= MAX_CHARS for batch in batches)
    assert len(batches) == -(-len(long) // (MAX_CHARS // 100))
    assert list(in_batches(["y" * 2 * MAX_CHARS])) == [["y" * 2 * MAX_CHARS]]
    assert MAX_VALUES == 1000


def test_only_the_last_batch_grows() -> None:
    values = Values("ab")
    values.hold(str(n) for n in range(1500))
    before = list(values.between(0, values.end))
    assert (values.end, len(values)) == (1500, 1500)
    values.hold(["more", "7"])
    assert (values.end, len(values)) == (1501, 1501)
    after = list(values.between(0, values.end))
    assert (
        after[0]
        == before[0]
        == tuple(Filter(tags={letter: frozenset(map(str, range(1000)))}) for letter in "ab")
    )
    assert len(after) == 2
    assert "more" in after[1][0].tags["a"]
    assert [(each.start, each.end) for each in values.batches(3, 1501)] == [(3, 1003), (1003, 1501)]


def test_what_all_relays_are_asked_for_is_in_memory_once() -> None:
    values = Values("ab")
    held = values.hold(str(n) for n in range(1500))
    of_one, of_other = (list(values.between(0, values.end)) for _ in range(2))
    for one, other in zip(of_one, of_other, strict=True):
        assert (
            len({id(each.tags[letter]) for each, letter in zip(one + other, "abab", strict=True)})
            == 1
        )
    values.release(held[700:])
    assert [len(a.tags["a"]) for a, _ in values.between(0, 1000)] == [700]
    assert [len(a.tags["a"]) for a, _ in of_one] == [1000, 500]
    del of_one, of_other, one, other
    assert len(values._sets) == 0


def test_values_are_bounded() -> None:
    values = Values("ab", limit=3)
    values.hold("ab")
    held = values.hold("cd")
    values.hold("ef")
    assert [f.tags["a"] for f, _ in values.between(0, 9)] == [frozenset("abc")]
    values.release(held)
    values.hold("g")
    assert [f.tags["a"] for f, _ in values.between(0, 9)] == [frozenset("abg")]
    assert values.end == 4


def test_a_value_is_asked_for_while_it_is_held() -> None:
    values = Values("a")
    first, second = values.hold("xyx"), values.hold("yz")
    values.release(first)
    assert [f.tags["a"] for (f,) in values.between(0, 9)] == [frozenset("yz")]
    assert [f.tags["a"] for (f,) in values.between(0, 2)] == [frozenset("y")]
    values.release(second)
    assert list(values.between(0, 9)) == []
    assert (values.end, len(values)) == (3, 0)


def test_b_10_2_what_left_is_not_asked_for_any_more() -> None:
    wanted = Wanted()
    first = announcement(OWNER, "repo", maintainers=[OTHER], created_at=1)
    second = announcement(OWNER, "repo", created_at=2)
    root, issue = note(STRANGER, kind=1621), note(OTHER, kind=1621)
    state = state_of(OWNER, "repo")
    for event in (first, second):
        wanted.came(event)
        wanted.came(event)
    for event in (root, issue, state, second, root):
        wanted.came(event)
    assert wanted.withdrawn([first.id, root.id, "f" * 64])
    assert len(wanted.coordinates) == 3, "what replaces it may be announced a moment later"
    wanted.forget()
    assert [*wanted.coordinates] == [
        str(OWNER.coordinate("repo")),
        f"30618:{OWNER.pubkey}:repo",
    ]
    assert [*wanted.ids] == [second.id, issue.id, state.id]
    assert not wanted.withdrawn([first.id, root.id])
    assert wanted.withdrawn([second.id, state.id])
    wanted.came(second)
    wanted.forget()
    assert [*wanted.coordinates] == [str(OWNER.coordinate("repo"))]
    assert wanted.coordinates.end == 3


def test_coordinates_of_the_owner_and_all_that_it_lists() -> None:
    wanted = Wanted()
    wanted.came(announcement(OWNER, "repo", maintainers=[OTHER]))
    (filters,) = wanted.coordinates.between(0, 9)
    names = frozenset(str(author.coordinate("repo")) for author in (OWNER, OTHER))
    assert filters == tuple(Filter(tags={letter: names}) for letter in "aAq")


def test_one_announcement_brings_so_many_coordinates_and_no_more() -> None:
    wanted = Wanted()
    wanted.came(announcement(OWNER, "r", maintainers=[f"{n:064x}" for n in range(1_000)]))
    assert len(wanted.coordinates) == 1 + MAX_NAMES == 65


def test_b_5_2_requests_to_vanish_are_asked_for_of_all_authors() -> None:
    assert any(each.matches(note(OTHER, kind=62)) for each in EVERYTHING)


def test_b_10_2_everything_here_is_wanted_by_id_but_deletion_requests() -> None:
    wanted = Wanted()
    root = pull_request(STRANGER, [OWNER.coordinate("repo")], "a" * 40)
    update = pull_request_update(STRANGER, [OWNER.coordinate("repo")], "b" * 40, root)
    reply = note(OTHER, kind=1111, tags=[("E", root.id), ("e", "f" * 64)])
    grasps, state = note(OTHER, kind=10317), state_of(OWNER, "repo")
    here = [root, update, reply, grasps, state, announcement(OWNER, "repo")]
    for event in here:
        wanted.came(event)
    wanted.came(note(OTHER, kind=5, tags=[("e", "e" * 64)]))
    wanted.came(note(OTHER, kind=62, tags=[("relay", "ALL_RELAYS")]))
    (filters,) = wanted.ids.between(0, 99)
    ids = frozenset(event.id for event in here)
    assert filters == tuple(Filter(tags={letter: ids}) for letter in "eEq")


def test_what_refers_to_a_served_address_is_wanted_by_it() -> None:
    wanted = Wanted()
    wanted.came(state_of(OWNER, "repo"))
    wanted.came(note(OTHER, kind=10317))
    assert [*wanted.coordinates] == [f"30618:{OWNER.pubkey}:repo", f"10317:{OTHER.pubkey}:"]


async def test_waiting_for_more_sees_every_growth(autojump_clock: MockClock) -> None:
    wanted, woken = Wanted(), []

    async def wait() -> None:
        await wanted.wait_beyond(0, 0)
        woken.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(5)
        assert woken == []
        wanted.came(announcement(OWNER, "repo"))
    assert len(woken) == 1
    await wanted.wait_beyond(0, 0)
    with trio.move_on_after(1) as scope:
        await wanted.wait_beyond(1, 1)
    assert scope.cancelled_caught
