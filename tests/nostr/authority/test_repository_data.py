from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.repository_data import (
    CloneSource,
    KnownAnnouncement,
    RepositoryData,
    Standing,
)
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.testing.events import Author, announcement, pull_request

from .authority_cases import CASES, Case, announced, event, expected, key, letters, tag

AUTHORS = [Author.from_seed(i) for i in range(6)]
A, B, C, D, E, STRANGER = AUTHORS


def known(
    author: Author,
    *maintainers: Author,
    clone: Sequence[str] = (),
    created_at: int = 1,
    standing: Standing = Standing.SERVED,
    has_repository: bool = True,
) -> KnownAnnouncement:
    event = announcement(author, "x", clone=clone, maintainers=maintainers, created_at=created_at)
    return KnownAnnouncement(Announcement.parse(event), standing, has_repository)


def keys(*authors: Author) -> frozenset[str]:
    return frozenset(author.pubkey for author in authors)


def test_b_3_1_who_named_one_another_authorise_one_another() -> None:
    data = RepositoryData.of("x", [known(A, B), known(B, A), known(STRANGER, A)])
    both = tuple(sorted([A.pubkey, B.pubkey]))
    assert data.owners_authorising(A.pubkey) == data.owners_authorising(B.pubkey) == both
    assert data.owners_authorising(STRANGER.pubkey) == (STRANGER.pubkey,)
    assert data.owners_authorising(E.pubkey) == ()
    assert data.maintainer_set(E.pubkey) == frozenset()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_b_3_7_the_cases(case: Case) -> None:
    events, served = announced(case.tags)
    data = RepositoryData.of("x", [of_event(e, owner in served) for owner, e in events.items()])
    for owner, members in expected(case).items():
        assert letters(data.maintainer_set(key(owner))) == members, owner


def of_event(event: Event, served: bool = True) -> KnownAnnouncement:
    standing = Standing.SERVED if served else Standing.HELD
    return KnownAnnouncement(Announcement.parse(event), standing)


Tags = list[tuple[str, ...]]
FORMS: dict[str, tuple[Tags, Tags | None, str]] = {
    # ngit 2.x lists all maintainers; the second one publishes by itself at its first push.
    "ngit 2": ([("maintainers", "A", "B")], [("maintainers", "B", "A")], "A B"),
    "ngit 2, invited": ([("maintainers", "A", "B")], None, "A"),
    # ngit 3 writes roles, and a list for old readers that holds the invited ones already.
    "ngit 3": (
        [("M", "A", "1760000000"), ("m", "B", "1760000100"), ("maintainers", "A", "B")],
        [("M", "A", "1760000200"), ("m", "B", "1760000200"), ("maintainers", "A", "B")],
        "A B",
    ),
    "ngit 3, invited": (
        [("M", "A", "1760000000"), ("m", "B", "1760000100"), ("maintainers", "A", "B")],
        None,
        "A",
    ),
    "ngit 3, a group without a lead": (
        [("m", "A", "0"), ("m", "B", "1760000100"), ("maintainers", "A", "B")],
        [("m", "A", "1760000200"), ("m", "B", "1760000200"), ("maintainers", "A", "B")],
        "A B",
    ),
    "ngit 3, ended": (
        [("M", "A", "0"), ("m", "B", "1760000100", "1760000300"), ("maintainers", "A")],
        [("M", "A", "1760000200"), ("m", "B", "1760000200"), ("maintainers", "A", "B")],
        "A",
    ),
    "ngit 2 accepts what ngit 3 invited to": (
        [("M", "A", "0"), ("m", "B", "1760000100"), ("maintainers", "A", "B")],
        [("maintainers", "B", "A")],
        "A B",
    ),
    "ngit 3, alone": ([], None, "A"),
}


@pytest.mark.parametrize("form", FORMS)
def test_b_3_7_the_forms_that_clients_write(form: str) -> None:
    owners, members, ruling = FORMS[form]
    known = [
        of_event(
            event(letter, [tuple(key(v) if v in ("A", "B") else v for v in each) for each in tags])
        )
        for letter, tags in (("A", owners), ("B", members))
        if tags is not None
    ]
    assert letters(RepositoryData.of("x", known).maintainer_set(key("A"))) == ruling


def test_b_3_7_two_of_one_second() -> None:
    """Case 37: the lowest id counts, which names no other key."""
    accepts = of_event(event("B", [tag("mt A")]))
    lists = of_event(attrs_of(event("A", [tag("mt B")]), id="f" * 64))
    alone = of_event(attrs_of(event("A", []), id="0" * 64))
    for order in ([lists, alone, accepts], [alone, accepts, lists]):
        assert letters(RepositoryData.of("x", order).maintainer_set(key("A"))) == "A"


