"""Protected events are taken from their authors, who prove who they are (NIP-42, NIP-70)."""

from __future__ import annotations

from typing import Any

import pytest
import trio.testing

from purgatory_sync.node.relay.client_auth import (
    AUTH_REQUIRED,
    MAX_KEYS,
    OTHERS,
    TOO_MANY,
    Identity,
)
from purgatory_sync.node.relay.relay import NOT_ASKED, PROTECTED
from purgatory_sync.nostr.auth import auth_event
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.events import Author

from .relay_support import MemoryBackend, MemorySocket, plain, talking

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
NOW = 1_800_000_000
SERVICE = "relay.example"
URL = f"wss://{SERVICE}/"


def identify() -> Identity:
    return Identity(SERVICE, lambda: NOW)


def protected(author: Author = ALICE) -> Event:
    return author.sign(1, "mine", [["-"]], NOW)


async def publish(client: MemorySocket, event: Event) -> list[Any]:
    client.say("EVENT", plain(event))
    return [await client.hear()]


async def challenged(client: MemorySocket, event: Event) -> str:
    """The challenge that a client is sent because of an event."""
    client.say("EVENT", plain(event))
    name, challenge = await client.hear()
    assert name == "AUTH"
    assert await client.hear() == ["OK", event.id, False, AUTH_REQUIRED]
    return str(challenge)


async def prove(client: MemorySocket, author: Author, challenge: str, url: str = URL) -> list[Any]:
    proof = auth_event(author.key, url, challenge, NOW)
    client.say("AUTH", plain(proof))
    answer: list[Any] = await client.hear()
    assert answer[:2] == ["OK", proof.id]
    return answer[2:]


async def test_b_10_4_no_client_is_asked_without_need(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    async with talking(backend, identify=identify) as client:
        client.say("REQ", "s", {})
        assert await client.hear() == ["EOSE", "s"]
        client.say("EVENT", plain(ALICE.sign(1, "", [["t", "-"]], NOW)))
        assert {(await client.hear())[0] for _ in range(2)} == {"OK", "EVENT"}
        client.say("COUNT", "n", {})
        assert await client.hear() == ["COUNT", "n", {"count": 1}]


async def test_b_10_4_a_protected_event_is_taken_from_its_author_after_auth(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend, event = MemoryBackend(), protected()
    async with talking(backend, identify=identify) as client:
        challenge = await challenged(client, event)
        assert await prove(client, ALICE, challenge) == [True, ""]
        client.say("EVENT", plain(event))
        assert await client.hear() == ["OK", event.id, True, ""]
        assert backend.events == [event]


async def test_b_10_4_a_protected_event_of_another_is_restricted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend, event = MemoryBackend(), protected()
    async with talking(backend, identify=identify) as client:
        challenge = await challenged(client, event)
        assert await prove(client, BOB, challenge) == [True, ""]
        client.say("EVENT", plain(event))
        assert await client.hear() == ["AUTH", challenge]
        assert await client.hear() == ["OK", event.id, False, OTHERS]
        assert await prove(client, ALICE, challenge) == [True, ""]
        for each in (event, protected(BOB)):
            client.say("EVENT", plain(each))
            assert await client.hear() == ["OK", each.id, True, ""]


async def test_b_10_4_a_challenge_is_one_connection_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    async with (
        talking(backend, identify=identify) as one,
        talking(backend, identify=identify) as other,
    ):
        first, second = await challenged(one, protected()), await challenged(other, protected())
        assert first != second
        why = "invalid: another challenge than the one that this connection was sent"
        assert await prove(one, ALICE, second) == [False, why]
        assert await challenged(one, protected()) == first


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("ws://relay.example", True),
        ("wss://RELAY.example:443/path", True),
        ("wss://relay.example.evil/", False),
        ("wss://evil/relay.example", False),
        ("wss://relay.example:444/", False),
    ],
)
async def test_b_10_4_the_proof_names_our_host_parsed(
    autojump_clock: trio.testing.MockClock, url: str, taken: bool
) -> None:
    async with talking(MemoryBackend(), identify=identify) as client:
        challenge = await challenged(client, protected())
        accepted, why = await prove(client, ALICE, challenge, url)
        assert accepted is taken
        assert why == ("" if taken else "invalid: the relay tag of AUTH names another relay")


async def test_b_10_4_keys_and_proofs_are_limited(autojump_clock: trio.testing.MockClock) -> None:
    identity = identify()
    for seed in range(1, MAX_KEYS + 1):
        author = Author.from_seed(seed)
        assert identity.prove(auth_event(author.key, URL, identity.challenge, NOW)) == ""
    one_more = Author.from_seed(MAX_KEYS + 1)
    assert identity.prove(auth_event(one_more.key, URL, identity.challenge, NOW)) == TOO_MANY
    assert identity.prove(auth_event(ALICE.key, URL, identity.challenge, NOW)) == ""
    settings = RelaySettings(events_per_minute=1)
    async with talking(MemoryBackend(), settings, identify=identify) as client:
        challenge = await challenged(client, protected())
        accepted, why = await prove(client, ALICE, challenge)
        assert (accepted, why) == (False, "rate-limited: at most 1 events a minute: wait 60 s")


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ('["AUTH"]', ["NOTICE", 'invalid: a proof is sent as ["AUTH", {…}]']),
        ('["AUTH","challenge"]', None),
        ('["AUTH",{"id":"7"}]', None),
    ],
)
async def test_b_10_4_nonsense_is_answered(
    autojump_clock: trio.testing.MockClock, raw: str, answer: list[Any] | None
) -> None:
    async with talking(MemoryBackend(), identify=identify) as client:
        client.say_raw(raw)
        heard = await client.hear()
        assert heard == answer or heard[0] in ("NOTICE", "OK")
        assert heard[-1].startswith("invalid: ")


async def test_b_10_4_a_relay_that_asks_no_client_takes_no_protected_event(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(MemoryBackend()) as client:
        event = protected()
        assert await publish(client, event) == [["OK", event.id, False, PROTECTED]]
        assert await prove(client, ALICE, "c") == [False, NOT_ASKED]
