from __future__ import annotations

import pytest
from hypothesis import given, settings

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.state import State
from purgatory_sync.testing.events import Author, note, state

from .support import TAGS, event

ALICE = Author.from_seed(1)
A, B = "a" * 40, "b" * 40


def parsed(*tags: tuple[str, ...]) -> State:
    return State.parse(note(ALICE, kind=30618, tags=[("d", "x"), *tags]))


def test_b_1_3_heads_and_tags_are_read() -> None:
    refs = {"refs/heads/main": A, "refs/heads/a/b": B, "refs/tags/v1": A}
    found = State.parse(state(ALICE, "x", refs, head="refs/heads/main"))
    assert (found.identifier, found.author, found.head) == ("x", ALICE.pubkey, "refs/heads/main")
    assert found.refs == refs
    assert list(found.refs) == list(refs)
    assert found.oids == {A, B}
    assert not found.unsatisfiable
    assert not found.empty


def test_b_1_3_d_is_required() -> None:
    for tags in ((), (("d",),), (("d", ""),), (("d", "a/b"),)):
        with pytest.raises(InvalidEvent):
            State.parse(event(30618, tags))
    with pytest.raises(InvalidEvent, match="30618"):
        State.parse(event(30617, (("d", "x"),)))


@pytest.mark.parametrize(
    "name",
    [
        "refs/tags/v1^{}",
        "refs/heads/",
        "refs/heads/a..b",
        "refs/heads/.a",
        "refs/heads/a.lock",
        "refs/heads/a b",
        "refs/heads/a~1",
        "refs/heads/a\x07",
        "refs/heads/a@{b",
        "refs/heads//a",
        "refs/heads/a/",
        "refs/heads/\ud800",
        "refs/notes/x",
        "refs/nostr/x",
        "refs/remotes/origin/x",
    ],
)
def test_b_1_3_names_that_are_skipped(name: str) -> None:
    found = State.parse(event(30618, (("d", "x"), ("refs/heads/main", A), (name, B))))
    assert found.refs == {"refs/heads/main": A}
    assert not found.unsatisfiable


def test_b_1_3_tags_without_a_value_are_skipped() -> None:
    found = parsed(("refs/heads/main", A), ("refs/heads/other",))
    assert found.refs == {"refs/heads/main": A}
    assert not found.unsatisfiable


@pytest.mark.parametrize(
    "value", ["", "main", "a" * 39, "a" * 41, "a" * 64, "0" * 40, "g" * 40, " " + A, A + "\n", "-x"]
)
def test_b_1_3_a_value_that_is_no_oid_is_never_satisfiable(value: str) -> None:
    found = parsed(("refs/heads/main", A), ("refs/heads/other", value))
    assert found.refs == {"refs/heads/main": A}
    assert found.unsatisfiable
    assert not found.empty


def test_b_1_3_an_oid_in_capitals_is_the_same_object() -> None:
    assert parsed(("refs/heads/main", A.upper())).refs == {"refs/heads/main": A}


@pytest.mark.parametrize(
    ("one", "other"),
    [("refs/heads/x", "refs/heads/x/y"), ("refs/tags/x/y/z", "refs/tags/x")],
)
def test_b_1_3_a_name_that_is_another_ones_folder_is_invalid(one: str, other: str) -> None:
    with pytest.raises(InvalidEvent, match="cannot exist together"):
        parsed((one, A), (other, B))
    assert len(parsed((one, A), (other.replace("x", "x-"), B)).refs) == 2


def test_b_1_3_the_folder_counts_with_every_value() -> None:
    with pytest.raises(InvalidEvent):
        parsed(("refs/heads/x", "ref: refs/heads/main"), ("refs/heads/x/y", A))


def test_b_1_3_a_symbolic_value_needs_no_object() -> None:
    found = parsed(("refs/heads/main", A), ("refs/heads/alias", "ref: refs/heads/main"))
    assert found.refs == {"refs/heads/main": A}
    assert not found.unsatisfiable
    assert not found.empty


def test_b_1_3_the_first_of_two_values_wins() -> None:
    assert parsed(("refs/heads/main", A), ("refs/heads/main", B)).refs == {"refs/heads/main": A}
    first_is_bad = parsed(("refs/heads/main", "bad"), ("refs/heads/main", B))
    assert first_is_bad.refs == {}
    assert first_is_bad.unsatisfiable
    symbolic = parsed(("refs/heads/main", "ref: refs/heads/x"), ("refs/heads/main", B))
    assert symbolic.refs == {}
    assert symbolic.empty


@pytest.mark.parametrize(
    "tags",
    [
        [("refs/tags/v1^{}", A)],
        [("refs/heads/a..b", A)],
        [("refs/heads/main",)],
        [("refs/notes/x", A)],
        [("refs/heads/a..b", "ref: refs/heads/x")],
    ],
)
def test_b_1_3_a_state_whose_refs_were_all_skipped_is_never_satisfiable(
    tags: list[tuple[str, ...]],
) -> None:
    """It must not delete every ref."""
    found = parsed(*tags)
    assert found.refs == {}
    assert found.unsatisfiable
    assert not found.empty


@pytest.mark.parametrize(
    "tags", [[], [("refs/heads/x", "ref: refs/heads/y")], [("HEAD", "ref: refs/heads/main")]]
)
def test_b_3_5_a_state_without_refs_is_empty(tags: list[tuple[str, ...]]) -> None:
    found = parsed(*tags)
    assert found.refs == {}
    assert found.empty
    assert not found.unsatisfiable


@pytest.mark.parametrize(
    ("tags", "head"),
    [
        ([("HEAD", "ref: refs/heads/main")], "refs/heads/main"),
        ([("HEAD", "refs/heads/main")], "refs/heads/main"),
        ([("HEAD", "ref: refs/heads/a"), ("HEAD", "ref: refs/heads/b")], "refs/heads/a"),
        ([("HEAD",), ("HEAD", "ref: refs/heads/b")], None),
        ([("HEAD", "ref: refs/tags/v1")], None),
        ([("HEAD", A)], None),
        ([("HEAD", "main")], None),
        ([("HEAD", "ref: refs/heads/")], None),
        ([("HEAD", "ref: refs/heads/../../x")], None),
        ([("HEAD", "ref: ref: refs/heads/x")], None),
        ([], None),
    ],
)
def test_b_1_4_head(tags: list[tuple[str, ...]], head: str | None) -> None:
    assert parsed(("refs/heads/main", A), *tags).head == head


@given(TAGS)
@settings(max_examples=50, deadline=None)
def test_parsing_raises_only_its_own_error(tags: tuple[tuple[str, ...], ...]) -> None:
    try:
        found = State.parse(event(30618, (("d", "x"), *tags)))
    except InvalidEvent:
        return
    assert all(len(oid) == 40 and oid == oid.lower() for oid in found.refs.values())
    assert not (found.empty and found.refs)
    assert not (found.empty and found.unsatisfiable)
    assert found.refs or found.empty or found.unsatisfiable
