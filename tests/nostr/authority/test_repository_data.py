from __future__ import annotations

from collections.abc import Sequence

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
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.testing.events import Author, announcement, pull_request

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


def test_b_3_1_maintainers_are_followed_recursively() -> None:
    data = RepositoryData.of("x", [known(A, B), known(B, C), known(C, D)])
    assert data.maintainer_set(A.pubkey) == keys(A, B, C, D)
    assert data.maintainer_set(B.pubkey) == keys(B, C, D)
    assert data.maintainer_set(C.pubkey) == keys(C, D)


def test_b_3_1_cycles_end() -> None:
    data = RepositoryData.of("x", [known(A, B), known(B, C), known(C, A, C)])
    for owner in (A, B, C):
        assert data.maintainer_set(owner.pubkey) == keys(A, B, C)


def test_b_3_1_a_listed_maintainer_counts_without_an_announcement() -> None:
    data = RepositoryData.of("x", [known(A, B)])
    assert data.maintainer_set(A.pubkey) == keys(A, B)
    assert data.maintainer_set(B.pubkey) == frozenset()


def test_b_3_1_authority_is_not_mutual() -> None:
    data = RepositoryData.of("x", [known(A, B), known(B), known(STRANGER, A)])
    assert data.owners_authorising(A.pubkey) == tuple(sorted([A.pubkey, STRANGER.pubkey]))
    assert data.owners_authorising(B.pubkey) == tuple(sorted([A.pubkey, B.pubkey, STRANGER.pubkey]))
    assert data.owners_authorising(STRANGER.pubkey) == (STRANGER.pubkey,)
    assert data.owners_authorising(E.pubkey) == ()


def test_b_1_6_the_newest_announcement_of_each_owner_counts() -> None:
    old, new = known(A, B, created_at=1), known(A, C, created_at=2)
    for order in ([old, new], [new, old]):
        data = RepositoryData.of("x", order)
        assert data.known == {A.pubkey: new}
        assert data.maintainer_set(A.pubkey) == keys(A, C)


def test_b_1_6_on_a_tie_the_lowest_id_counts() -> None:
    low, high = sorted([known(A, B), known(A, C)], key=lambda k: k.announcement.event.id)
    for order in ([low, high], [high, low]):
        assert RepositoryData.of("x", order).known == {A.pubkey: low}


def test_b_4_1_a_pr_concerns_owners_whose_set_shares_a_tagged_key() -> None:
    data = RepositoryData.of("x", [known(A, B), known(C), known(D, C)])
    assert data.owners_of_pr(pr_to(B)) == (A.pubkey,)
    assert data.owners_of_pr(pr_to(C)) == tuple(sorted([C.pubkey, D.pubkey]))
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
            known(A, B, clone=["https://a.example/x", "https://both.example/x"]),
            known(B, clone=["https://both.example/x", "https://b.example/x"]),
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
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(AUTHORS), st.lists(st.sampled_from(AUTHORS), max_size=3)),
        max_size=6,
        unique_by=lambda pair: pair[0].pubkey,
    )
)
@settings(max_examples=30, deadline=None)
def test_a_set_is_what_can_be_reached(graph: list[tuple[Author, list[Author]]]) -> None:
    data = RepositoryData.of("x", [known(owner, *listed) for owner, listed in graph])
    edges = {owner.pubkey: keys(*listed) for owner, listed in graph}
    for owner in edges:
        reached = {owner}
        for _ in AUTHORS:
            reached |= {key for each in reached for key in edges.get(each, ())}
        assert data.maintainer_set(owner) == reached
        assert owner in data.owners_authorising(owner)


@pytest.mark.parametrize("standing", Standing)
def test_standing_does_not_change_authority(standing: Standing) -> None:
    """B 3.1: what is held or soft-expired counts as well."""
    data = RepositoryData.of("x", [known(A, B, standing=standing)])
    assert data.owners_authorising(B.pubkey) == (A.pubkey,)


def test_b_8_1_of_one_announcement_the_first_50_urls_are_sources() -> None:
    urls = [f"https://d{number}.example.com/r.git" for number in range(60)]
    known = KnownAnnouncement(
        Announcement.parse(announcement(A, "repo", clone=urls)), Standing.SERVED
    )
    data = RepositoryData.of("repo", [known])
    assert [source.url for source in data.clone_sources([A.pubkey])] == urls[:50]
