from __future__ import annotations

import json
from typing import Any

import msgspec
import nostr_sdk
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.event import (
    Event,
    convert_event,
    decode_event,
    encode_event,
    event_id,
    verify_event,
)
from purgatory_sync.testing.events import (
    Author,
    announcement,
    note,
    pull_request,
    pull_request_update,
    state,
)

from .support import ANY_TEXT, JSON

ALICE = Author.from_seed(1)
OID = "d" * 40
ROOT = pull_request(ALICE, [ALICE.coordinate("nostr-tools")], OID)

CONTENTS = [
    "",
    "plain",
    "ünïcödé 漢字 \u200f\u202e",
    "🦀 👩\u200d👩\u200d👧 🇨🇭",
    "\n\r\t\b\f\"\\/'",
    "".join(map(chr, range(32))),
    "\x7f\x80\x9f\xa0\u2028\u2029\ufeff\uffff\U0010ffff",
    "\\u0041 \\n &lt;<>&",
]

EVENTS = {
    "announcement": (
        30617,
        [
            ["d", "nostr-tools 🦀"],
            ["name", "Nostr tools"],
            ["description", 'a "quoted" \\ name\n'],
            ["web", "https://example.com/nostr-tools"],
            ["clone", "https://git.example/nostr-tools.git", "ssh://git@git.example/x"],
            ["relays", "wss://relay.example", "wss://relay.two.example"],
            ["r", "b" * 40, "euc"],
            ["maintainers", "c" * 64],
        ],
    ),
    "state": (
        30618,
        [
            ["d", "nostr-tools 🦀"],
            ["refs/heads/main", OID],
            ["refs/tags/v1.0", "e" * 40],
            ["refs/tags/v1.0^{}", OID],
            ["HEAD", "ref: refs/heads/main"],
        ],
    ),
    "pull request": (
        1618,
        [
            ["a", f"30617:{'c' * 64}:nostr-tools"],
            ["r", "b" * 40],
            ["p", "c" * 64],
            ["subject", "Fix: 100 % ünïcode"],
            ["c", OID],
            ["clone", "https://git.example/fork.git"],
            ["branch-name", "fix"],
        ],
    ),
    "update": (1619, [["a", f"30617:{'c' * 64}:x"], ["E", "a" * 64], ["P", "c" * 64], ["c", OID]]),
}


def made_by_nostr_sdk(kind: int, tags: list[list[str]], content: str) -> nostr_sdk.Event:
    keys = nostr_sdk.Keys.parse("7" * 64)
    builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(kind), content)
    builder = builder.tags([nostr_sdk.Tag.parse(tag) for tag in tags])
    return builder.custom_created_at(nostr_sdk.Timestamp.from_secs(1_763_900_000)).finalize(keys)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", EVENTS)
def test_events_of_another_implementation_verify(name: str, content: str) -> None:
    kind, tags = EVENTS[name]
    theirs = made_by_nostr_sdk(kind, tags, content)
    ours = decode_event(theirs.as_json())
    verify_event(ours)
    assert (ours.kind, ours.content, ours.created_at) == (kind, content, 1_763_900_000)
    assert [list(tag) for tag in ours.tags] == tags
    again = nostr_sdk.Event.from_json(encode_event(ours).decode())
    assert again.verify()
    assert again.as_json() == theirs.as_json()


@pytest.mark.parametrize("content", CONTENTS)
def test_our_events_verify_in_another_implementation(content: str) -> None:
    event = note(ALICE, content, kind=1618, tags=[("subject", content), ("c", OID)])
    theirs = nostr_sdk.Event.from_json(encode_event(event).decode())
    assert theirs.verify()
    assert decode_event(theirs.as_json()) == event


@pytest.mark.parametrize(
    "event",
    [
        announcement(ALICE, "x", clone=["https://h.example/x"], relays=["wss://h.example"]),
        state(ALICE, "x", {"refs/heads/main": OID}, head="refs/heads/main"),
        ROOT,
        pull_request_update(ALICE, [ALICE.coordinate("nostr-tools")], OID, ROOT),
    ],
)
def test_built_events_verify_here_and_there(event: Event) -> None:
    verify_event(event)
    assert nostr_sdk.Event.from_json(encode_event(event).decode()).verify()
    assert decode_event(encode_event(event)) == event


@given(content=st.text(max_size=30), value=st.text(max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_text_has_the_same_id_in_another_implementation(content: str, value: str) -> None:
    event = note(ALICE, content, tags=[("t", value)])
    verify_event(decode_event(encode_event(event)))
    assert nostr_sdk.Event.from_json(encode_event(event).decode()).verify_id()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "0" * 64),
        ("pubkey", Author.from_seed(2).pubkey),
        ("pubkey", "f" * 64),
        ("created_at", 1_700_000_001),
        ("kind", 1619),
        ("tags", (("c", "e" * 40),)),
        ("tags", ()),
        ("content", "other"),
        ("content", "\ud800"),
        ("sig", "0" * 128),
        ("sig", note(ALICE, "another").sig),
    ],
)
def test_a_tampered_field_is_noticed(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent):
        verify_event(msgspec.structs.replace(ROOT, **{field: value}))


def test_a_tampered_event_with_its_own_id_is_not_signed() -> None:
    other = note(ALICE, "another")
    with pytest.raises(InvalidEvent, match="signature does not fit"):
        verify_event(msgspec.structs.replace(other, sig=ROOT.sig))


