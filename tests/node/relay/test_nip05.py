"""NIP-05: the service's key by the name `_` (B 13.6)."""

from __future__ import annotations

import json

import attrs
import pytest
import trio.testing

from purgatory_sync.node.relay.nip05 import asked_name, document

from ..test_routes import ask, make_app
from .test_nip11 import make_info


@pytest.mark.parametrize("query", ["", "?name=_", "?x=1", "?name=_&name=other", "?name=%5F"])
async def test_b_13_6_the_service_is_known_by_an_underscore(
    autojump_clock: trio.testing.MockClock, query: str
) -> None:
    info = make_info()
    status, head, body = await ask(make_app(), "GET", f"/.well-known/nostr.json{query}")
    assert status == 200
    assert json.loads(body)["names"] == {"_": info.pubkey}
    assert b"content-type: application/json" in head
    assert b"cache-control: max-age=300" in head
    assert head.count(b"access-control-allow-origin: *") == 1


@pytest.mark.parametrize("query", ["?name=bob", "?name=", "?name=__", "?" + "a=1&" * 100])
async def test_b_13_6_other_names_have_no_key(
    autojump_clock: trio.testing.MockClock, query: str
) -> None:
    status, _, body = await ask(make_app(), "GET", f"/.well-known/nostr.json{query}")
    assert (status, json.loads(body)) == (200, {"names": {}})


async def test_b_13_6_it_is_read_with_get(autojump_clock: trio.testing.MockClock) -> None:
    assert (await ask(make_app(), "POST", "/.well-known/nostr.json"))[0] == 405
    assert (await ask(make_app(), "HEAD", "/.well-known/nostr.json"))[0] == 200


@pytest.mark.parametrize(
    ("service", "relay"),
    [
        ("git.example.org", "wss://git.example.org"),
        ("127.0.0.1:7334", "ws://127.0.0.1:7334"),
    ],
)
def test_b_13_6_relays_are_named_by_how_they_are_reached(service: str, relay: str) -> None:
    info = attrs.evolve(make_info(), service=service)
    assert json.loads(document(info, "_"))["relays"] == {info.pubkey: [relay]}


def test_a_query_is_read_once() -> None:
    assert asked_name("name=a&name=b") == "a"