def attrs_of(event: Event, **fields: str) -> Event:
    return msgspec.structs.replace(event, **fields)


VERSIONS = st.lists(
    st.tuples(
        st.sampled_from("ABCD"),
        st.lists(st.sampled_from(["m A", "m B", "m C", "M A", "M B", "mt A", "m D 1 2"])),
        st.integers(1, 3),
    ),
    max_size=8,
    unique_by=lambda version: (version[0], version[2]),
)


@given(VERSIONS, st.data())
@settings(max_examples=150, deadline=None)
def test_b_3_7_no_order_and_no_replay_changes_a_set(
    versions: list[tuple[str, list[str], int]], choose: st.DataObject
) -> None:
    everything = [
        of_event(event(letter, map(tag, tags), created_at)) for letter, tags, created_at in versions
    ]
    shuffled = choose.draw(st.permutations([*everything, *everything]))
    data, other = RepositoryData.of("x", everything), RepositoryData.of("x", shuffled)
    assert data.known == other.known
    for letter in "ABCD":
        assert data.maintainer_set(key(letter)) == other.maintainer_set(key(letter))


def test_b_1_6_the_newest_announcement_of_each_owner_counts() -> None:
    old, new = known(A, B, created_at=1), known(A, C, created_at=2)
    for order in ([old, new], [new, old]):
        data = RepositoryData.of("x", order)
        assert data.known == {A.pubkey: new}
        assert data.sets.seen(A.pubkey) == keys(A, C)


def test_b_1_6_on_a_tie_the_lowest_id_counts() -> None:
    low, high = sorted([known(A, B), known(A, C)], key=lambda k: k.announcement.event.id)
    for order in ([low, high], [high, low]):
        assert RepositoryData.of("x", order).known == {A.pubkey: low}


def test_b_4_1_a_pr_concerns_owners_whose_set_shares_a_tagged_key() -> None:
    data = RepositoryData.of(
        "x", [known(A, B, E), known(B, A, has_repository=False), known(C), known(D, C)]
    )
    for named in (A, B):
        assert data.owners_of_pr(pr_to(named)) == tuple(sorted([A.pubkey, B.pubkey]))
    assert data.owners_of_pr(pr_to(C)) == (C.pubkey,)
    assert data.owners_of_pr(pr_to(E)) == ()
    elsewhere = PullRequest.parse(pull_request(E, [A.coordinate("other")], "c" * 40))
    assert data.owners_of_pr(elsewhere) == ()


def pr_to(author: Author) -> PullRequest:
    return PullRequest.parse(pull_request(STRANGER, [author.coordinate("x")], "c" * 40))


def test_owners_with_a_repository() -> None:
    data = RepositoryData.of("x", [known(A), known(B, has_repository=False)])
    assert data.with_repository([B.pubkey, A.pubkey, C.pubkey]) == (A.pubkey,)


def test_b_8_1_sources_are_of_the_owners_and_the_members_of_their_sets() -> None:
    data = RepositoryData.of(
        "x",
        [
            known(A, B, C, clone=["https://a.example/x", "https://both.example/x"]),
            known(B, A, clone=["https://both.example/x", "https://b.example/x"]),
            known(C, clone=["https://invited.example/x"]),
            known(STRANGER, A, clone=["https://stranger.example/x"]),
        ],
    )
    assert data.clone_sources([A.pubkey]) == (
        CloneSource("https://a.example/x", A.pubkey),
        CloneSource("https://both.example/x", A.pubkey),
        CloneSource("https://b.example/x", B.pubkey),
    )
    assert data.clone_sources([B.pubkey, E.pubkey]) == (
        CloneSource("https://both.example/x", B.pubkey),
        CloneSource("https://b.example/x", B.pubkey),
        CloneSource("https://a.example/x", A.pubkey),
    )


@pytest.mark.parametrize("standing", Standing)
def test_standing_does_not_change_authority(standing: Standing) -> None:
    """B 3.1: what is held or soft-expired counts as well."""
    data = RepositoryData.of("x", [known(A, B, standing=standing), known(B, A, standing=standing)])
    assert A.pubkey in data.owners_authorising(B.pubkey)


def test_b_8_1_of_one_announcement_the_first_50_urls_are_sources() -> None:
    urls = [f"https://d{number}.example.com/r.git" for number in range(60)]
    known = KnownAnnouncement(
        Announcement.parse(announcement(A, "repo", clone=urls)), Standing.SERVED
    )
    data = RepositoryData.of("repo", [known])
    assert [source.url for source in data.clone_sources([A.pubkey])] == urls[:50]
