from __future__ import annotations

from purgatory_sync.hunt.limits.tried_urls import TriedUrls

A, B = "https://a.example/r.git", "https://b.example:8080/r.git"


def test_b_8_3_a_url_is_tried_for_what_it_was_asked_for() -> None:
    tried = TriedUrls()
    assert tried.untried(A, frozenset("12")) == {"1", "2"}
    tried.mark(A, frozenset("12"))
    assert tried.untried(A, frozenset("12")) == frozenset()
    assert tried.untried(A, frozenset("123")) == {"3"}
    assert tried.untried(B, frozenset("12")) == {"1", "2"}
    tried.mark(A, frozenset("3"))
    assert tried.untried(A, frozenset("123")) == frozenset()


def test_for_domain_is_a_copy_with_its_urls_only() -> None:
    tried = TriedUrls()
    tried.mark(A, "1")
    tried.mark(B, "2")
    only = tried.for_domain("b.example")
    assert list(only) == [B]
    only.mark(B, "3")
    assert tried.untried(B, frozenset("23")) == {"3"}
    assert (A in tried, len(tried)) == (True, 2)


def test_b_8_6_who_wanted_to_be_left_alone_is_known_and_not_tried() -> None:
    tried, other = TriedUrls(), TriedUrls()
    tried.note_limited(A)
    tried.note_limited(B)
    assert tried.untried(A, frozenset("1")) == {"1"}
    assert A not in tried
    other.merge(tried.for_domain("b.example"))
    assert (other.was_limited(A), other.was_limited(B)) == (False, True)
