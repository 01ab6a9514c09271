"""What clients say, read without ever raising anything but the one error."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.node.relay.client_messages import (
    Close,
    Count,
    InvalidMessage,
    Publish,
    Req,
    parse_message,
    refusal,
)
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.nostr.filters import Filter

from .relay_support import make_event

EVENT = make_event(1)
SENTENCE = (
    "invalid: not an event: Expected `str` matching regex '\\\\A[0-9a-f]{64}\\\\Z' - at `$.id`"
)
TOO_MANY = "invalid: 1 to 2 filters are asked for at once: split it"
WRONG_LENGTH = "invalid: a subscription id has 1 to 64 characters"
BROKEN = {**json.loads(encode_event(EVENT)), "kind": "one"}


def test_messages_that_are_understood() -> None:
    raw = '["EVENT",' + encode_event(EVENT).decode() + "]"
    assert parse_message(raw, 2) == Publish(EVENT)
    assert parse_message('["CLOSE","a"]', 2) == Close("a")
    assert parse_message('[ "REQ" , "ü", {"kinds":[1]}, {} ]', 2) == Req(
        "ü", (Filter(kinds=frozenset({1})), Filter())
    )
    assert parse_message('["COUNT","n",{"kinds":[1]}]', 2) == Count(
        "n", (Filter(kinds=frozenset({1})),)
    )


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"[]", ["NOTICE", "invalid: binary frames are not spoken here: send JSON as text"]),
        ("", ["NOTICE", 'invalid: a message is a JSON array like ["REQ", …]']),
        ("{}", ["NOTICE", 'invalid: a message is a JSON array like ["REQ", …]']),
        ("[1]", ["NOTICE", 'invalid: a message is a JSON array like ["REQ", …]']),
        ("[" * 100_000, ["NOTICE", 'invalid: a message is a JSON array like ["REQ", …]']),
        ("[]", ["NOTICE", "invalid: '' is not known here: EVENT, REQ, COUNT and CLOSE are"]),
        ('["NO"]', ["NOTICE", "invalid: 'NO' is not known here: EVENT, REQ, COUNT and CLOSE are"]),
        ('["CLOSE"]', ["NOTICE", "invalid: the subscription id is a string"]),
        ('["CLOSE",1]', ["NOTICE", "invalid: the subscription id is a string"]),
        ('["REQ","",{}]', ["CLOSED", "", WRONG_LENGTH]),
        (f'["REQ","{"a" * 65}",{{}}]', ["CLOSED", "a" * 65, WRONG_LENGTH]),
        (f'["COUNT","{"a" * 65}",{{}}]', ["CLOSED", "a" * 65, WRONG_LENGTH]),
        (f'["NEG-OPEN","{"a" * 65}",{{}},"61"]', ["NEG-ERR", "a" * 65, WRONG_LENGTH]),
        (f'["NEG-MSG","{"a" * 65}","61"]', ["NEG-ERR", "a" * 65, WRONG_LENGTH]),
        (f'["CLOSE","{"a" * 65}"]', ["NOTICE", WRONG_LENGTH]),
        ('["REQ","a"]', ["CLOSED", "a", TOO_MANY]),
        ('["REQ","a",{},{},{}]', ["CLOSED", "a", TOO_MANY]),
        ('["REQ","a",[]]', ["CLOSED", "a", "invalid: a filter is a JSON object"]),
        ('["REQ","a",{"kinds":1}]', ["CLOSED", "a", "invalid: kinds must be a list"]),
        (
            '["REQ","a",{"search":"x"}]',
            ["CLOSED", "a", "invalid: unknown filter field 'search': remove it"],
        ),
        ('["COUNT",7,{}]', ["NOTICE", "invalid: the subscription id is a string"]),
        (
            '["COUNT","n"]',
            ["CLOSED", "n", TOO_MANY],
        ),
        ('["COUNT","n",{"kinds":1}]', ["CLOSED", "n", "invalid: kinds must be a list"]),
        ('["EVENT"]', ["NOTICE", 'invalid: an event is sent as ["EVENT", {…}]']),
        (
            json.dumps(["EVENT", {**BROKEN, "id": "7"}]),
            ["OK", "7", False, SENTENCE],
        ),
        (
            '["EVENT",{"id":7}]',
            ["NOTICE", "invalid: not an event: Expected `str`, got `int` - at `$.id`"],
        ),
    ],
)  # fmt: skip
def test_answers_to_what_is_not_understood(raw: str | bytes, answer: list[object]) -> None:
    with pytest.raises(InvalidMessage) as caught:
        parse_message(raw, 2)
    assert json.loads(refusal(caught.value)) == answer


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
FILTERS = st.dictionaries(
    st.sampled_from(["ids", "authors", "kinds", "since", "limit", "#e", "#", "x"]), VALUES
)
EVENTS = st.builds(
    lambda name, value: {**json.loads(encode_event(EVENT)), name: value},
    st.sampled_from(["id", "pubkey", "created_at", "kind", "tags", "content", "sig"]),
    VALUES,
)
MESSAGES = (
    st.tuples(st.just("EVENT"), EVENTS)
    | st.tuples(st.sampled_from(["REQ", "COUNT"]), st.text() | VALUES, FILTERS | VALUES)
    | st.tuples(st.sampled_from(["CLOSE", "EVENT", "REQ", "AUTH"]), VALUES)
)


@settings(max_examples=60, deadline=None)
@given(MESSAGES.map(json.dumps) | st.text() | st.binary())
def test_nothing_raises_anything_else(raw: str | bytes) -> None:
    with suppress(InvalidMessage):
        parse_message(raw, 2)
