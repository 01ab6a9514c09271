"""Who signed a call of the management API (NIP-98 as NIP-86 wants it)."""

from __future__ import annotations

from hashlib import sha256

import msgspec
import pytest

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.http_auth.signed_call import check_call
from purgatory_sync.testing.events import Author

ALICE = Author.from_seed(1)
NOW = 1_800_000_000
BODY = b'{"method":"supportedmethods","params":[]}'
HASH = sha256(BODY).hexdigest()
SERVICE = "relay.example"
GOOD = (["u", "https://relay.example/"], ["method", "POST"], ["payload", HASH])


def signed(*tags: list[str], kind: int = 27235, at: int = NOW) -> Event:
    return ALICE.sign(kind, "", tags, at)


@pytest.mark.parametrize(
    ("url", "service"),
    [
        *(
            (f"{scheme}://relay.example{end}", SERVICE)
            for scheme in ("http", "https", "ws", "wss")
            for end in ("", "/")
        ),
        ("https://RELAY.example:443/", SERVICE),
        ("http://127.0.0.1:7334", "127.0.0.1:7334"),
        ("wss://relay.example/services/grasp", "relay.example/services/grasp"),
        ("https://relay.example/services/grasp/", "relay.example/services/grasp"),
    ],
)
def test_the_relay_is_named_by_every_form_of_its_url(url: str, service: str) -> None:
    check_call(signed(["u", url], *GOOD[1:]), service, BODY, NOW)


@pytest.mark.parametrize("at", [NOW - 60, NOW + 60])
def test_clocks_may_differ_by_a_minute(at: int) -> None:
    check_call(signed(*GOOD, ["extra", "x"], at=at), SERVICE, BODY, NOW)


def test_hash_and_method_may_be_in_any_case() -> None:
    """The documents of nostr-tools have the method in lower case."""
    check_call(signed(GOOD[0], ["method", "post"], ["payload", HASH.upper()]), SERVICE, BODY, NOW)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (signed(*GOOD, kind=22242), "kind 27235"),
        (signed(*GOOD, at=NOW - 61), "created_at"),
        (signed(*GOOD, at=NOW + 61), "created_at"),
        (signed(*GOOD[1:]), "one tag u"),
        (signed(*GOOD, GOOD[0]), "one tag u"),
        (signed(["u"], *GOOD[1:]), "one tag u"),
        (signed(["u", "https://relay.example/path"], *GOOD[1:]), "another URL"),
        (signed(["u", "https://relay.example/?a=b"], *GOOD[1:]), "another URL"),
        (signed(["u", "https://relay.example:444"], *GOOD[1:]), "another URL"),
        (signed(["u", "https://relay.example.evil"], *GOOD[1:]), "another URL"),
        (signed(["u", "ftp://relay.example"], *GOOD[1:]), "another URL"),
        (signed(["u", ""], *GOOD[1:]), "another URL"),
        (signed(GOOD[0], GOOD[2]), "one tag method"),
        (signed(GOOD[0], ["method", "GET"], GOOD[2]), "POST"),
        (signed(*GOOD[:2]), "one tag payload"),
        (signed(*GOOD, GOOD[2]), "one tag payload"),
        (signed(*GOOD[:2], ["payload", sha256(b"").hexdigest()]), "SHA-256"),
    ],
)
def test_what_proves_nothing_is_refused(event: Event, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason):
        check_call(event, SERVICE, BODY, NOW)


def test_below_a_base_the_root_is_another_url() -> None:
    with pytest.raises(InvalidEvent, match="another URL"):
        check_call(signed(*GOOD), "relay.example/services/grasp", BODY, NOW)


@pytest.mark.parametrize("change", [{"sig": "0" * 128}, {"pubkey": Author.from_seed(2).pubkey}])
def test_a_forgery_is_refused(change: dict[str, object]) -> None:
    forged = msgspec.structs.replace(signed(*GOOD), **change)
    with pytest.raises(InvalidEvent, match=r"id is not|signature"):
        check_call(forged, SERVICE, BODY, NOW)
