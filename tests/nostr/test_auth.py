from __future__ import annotations

import msgspec
import pytest

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.auth import MAX_CHALLENGE_CHARS, auth_event, check_auth
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import Author

ALICE = Author.from_seed(1)
NOW = 1_800_000_000
URL = "wss://relay.example"


def signed(*tags: list[str], kind: int = kinds.CLIENT_AUTH, at: int = NOW) -> Event:
    return ALICE.sign(kind, "", tags, at)


def test_what_a_client_signs_is_what_a_relay_takes() -> None:
    event = auth_event(ALICE.key, "wss://relay.example/", "a challenge", NOW)
    assert (event.kind, event.pubkey, event.created_at, event.content) == (
        22242,
        ALICE.pubkey,
        NOW,
        "",
    )
    assert event.tags == (("relay", "wss://relay.example/"), ("challenge", "a challenge"))
    check_auth(event, "relay.example", "a challenge", NOW)


@pytest.mark.parametrize("challenge", ["", "x" * (MAX_CHALLENGE_CHARS + 1)])
def test_challenges_of_no_sensible_length_are_not_signed(challenge: str) -> None:
    with pytest.raises(InvalidEvent, match="challenge"):
        auth_event(ALICE.key, URL, challenge, NOW)
    auth_event(ALICE.key, URL, "x" * MAX_CHALLENGE_CHARS, NOW)


def test_a_challenge_that_is_no_unicode_is_not_signed() -> None:
    with pytest.raises(InvalidEvent, match="challenge"):
        auth_event(ALICE.key, URL, "\ud800", NOW)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (signed(["relay", URL], ["challenge", "c"], kind=1), "kind 22242"),
        (signed(["relay", URL], ["challenge", "c"], at=NOW - 601), "created_at"),
        (signed(["relay", URL], ["challenge", "c"], at=NOW + 601), "created_at"),
        (signed(["relay", URL], ["challenge", "d"]), "challenge"),
        (signed(["relay", URL]), "challenge"),
        (signed(["relay", URL], ["challenge"]), "challenge"),
        (signed(["relay", URL], ["challenge", "d"], ["challenge", "c"]), "challenge"),
        (signed(["relay", "wss://other.example"], ["challenge", "c"]), "relay"),
        (signed(["relay", "wss://relay.example.evil"], ["challenge", "c"]), "relay"),
        (signed(["relay", "wss://relay.example:444"], ["challenge", "c"]), "relay"),
        (signed(["relay", "https://relay.example"], ["challenge", "c"]), "relay"),
        (signed(["challenge", "c"]), "relay"),
    ],
)
def test_what_proves_nothing_here_is_refused(event: Event, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        check_auth(event, "relay.example", "c", NOW)


@pytest.mark.parametrize(
    "change", [{"sig": "0" * 128}, {"pubkey": Author.from_seed(2).pubkey}, {"created_at": NOW + 1}]
)
def test_a_forgery_is_refused(change: dict[str, object]) -> None:
    forged = msgspec.structs.replace(auth_event(ALICE.key, URL, "c", NOW), **change)
    with pytest.raises(InvalidEvent, match=r"id is not|signature"):
        check_auth(forged, "relay.example", "c", NOW)


@pytest.mark.parametrize("at", [NOW - 600, NOW + 600])
def test_clocks_may_differ_by_ten_minutes(at: int) -> None:
    check_auth(auth_event(ALICE.key, URL, "c", at), "relay.example", "c", NOW)
