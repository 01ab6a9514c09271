from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.parsed import Deletion, Other, parse, parse_stored
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.nostr.state import State

from .support import TAGS, event

OID, KEY = "c" * 40, "f" * 64


@pytest.mark.parametrize(
    ("of", "sort", "identifiers"),
    [
        (event(30617, (("d", "r"),)), Announcement, ("r",)),
        (event(30618, (("d", "r"), ("refs/heads/main", OID))), State, ("r",)),
        (event(1618, (("c", OID), ("a", f"30617:{KEY}:x"))), PullRequest, ("x",)),
        (event(1619, (("c", OID), ("a", f"30617:{KEY}:x"))), PullRequest, ("x",)),
        (event(5, (("e", "a" * 64), ("a", f"30617:{KEY}:x"))), Deletion, ()),
        (event(1621, (("d", "r"), ("a", f"30617:{KEY}:x"))), Other, ()),
        (event(10317, ()), Other, ()),
    ],
)
def test_each_kind_is_read_as_what_it_is(
    of: Event, sort: type, identifiers: tuple[str, ...]
) -> None:
    for parsed in (parse(of), parse_stored(of)):
        assert type(parsed) is sort
        assert parsed.event is of
        assert parsed.identifiers == identifiers


@pytest.mark.parametrize(
    "malformed",
    [
        event(30617, (("d", ".."),)),
        event(30618, ()),
        event(30618, (("d", "r"), ("refs/heads/a", OID), ("refs/heads/a/b", OID))),
        event(1618, (("c", "short"),)),
        event(1619, ()),
    ],
)
def test_what_is_malformed_is_refused_when_it_comes_and_other_when_it_was_stored(
    malformed: Event,
) -> None:
    with pytest.raises(InvalidEvent):
        parse(malformed)
    assert parse_stored(malformed) == Other(malformed)


def test_a_deletion_is_of_kind_5() -> None:
    with pytest.raises(InvalidEvent, match="kind 5"):
        Deletion.parse(event(1, ()))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([5, 1, 1618, 1619, 30617, 30618]), TAGS)
def test_reading_any_tags_raises_nothing_else(kind: int, tags: object) -> None:
    of = event(kind, tags)
    try:
        assert parse(of) == parse_stored(of)
    except InvalidEvent:
        assert parse_stored(of) == Other(of)
