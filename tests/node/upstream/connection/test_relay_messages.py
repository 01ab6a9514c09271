from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.node.upstream.connection.relay_messages import (
    Challenge,
    Closed,
    EndOfStored,
    OtherMessage,
    Reconciled,
    Sent,
    Taken,
    close,
    neg_close,
    neg_message,
    neg_open,
    parse_relay_message,
    request,
)
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.testing.events import note

from ..support import OWNER

EVENT = note(OWNER, "ü \u0001 😀")


def test_messages_are_read() -> None:
    raw = b'["EVENT","s",' + encode_event(EVENT) + b"]"
    assert parse_relay_message(raw) == Sent("s", EVENT)
    assert parse_relay_message('["EOSE","s"]') == EndOfStored("s")
    assert parse_relay_message('["CLOSED","s","error: no"]') == Closed("s", "error: no")
    assert parse_relay_message('["CLOSED","s"]') == Closed("s", "")
    assert parse_relay_message('["NOTICE","hello"]') == OtherMessage("NOTICE", "hello")
    assert parse_relay_message('["AUTH","challenge"]') == Challenge("challenge")
    assert parse_relay_message('["OK","id",true,""]') == Taken("id", True, "")
    assert parse_relay_message('["OK","id",false,"restricted: no"]') == Taken(
        "id", False, "restricted: no"
    )
    assert parse_relay_message('["NEG-ERR","n"]') == Reconciled("n", None)
    assert parse_relay_message('["NEG-ERROR","n"]') == Reconciled("n", None)
    assert parse_relay_message('["NEG-MSG","n","61ff"]') == Reconciled("n", b"\x61\xff")
    assert parse_relay_message('["NEG-ERR","n","blocked: no"]') == Reconciled(
        "n", None, "blocked: no"
    )


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{}",
        "[]",
        "[1]",
        '["AUTH"]',
        '["AUTH",{}]',
        '["OK","id"]',
        '["OK","id","true",""]',
        "nonsense",
        '["EVENT","s"]',
        '["EVENT","s",{}]',
        '["EOSE",5]',
        '["NEG-MSG","n"]',
        '["NEG-MSG","n","zz"]',
        '["NEG-ERR"]',
        "[" * 9999,
    ],
)
def test_what_is_no_message_is_one_typed_error(raw: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_relay_message(raw)


NAMES: st.SearchStrategy[object] = st.sampled_from(
    ["EVENT", "EOSE", "CLOSED", "NOTICE", "NEG-MSG", "NEG-ERR", "x", 5, None, {}]
)


@given(st.binary(max_size=50) | st.lists(NAMES, max_size=4).map(json.dumps))
@settings(max_examples=60, deadline=None)
def test_no_input_raises_anything_else(raw: bytes | str) -> None:
    with suppress(InvalidEvent):
        parse_relay_message(raw)


def test_what_negentropy_sends() -> None:
    opened = neg_open("n", Filter(kinds=frozenset({1})), b"\x61\x00")
    assert json.loads(opened) == ["NEG-OPEN", "n", {"kinds": [1]}, "6100"]
    assert json.loads(neg_message("n", b"\x61")) == ["NEG-MSG", "n", "61"]
    assert json.loads(neg_close("n")) == ["NEG-CLOSE", "n"]


def test_requests_carry_the_filters() -> None:
    filters = [Filter(kinds=frozenset({1}), limit=2), Filter(tags={"e": frozenset({"x"})})]
    assert json.loads(request("s", filters)) == [
        "REQ",
        "s",
        {"kinds": [1], "limit": 2},
        {"#e": ["x"]},
    ]
    assert json.loads(close("s")) == ["CLOSE", "s"]
