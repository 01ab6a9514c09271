from __future__ import annotations

import pytest
from hypothesis import given, settings

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.pull_request import PullRequest, extract_identifier_from_pr_event
from purgatory_sync.testing.events import Author, note, pull_request, pull_request_update

from .support import TAGS, event

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
OID = "c" * 40


def test_b_1_5_a_pull_request_is_read() -> None:
    where = [ALICE.coordinate("x"), BOB.coordinate("x"), ALICE.coordinate("y")]
    source = pull_request(BOB, where, OID, clone=["https://fork.example/x", "ssh://no.example"])
    pr = PullRequest.parse(source)
    assert pr.commit == OID
    assert pr.repositories == tuple(where)
    assert pr.clone == ("https://fork.example/x",)
    assert pr.identifiers == ("x", "y")
    assert pr.owners("x") == {ALICE.pubkey, BOB.pubkey}
    assert pr.owners("y") == {ALICE.pubkey}
    assert pr.owners("z") == frozenset()
    assert pr.ref == f"refs/nostr/{source.id}"
    assert not pr.unsatisfiable


def test_b_1_5_an_update_is_read_alike() -> None:
    root = pull_request(BOB, [ALICE.coordinate("x")], OID)
    update = pull_request_update(BOB, [ALICE.coordinate("x")], "d" * 40, root)
    assert PullRequest.parse(update).commit == "d" * 40
    with pytest.raises(InvalidEvent, match="1618 or 1619"):
        PullRequest.parse(note(BOB, tags=[("c", OID)]))


@pytest.mark.parametrize(
    "tags", [(), (("c",),), (("c", ""),), (("c", "c" * 39),), (("c", "HEAD"),)]
)
def test_b_1_5_the_commit_is_required(tags: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(InvalidEvent, match="the c tag must hold the commit"):
        PullRequest.parse(event(1618, tags))


@pytest.mark.parametrize(
    ("value", "unsatisfiable"), [(OID.upper(), False), ("c" * 64, True), ("0" * 40, True)]
)
def test_b_1_5_which_commits_can_be_here(value: str, unsatisfiable: bool) -> None:
    pr = PullRequest.parse(event(1618, (("c", value),)))
    assert pr.commit == value.lower()
    assert pr.unsatisfiable is unsatisfiable


def test_b_1_5_an_identifier_may_hold_colons() -> None:
    assert RepositoryId.parse(f"30617:{ALICE.pubkey}:a:b:c") == ALICE.coordinate("a:b:c")
    assert str(ALICE.coordinate("a:b:c")) == f"30617:{ALICE.pubkey}:a:b:c"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "30617",
        f"30617:{ALICE.pubkey}",
        f"30617:{ALICE.pubkey}:",
        f"30617:{ALICE.pubkey}:a/b",
        f"30618:{ALICE.pubkey}:x",
        f"030617:{ALICE.pubkey}:x",
        f"30617:{ALICE.npub}:x",
        f"30617:{ALICE.pubkey.upper()}:x",
        f" 30617:{ALICE.pubkey}:x",
    ],
)
def test_b_1_5_other_a_tags_are_skipped(value: str) -> None:
    assert RepositoryId.parse(value) is None
    found = PullRequest.parse(
        event(1618, (("c", OID), ("a", value), ("a",), ("a", str(BOB.coordinate("x")))))
    )
    assert found.repositories == (BOB.coordinate("x"),)


def test_extract_identifier_from_pr_event_valid() -> None:
    source = pull_request(BOB, [ALICE.coordinate("my:repo"), ALICE.coordinate("other")], OID)
    assert extract_identifier_from_pr_event(source) == "my:repo"


def test_extract_identifier_from_pr_event_missing_tag() -> None:
    assert extract_identifier_from_pr_event(pull_request(BOB, [], OID)) is None
    assert extract_identifier_from_pr_event(event(1618, (("a",), ("a", "30618:x:y")))) is None


@given(TAGS)
@settings(max_examples=50, deadline=None)
def test_parsing_raises_only_its_own_error(tags: tuple[tuple[str, ...], ...]) -> None:
    source = event(1619, tags)
    try:
        found = PullRequest.parse(source)
    except InvalidEvent:
        return
    assert found.identifiers[:1] == tuple(filter(None, [extract_identifier_from_pr_event(source)]))


SERVICE = "grasp.example/base"


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("https://grasp.example/base/prs/{bob}/x.git", True),
        ("http://GRASP.example:80/base/prs/{bob}/x.git//", True),
        ("https://grasp.example:443/base/prs/{bob}/%78.git", True),
        ("https://grasp.example:8443/base/prs/{bob}/x.git", False),
        ("https://grasp.example/prs/{bob}/x.git", False),
        ("https://grasp.example/base/base/prs/{bob}/x.git", False),
        ("https://grasp.example.org/base/prs/{bob}/x.git", False),
        ("https://user@grasp.example/base/prs/{bob}/x.git", False),
        ("https://grasp.example/base/prs/{bob}/x.git?a", False),
        ("https://grasp.example/base/prs/{bob}/x.git#a", False),
        ("https://grasp.example/base/prs/{bob}/x.git/info/refs", False),
        ("https://grasp.example/base/prs/{bob}/x", False),
        ("https://grasp.example/base/prs/{bob}/x.git.git", False),
        ("https://grasp.example/base/prs/{bob}/other.git", False),
        ("https://grasp.example/base/prs/{alice}/x.git", False),
        ("https://grasp.example/base/prs/{hex}/x.git", False),
        ("https://grasp.example/base/{bob}/x.git", False),
        ("wss://grasp.example/base/prs/{bob}/x.git", False),
    ],
)
def test_b_12_3_a_clone_value_names_the_signers_path(url: str, named: bool) -> None:
    text = url.format(bob=BOB.npub, alice=ALICE.npub, hex=BOB.pubkey)
    where = [ALICE.coordinate("y"), ALICE.coordinate("x")]
    pr = PullRequest.parse(pull_request(BOB, where, OID, clone=["https://a.example/x", text]))
    assert pr.contributed(SERVICE) == ((BOB.coordinate("x"),) if named else ())
