"""Who takes part in which conversation, as events come and go."""

from __future__ import annotations

import pytest

from purgatory_sync.node.outboxes.threads import Threads
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import Author

ALICE, BOB, CAROL = (Author.from_seed(n) for n in range(3))
NOW = 1_800_000_000
REPOSITORY = ("a", f"30617:{ALICE.pubkey}:r")


def root(author: Author = ALICE, kind: int = 1621, text: str = "") -> Event:
    return author.sign(kind, text, [REPOSITORY], NOW - 10)


def reply(author: Author, *tags: tuple[str, ...], kind: int = 1111, text: str = "") -> Event:
    return author.sign(kind, text, tags, NOW - 5)


def names(threads: Threads, author: Author) -> list[str]:
    return [each.root for each in threads.of(author.pubkey)]


@pytest.mark.parametrize("kind", [1617, 1618, 1621])
def test_b_15_2_the_author_of_a_root_takes_part(kind: int) -> None:
    threads, issue = Threads(), root(kind=kind)
    threads.came(issue, NOW)

    assert names(threads, ALICE) == [issue.id]
    assert threads.began(ALICE.pubkey)


@pytest.mark.parametrize(
    "tags",
    [
        [("E", "ROOT"), ("e", "f" * 64)],
        [("e", "f" * 64), ("e", "ROOT", "", "root")],
        [("e", "ROOT")],
    ],
)
@pytest.mark.parametrize("kind", [1111, 1619, 1630, 1633, 1624, 1985, 7321])
def test_b_15_2_so_does_who_replies(kind: int, tags: list[tuple[str, ...]]) -> None:
    threads, issue = Threads(), root()
    threads.came(issue, NOW)
    named = [tuple(issue.id if v == "ROOT" else v for v in tag) for tag in tags]
    threads.came(reply(BOB, *named, kind=kind), NOW)

    assert names(threads, BOB) == [issue.id]
    assert not threads.began(BOB.pubkey)


@pytest.mark.parametrize("kind", [7, 9735, 1, 6])
def test_b_15_2_who_only_reacts_does_not(kind: int) -> None:
    threads, issue = Threads(), root()
    threads.came(issue, NOW)
    assert threads.came(reply(BOB, ("e", issue.id), kind=kind), NOW) is None

    assert names(threads, BOB) == []


def test_b_15_2_nor_who_is_only_named() -> None:
    threads = Threads()
    tags = [("p", BOB.pubkey), ("P", CAROL.pubkey), REPOSITORY]
    threads.came(ALICE.sign(1621, "", tags, NOW), NOW)

    assert names(threads, BOB) == names(threads, CAROL) == []


def test_b_15_2_a_thread_whose_root_is_not_served_does_not_count() -> None:
    threads, issue = Threads(), root()
    threads.came(reply(BOB, ("E", issue.id)), NOW)
    assert names(threads, BOB) == []

    threads.came(issue, NOW)
    assert names(threads, BOB) == [issue.id]

    threads.gone(issue.id)
    assert names(threads, BOB) == []


def test_a_reply_to_a_reply_belongs_to_its_thread() -> None:
    threads, issue = Threads(), root()
    first = reply(BOB, ("E", issue.id))
    for each in (issue, first, reply(CAROL, ("e", first.id))):
        threads.came(each, NOW)

    assert names(threads, CAROL) == [issue.id]


def test_what_is_gone_is_forgotten_whole() -> None:
    threads, issue = Threads(), root()
    answer = reply(BOB, ("E", issue.id))
    threads.came(issue, NOW)
    threads.came(answer, NOW)

    assert threads.gone(answer.id) == BOB.pubkey
    assert threads.gone(answer.id) is None
    assert threads.gone(issue.id) == ALICE.pubkey
    assert len(threads) == 0
    assert names(threads, ALICE) == names(threads, BOB) == []


def test_each_change_has_a_number_and_a_member_counts_once() -> None:
    threads, one, two = Threads(), root(text="1"), root(text="2")
    first = threads.came(one, NOW)
    second = threads.came(two, NOW)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)

    assert threads.came(one, NOW) is None
    threads.came(reply(BOB, ("E", one.id)), NOW)
    assert first.number == 3

    threads.renew(ALICE.pubkey)
    assert (first.number, second.number) == (4, 5)


def test_b_15_2_no_more_members_than_there_is_room_for() -> None:
    threads = Threads(most=3)
    for number in range(5):
        threads.came(root(text=str(number)), NOW)

    assert len(threads) == 3


def test_what_is_dated_ahead_counts_as_of_now() -> None:
    threads = Threads()
    thread = threads.came(ALICE.sign(1621, "", [], NOW + 900), NOW)
    assert thread is not None
    assert thread.active_at == NOW
