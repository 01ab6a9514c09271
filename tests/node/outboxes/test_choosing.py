"""Few relays reach many participants, and however many strangers there are, owners are reached."""

from __future__ import annotations

from purgatory_sync.node.outboxes.choosing import MAX_RELAYS, Named, choose
from purgatory_sync.node.outboxes.relay_lists import Rank


def host(number: int) -> str:
    return f"wss://r{number}.example{number}.com"


def of(key: str, rank: Rank, *relays: int, settled: bool = True) -> Named:
    return Named(key, rank, tuple(map(host, relays)), settled)


def test_b_15_4_the_relay_that_covers_most_comes_first_and_nobody_is_covered_thrice() -> None:
    people = [of(f"p{n}", Rank.REPLY, 0, 1, 2 + n) for n in range(5)]

    assert [*choose(people)] == [host(0), host(1)]


def test_b_15_4_owners_count_more_than_authors_of_roots_and_these_more_than_replies() -> None:
    replies = [of(f"r{n}", Rank.REPLY, 3) for n in range(2)]
    people = [*replies, of("root", Rank.ROOT, 2), of("owner", Rank.LEADER, 1)]

    assert choose(people) == {host(1): Rank.LEADER, host(2): Rank.ROOT, host(3): Rank.REPLY}


def test_b_15_4_what_is_followed_covers_for_free() -> None:
    people = [of("a", Rank.ROOT, 0, 1, 2), of("b", Rank.ROOT, 0, 1)]

    assert [*choose(people, followed=[host(0)])] == [host(1)]
    assert [*choose(people, followed=[host(0), host(1)])] == []


def test_b_15_4_a_hundred_at_most_and_places_are_left_for_owners() -> None:
    crowd = [of(f"s{n}", Rank.ROOT, *range(n % 40 * 4, n % 40 * 4 + 4)) for n in range(4_000)]
    more = [of(f"t{n}", Rank.REPLY, *range(200 + n % 40, 204 + n % 40)) for n in range(4_000)]
    owners = [of(f"o{n}", Rank.LEADER, 1_000 + n) for n in range(30)]

    chosen = choose([*crowd, *more, *owners])

    assert len(chosen) == MAX_RELAYS
    assert [*chosen][:30] == [host(1_000 + n) for n in range(30)]
    assert sum(rank is Rank.ROOT for rank in chosen.values()) == 45
    assert sum(rank is Rank.REPLY for rank in chosen.values()) == 25


def test_b_15_4_a_relay_that_one_stranger_names_waits() -> None:
    lone = of("s", Rank.REPLY, 1, settled=False)

    assert choose([lone]) == {}
    assert [*choose([lone, of("t", Rank.REPLY, 1, settled=False)])] == [host(1)]
    assert [*choose([of("s", Rank.REPLY, 1)])] == [host(1)]
    assert [*choose([of("s", Rank.ROOT, 1, settled=False)])] == [host(1)]


def test_b_15_4_two_of_a_host_and_four_of_a_domain() -> None:
    paths = [Named(f"a{n}", Rank.ROOT, (f"wss://one.example/{n}",)) for n in range(9)]
    names = [Named(f"b{n}", Rank.ROOT, (f"wss://n{n}.other.example",)) for n in range(9)]

    chosen = [*choose([*paths, *names])]

    assert sum("one.example" in url for url in chosen) == 2
    assert sum("other.example" in url for url in chosen) == 4


def test_b_15_4_the_choice_is_steady() -> None:
    people = [of("a", Rank.ROOT, 0, 1, 2)]

    assert [*choose(people, before=[host(2), host(1)])] == [host(1), host(2)]
