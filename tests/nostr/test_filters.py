from __future__ import annotations

import json
from typing import Any

import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidFilter
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.nostr.filters import Filter, parse_filter
from purgatory_sync.testing.events import Author, note

from .support import JSON

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
EVENT = note(
    ALICE, tags=[("e", "one", "two"), ("e", "three"), ("E", "big"), ("t",)], created_at=100
)


@pytest.mark.parametrize(
    ("plain", "matches"),
    [
        ({}, True),
        ({"ids": [EVENT.id]}, True),
        ({"ids": ["0" * 64]}, False),
        ({"ids": []}, False),
        ({"authors": [BOB.pubkey, ALICE.pubkey]}, True),
        ({"authors": [BOB.pubkey]}, False),
        ({"kinds": [1, 2]}, True),
        ({"kinds": [2]}, False),
        ({"since": 100}, True),
        ({"since": 101}, False),
        ({"until": 100}, True),
        ({"until": 99}, False),
        ({"limit": 0}, True),
        ({"#e": ["one"]}, True),
        ({"#e": ["three", "none"]}, True),
        ({"#e": ["two"]}, False),
        ({"#e": ["big"]}, False),
        ({"#E": ["big"]}, True),
        ({"#e": []}, False),
        ({"#t": [""]}, False),
        ({"#e": ["one"], "#E": ["none"]}, False),
        ({"kinds": [1], "authors": [ALICE.pubkey], "#e": ["one"], "since": 1, "until": 200}, True),
    ],
)
def test_every_field(plain: dict[str, Any], matches: bool) -> None:
    wanted = parse_filter(plain)
    assert wanted.matches(EVENT) is matches
    assert parse_filter(wanted.to_json()) == wanted


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        (None, "a filter is a JSON object"),
        ([], "a filter is a JSON object"),
        ({"search": "x"}, "unknown filter field 'search': remove it"),
        ({"#ab": ["x"]}, "unknown filter field '#ab'"),
        ({"#": ["x"]}, "unknown filter field"),
        ({"#1": ["x"]}, "unknown filter field"),
        ({"#é": ["x"]}, "unknown filter field"),
        ({"x" * 1000: []}, "unknown filter field 'x{40}'"),
        ({5: []}, "unknown filter field"),
        ({"ids": "a" * 64}, "ids must be a list"),
        ({"ids": ["a" * 63]}, "ids must hold 64 lower-case hex digits each"),
        ({"ids": ["A" * 64]}, "ids must hold 64 lower-case hex digits each"),
        ({"ids": ["a" * 64 + "\n"]}, "ids must hold 64 lower-case hex digits each"),
        ({"authors": [5]}, "authors must hold 64 lower-case hex digits each"),
        ({"authors": None}, "authors must be a list"),
        ({"kinds": ["1"]}, "kinds must"),
        ({"kinds": [True]}, "kinds must"),
        ({"kinds": [1.0]}, "kinds must"),
        ({"kinds": [[1]]}, "kinds must"),
        ({"kinds": 1}, "kinds must be a list"),
        ({"since": -1}, "since must be a whole number that is not negative"),
        ({"since": "1"}, "since must be a whole number"),
        ({"until": 1e9}, "until must be a whole number"),
        ({"until": 2**63}, "until must be a whole number"),
        ({"limit": -1}, "limit must be a whole number"),
        ({"limit": None}, "limit must be a whole number"),
        ({"#e": "x"}, "#e must be a list"),
        ({"#e": [5]}, "#e must hold strings"),
    ],
)
def test_what_cannot_be_understood(plain: object, text: str) -> None:
    with pytest.raises(InvalidFilter, match=text):
        parse_filter(plain)


@given(
    st.dictionaries(
        st.sampled_from(["ids", "authors", "kinds", "since", "until", "limit", "#e", "#d"]),
        st.lists(st.integers(0, 99), max_size=3) | JSON,
        max_size=4,
    )
    | JSON
)
@settings(max_examples=60, deadline=None)
def test_parsing_raises_only_its_own_error(value: object) -> None:
    try:
        wanted = parse_filter(value)
    except InvalidFilter:
        return
    assert parse_filter(wanted.to_json()) == wanted
    assert wanted.matches(EVENT) in (True, False)


IDS = [EVENT.id, "0" * 64]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "ids": st.lists(st.sampled_from(IDS), min_size=1, max_size=2),
            "authors": st.lists(
                st.sampled_from([ALICE.pubkey, BOB.pubkey]), min_size=1, max_size=2
            ),
            "kinds": st.lists(st.integers(0, 2), min_size=1, max_size=2),
            "since": st.integers(98, 102),
            "until": st.integers(98, 102),
            "#e": st.lists(st.sampled_from(["one", "three", "x"]), min_size=1, max_size=2),
            "#E": st.lists(st.sampled_from(["big", "one"]), min_size=1, max_size=2),
        },
    )
)
@settings(max_examples=60, deadline=None)
def test_another_implementation_matches_the_same(plain: dict[str, Any]) -> None:
    theirs = nostr_sdk.Filter.from_json(json.dumps(plain))
    event = nostr_sdk.Event.from_json(encode_event(EVENT).decode())
    assert parse_filter(plain).matches(EVENT) == theirs.match_event(event)


def test_a_filter_is_a_value() -> None:
    assert Filter(kinds=frozenset({1})) == parse_filter({"kinds": [1, 1]})