WRONG: list[tuple[str, Any]] = [
    ("id", "0" * 63),
    ("id", "0" * 65),
    ("id", "A" * 64),
    ("id", "0" * 64 + "\n"),
    ("id", 5),
    ("id", None),
    ("pubkey", "x" * 64),
    ("created_at", -1),
    ("created_at", 1.0),
    ("created_at", 2**53 + 1),
    ("created_at", 10**30),
    ("created_at", True),
    ("created_at", "1"),
    ("kind", 65536),
    ("kind", -1),
    ("kind", False),
    ("tags", None),
    ("tags", {}),
    ("tags", ["d"]),
    ("tags", [["d", 5]]),
    ("tags", [["d", None]]),
    ("tags", [["d", ["x"]]]),
    ("content", None),
    ("content", 5),
    ("sig", "0" * 127),
    ("sig", "G" * 128),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_field_of_the_wrong_form_is_refused(field: str, value: object) -> None:
    plain = json.loads(encode_event(ROOT)) | {field: value}
    with pytest.raises(InvalidEvent, match="not an event: "):
        decode_event(json.dumps(plain))
    with pytest.raises(InvalidEvent, match="not an event: "):
        convert_event(plain)


@pytest.mark.parametrize("field", ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"])
def test_a_missing_field_is_refused(field: str) -> None:
    plain = json.loads(encode_event(ROOT))
    del plain[field]
    with pytest.raises(InvalidEvent, match=f"missing required field `{field}`"):
        decode_event(json.dumps(plain))
    with pytest.raises(InvalidEvent, match=f"missing required field `{field}`"):
        convert_event(plain)


def test_unknown_fields_are_dropped() -> None:
    plain = json.loads(encode_event(ROOT)) | {"seen_on": ["wss://relay.example"]}
    assert decode_event(json.dumps(plain)) == ROOT
    assert convert_event(plain) == ROOT


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"id":"\xff"}',
        b'"\\ud800"',
        "\ud800",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        encode_event(ROOT) + b"x",
        encode_event(ROOT).replace(b"A change", b"\\ud800"),
        encode_event(ROOT).replace(b"A change", b"\xc3\x28"),
        encode_event(ROOT).replace(b"A change", b"a\nb"),
    ],
)
def test_what_is_no_json_of_an_event(raw: bytes | str) -> None:
    with pytest.raises(InvalidEvent, match="not an event: "):
        decode_event(raw)


@given(st.binary(max_size=60) | ANY_TEXT)
@settings(max_examples=60, deadline=None)
def test_decoding_raises_only_its_own_error(raw: bytes | str) -> None:
    with pytest.raises(InvalidEvent):
        decode_event(raw)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.just("a" * 64) | JSON,
            "pubkey": st.just("f" * 64) | st.just("b" * 64) | JSON,
            "created_at": st.integers(-1, 2**54) | JSON,
            "kind": st.integers(-1, 70_000) | JSON,
            "tags": st.lists(st.lists(ANY_TEXT, max_size=3), max_size=3) | JSON,
            "content": ANY_TEXT | JSON,
            "sig": st.just("0" * 128) | JSON,
        },
    )
    | JSON
)
@settings(max_examples=60, deadline=None)
def test_converting_and_verifying_raise_only_their_own_error(value: object) -> None:
    with pytest.raises(InvalidEvent):
        verify_event(convert_event(value))


def test_first_and_values() -> None:
    event = note(ALICE, tags=[("d",), ("d", "x"), (), ("e", "1", "2"), ("e",), ("e", "3")])
    assert event.first("d") is None
    assert event.first("e") == "1"
    assert event.first("x") is None
    assert list(event.values("e")) == ["1", "3"]
    assert list(event.all_values("e")) == ["1", "2", "3"]


def test_b_1_6_the_newest_wins_and_on_a_tie_the_lowest_id() -> None:
    old = note(ALICE, "old", created_at=1)
    low, high = sorted((note(ALICE, str(i), created_at=2) for i in range(2)), key=lambda e: e.id)
    assert sorted([low, old, high], key=lambda e: e.order) == [old, high, low]


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        (0, (0, ALICE.pubkey, "")),
        (3, (3, ALICE.pubkey, "")),
        (1, None),
        (9999, None),
        (10_000, (10_000, ALICE.pubkey, "")),
        (19_999, (19_999, ALICE.pubkey, "")),
        (20_000, None),
        (29_999, None),
        (30_000, (30_000, ALICE.pubkey, "x")),
        (39_999, (39_999, ALICE.pubkey, "x")),
        (40_000, None),
    ],
)
def test_addresses_by_kind(kind: int, address: tuple[int, str, str] | None) -> None:
    assert note(ALICE, kind=kind, tags=[("d", "x"), ("d", "y")]).address == address


def test_an_addressable_event_without_d_has_the_empty_one() -> None:
    assert note(ALICE, kind=30617).address == (30617, ALICE.pubkey, "")


def test_a_key_that_is_not_on_the_curve() -> None:
    off_curve = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"
    unsigned = note(ALICE)
    name = event_id(off_curve, 1, 1, (), "")
    with pytest.raises(InvalidEvent, match="pubkey is no key"):
        verify_event(Event(name, off_curve, 1, 1, (), "", unsigned.sig))
