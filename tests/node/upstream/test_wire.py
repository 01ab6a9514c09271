from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.node.upstream.wire import (
    Closed,
    EndOfStored,
    Other,
    Sent,
    close,
    parse_relay_message,
    request,
)
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.testing.events import note

from .support import OWNER

EVENT = note(OWNER, "ü \u0001 😀")


def test_messages_are_read() -> None:
    raw = b'["EVENT","s",' + encode_event(EVENT) + b"]"
    assert parse_relay_message(raw) == Sent("s", EVENT)
    assert parse_relay_message('["EOSE","s"]') == EndOfStored("s")
    assert parse_relay_message('["CLOSED","s","error: no"]') == Closed("s", "error: no")
    assert parse_relay_message('["CLOSED","s"]') == Closed("s", "")
    assert parse_relay_message('["NOTICE","hello"]') == Other("NOTICE", "hello")
    assert parse_relay_message('["AUTH","challenge"]') == Other("AUTH")


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{}",
        "[]",
        "[1]",
        "nonsense",
        '["EVENT","s"]',
        '["EVENT","s",{}]',
        '["EOSE",5]',
        "[" * 9999,
    ],
)
def test_what_is_no_message_is_one_typed_error(raw: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_relay_message(raw)


NAMES: st.SearchStrategy[object] = st.sampled_from(
    ["EVENT", "EOSE", "CLOSED", "NOTICE", "x", 5, None, {}]
)


@given(st.binary(max_size=50) | st.lists(NAMES, max_size=4).map(json.dumps))
@settings(max_examples=60, deadline=None)
def test_no_input_raises_anything_else(raw: bytes | str) -> None:
    with suppress(InvalidEvent):
        parse_relay_message(raw)


def test_requests_carry_the_filters() -> None:
    filters = [Filter(kinds=frozenset({1}), limit=2), Filter(tags={"e": frozenset({"x"})})]
    assert json.loads(request("s", filters)) == [
        "REQ",
        "s",
        {"kinds": [1], "limit": 2},
        {"#e": ["x"]},
    ]
    assert json.loads(close("s")) == ["CLOSE", "s"]
