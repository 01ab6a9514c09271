"""The event that a header carries, however its base64 is written (NIP-98)."""

from __future__ import annotations

import base64

import pytest

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.event import encode_event
from purgatory_sync.nostr.http_auth.header import (
    MAX_TOKEN_CHARS,
    event_of_header,
    event_of_token,
)
from purgatory_sync.testing.events import Author

# Its base64 has both characters that the two alphabets write differently, and padding.
EVENT = Author.from_seed(1).sign(27235, "~~~???~~~>>>~~", [["u", "wss://relay.example/ü🦀"]], 1)
RAW = encode_event(EVENT)
STANDARD = base64.b64encode(RAW).decode()
URL_SAFE = base64.urlsafe_b64encode(RAW).decode()


def test_the_example_differs_in_both_alphabets() -> None:
    assert set("+/") <= set(STANDARD)
    assert set("-_") <= set(URL_SAFE)


@pytest.mark.parametrize("scheme", ["Nostr", "nostr", "NOSTR", " Nostr", "Nostr "])
def test_the_word_of_the_scheme_may_be_in_any_case(scheme: str) -> None:
    assert event_of_header(f"{scheme} {STANDARD} ") == EVENT


@pytest.mark.parametrize("extra", range(3))
def test_base64_is_read_in_both_alphabets_with_and_without_padding(extra: int) -> None:
    raw = RAW + b" " * extra
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        token = encode(raw).decode()
        assert event_of_token(token) == EVENT
        assert event_of_token(token.rstrip("=")) == EVENT


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "no header"),
        ("Nostr", "not an event"),
        ("Nostr ", "not an event"),
        (f"Basic {STANDARD}", "no header"),
        (f"Nostr{STANDARD}", "no header"),
        (f"Nostr {STANDARD[:-8]}", "not an event"),
        (f"Nostr {STANDARD[:40]} {STANDARD[40:]}", "no base64"),
        (f"Nostr {STANDARD}===", "no base64"),
        (f"Nostr ={STANDARD}", "no base64"),
        ("Nostr ü", "no base64"),
        ("Nostr A", "no base64"),
        (f"Nostr {base64.b64encode(b'[]').decode()}", "not an event"),
        (f"Nostr {base64.b64encode(b'[' * 6000).decode()}", "not an event"),
    ],
)
def test_what_carries_no_event_is_refused(header: str, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        event_of_header(header)


def test_a_token_has_a_bound() -> None:
    padded = base64.b64encode(RAW + b" " * (MAX_TOKEN_CHARS * 3 // 4 - len(RAW))).decode()
    assert len(padded) == MAX_TOKEN_CHARS
    assert event_of_token(padded) == EVENT
    with pytest.raises(InvalidEvent, match="more than 12288"):
        event_of_token(padded + "AAAA")
