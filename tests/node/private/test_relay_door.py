"""Until a member has proven to be one, every message has one answer (B 16.6 to 16.9)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from purgatory_sync.node.private.members import Members
from purgatory_sync.node.private.relay_door import (
    MAX_MESSAGES,
    MAX_WAITING_OF_ADDRESS,
    REMOVED,
    STRANGER,
    TOO_LATE,
    TOO_MANY,
    UNPROVEN,
    RelayDoors,
)
from purgatory_sync.nostr.auth import auth_event
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.clock import WallClock
from purgatory_sync.testing.events import Author

from ..relay.relay_support import MemoryBackend, MemorySocket, in_place, make_event, plain, talking
from .support import ALICE, BOB, EVE, Lists

SERVICE = "relay.example"
URL = f"wss://{SERVICE}"


class Place:
    """A private relay and its list of members."""

    def __init__(self, *, most: int = 100) -> None:
        self.lists = Lists()
        self.clock = WallClock.from_system()
        self.backend = MemoryBackend()
        self.doors = RelayDoors(Members(self.lists), SERVICE, self.clock, most)

    @asynccontextmanager
    async def client(self, peer: str = "192.0.2.1") -> AsyncIterator[MemorySocket]:
        async with in_place(), talking(self.backend, doors=self.doors.door, peer=peer) as client:
            yield client

    def proof(self, author: Author, challenge: str, url: str = URL, off: int = 0) -> Event:
        return auth_event(author.key, url, challenge, self.clock.now() + off)

    async def prove(
        self, client: MemorySocket, author: Author, challenge: str, url: str = URL, off: int = 0
    ) -> list[Any]:
        proof = self.proof(author, challenge, url, off)
        client.say("AUTH", plain(proof))
        answer: list[Any] = await client.hear()
        assert answer[:2] == ["OK", proof.id]
        return answer[2:]

    def remove(self, *left: Author) -> None:
        self.lists.members = tuple(each.npub for each in left)
        self.doors.look_again()


async def challenge(client: MemorySocket) -> str:
    name, text = await client.hear()
    assert name == "AUTH"
    return str(text)


async def ended(client: MemorySocket) -> tuple[int, str] | None:
    with trio.move_on_after(60):
        while client.closed is None:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.1)
    return client.closed


EVENT = make_event(1)
BEFORE = [
    (["EVENT", plain(EVENT)], ["OK", EVENT.id, False, UNPROVEN]),
    (["EVENT", {"id": EVENT.id, "junk": "x" * 100_000}], ["OK", EVENT.id, False, UNPROVEN]),
    (["EVENT", {}], ["NOTICE", UNPROVEN]),
    (["REQ", "s", {}], ["CLOSED", "s", UNPROVEN]),
    (["REQ", "s", {"ids": [EVENT.id]}], ["CLOSED", "s", UNPROVEN]),
    (["REQ", "s", "nonsense"], ["CLOSED", "s", UNPROVEN]),
    (["REQ", "s" * 65, {}], ["NOTICE", UNPROVEN]),
    (["REQ"], ["NOTICE", UNPROVEN]),
    (["COUNT", "n", {}], ["CLOSED", "n", UNPROVEN]),
    (["NEG-OPEN", "g", {}, "61"], ["NEG-ERR", "g", UNPROVEN]),
    (["NEG-MSG", "g", "61"], ["NEG-ERR", "g", UNPROVEN]),
    (["NEG-CLOSE", "g"], ["NOTICE", UNPROVEN]),
    (["CLOSE", "s"], ["NOTICE", UNPROVEN]),
    (["SOMETHING", "s"], ["NOTICE", UNPROVEN]),
    ([], ["NOTICE", UNPROVEN]),
    ("garbage", ["NOTICE", UNPROVEN]),
]


@pytest.mark.parametrize(("message", "answer"), BEFORE, ids=lambda each: str(each)[:20])
async def test_b_16_6_before_a_proof_every_message_is_refused(
    autojump_clock: trio.testing.MockClock, message: Any, answer: Any
) -> None:
    place = Place()
    place.backend.events.append(EVENT)
    async with place.client() as client:
        await challenge(client)
        client.say_raw(json.dumps(message))
        assert await client.hear() == answer
        place.backend.serve(make_event(2))
        await trio.sleep(1)
        assert client.heard_nothing_more()
    assert len(place.backend.events) == 2


async def test_b_16_6_binary_and_broken_text_are_refused_alike(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with Place().client() as client:
        await challenge(client)
        for raw in (b"\xff\x00", "{", '["REQ","\\u0000"]', "[" * 50_000):
            client.say_raw(raw)
            assert (await client.hear())[1] == UNPROVEN


async def test_b_16_6_a_member_is_served_after_the_proof(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    place.backend.events.append(EVENT)
    async with place.client() as client:
        assert await place.prove(client, ALICE, await challenge(client)) == [True, ""]
        client.say("REQ", "s", {})
        assert [(await client.hear())[0] for _ in range(2)] == ["EVENT", "EOSE"]
        other = make_event(3)
        client.say("EVENT", plain(other))  # of another author: the connection is judged
        assert {(await client.hear())[0] for _ in range(2)} == {"OK", "EVENT"}


@pytest.mark.parametrize(("off", "taken"), [(-590, True), (590, True), (-610, False), (610, False)])
async def test_b_16_6_a_proof_may_be_ten_minutes_off(
    autojump_clock: trio.testing.MockClock, off: int, taken: bool
) -> None:
    place = Place()
    async with place.client() as client:
        answer = await place.prove(client, ALICE, await challenge(client), off=off)
        assert answer[0] is taken
        assert taken or answer[1].startswith("auth-required: ")


async def test_b_16_6_the_third_bad_proof_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    place = Place()
    async with place.client() as client:
        good = await challenge(client)
        client.say("AUTH", {"id": "x"})
        assert (await client.hear())[3].startswith("auth-required: ")
        assert (await place.prove(client, ALICE, "another"))[1].startswith("auth-required: ")
        client.say("REQ", "s", {})
        assert await client.hear() == ["CLOSED", "s", UNPROVEN]
        answer = await place.prove(client, ALICE, good, url="wss://elsewhere.example")
        assert answer[1].startswith("auth-required: ")
        assert await ended(client) == (1008, UNPROVEN)


async def test_b_16_6_two_bad_proofs_and_a_good_one_let_a_member_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with place.client() as client:
        good = await challenge(client)
        for _ in range(2):
            assert not (await place.prove(client, ALICE, "another"))[0]
        assert await place.prove(client, ALICE, good) == [True, ""]


async def test_b_16_6_who_proves_nothing_is_let_go_after_half_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with place.client() as client:
        began = trio.current_time()
        await challenge(client)
        assert await ended(client) == (1008, TOO_LATE)
        assert 29 < trio.current_time() - began < 34
    async with place.client() as client:
        await place.prove(client, ALICE, await challenge(client))
        await trio.sleep(100)
        assert client.closed is None


async def test_b_16_6_twenty_messages_are_enough(autojump_clock: trio.testing.MockClock) -> None:
    async with Place().client() as client:
        await challenge(client)
        for _ in range(MAX_MESSAGES):
            client.say("CLOSE", "s")
            assert await client.hear() == ["NOTICE", UNPROVEN]
        assert await ended(client) == (1008, UNPROVEN)


async def test_b_16_6_an_address_has_ten_places_at_the_door(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with trio.open_nursery() as nursery:

        async def knock() -> None:
            async with place.client() as client:
                await challenge(client)
                await trio.sleep(5)

        for _ in range(MAX_WAITING_OF_ADDRESS):
            nursery.start_soon(knock)
        await trio.sleep(1)
        async with place.client() as client:
            await challenge(client)
            assert await ended(client) == (1008, TOO_MANY)
        async with place.client("192.0.2.2") as client:
            assert await place.prove(client, ALICE, await challenge(client)) == [True, ""]
    async with place.client() as client:  # their places are free again
        assert await place.prove(client, ALICE, await challenge(client)) == [True, ""]


async def test_b_16_6_members_take_no_place_at_the_door(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place(most=1)
    async with place.client() as first:
        await place.prove(first, ALICE, await challenge(first))
        async with place.client("192.0.2.2") as second:
            assert await place.prove(second, ALICE, await challenge(second)) == [True, ""]


async def test_b_16_8_a_stranger_is_told_so_and_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with place.client() as client:
        assert await place.prove(client, EVE, await challenge(client)) == [False, STRANGER]
        assert await ended(client) == (1008, STRANGER)


async def test_b_16_8_one_member_among_several_keys_suffices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with place.client() as client:
        text = await challenge(client)
        assert await place.prove(client, ALICE, text) == [True, ""]
        assert await place.prove(client, EVE, text) == [False, STRANGER]
        client.say("REQ", "s", {})
        assert await client.hear() == ["EOSE", "s"]
        protected = EVE.sign(1, "mine", [["-"]], int(place.clock.now()))
        client.say("EVENT", plain(protected))
        assert [(await client.hear())[0] for _ in range(2)] == ["AUTH", "OK"]
    assert place.backend.events == []


async def test_b_16_9_who_is_removed_hears_nothing_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    place.lists.members = (ALICE.npub, BOB.npub)
    async with place.client() as gone, place.client() as stays:
        for client, author in ((gone, ALICE), (stays, BOB)):
            await place.prove(client, author, await challenge(client))
            client.say("REQ", "s", {})
            assert await client.hear() == ["EOSE", "s"]
        began = trio.current_time()
        place.remove(BOB)
        place.backend.serve(EVENT)
        assert await ended(gone) == (1008, REMOVED)
        assert trio.current_time() - began < 1
        assert gone.heard_nothing_more()
        assert (await stays.hear())[0] == "EVENT"


async def test_b_16_9_each_delivery_is_judged_even_before_the_connection_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    place = Place()
    async with place.client() as client:
        await place.prove(client, ALICE, await challenge(client))
        client.say("REQ", "s", {})
        assert await client.hear() == ["EOSE", "s"]
        place.lists.members = (BOB.npub,)  # nothing was told yet
        place.backend.serve(EVENT)
        await trio.sleep(1)
        assert client.heard_nothing_more()
        client.say("REQ", "t", {})
        await trio.sleep(1)
        assert client.heard_nothing_more()
