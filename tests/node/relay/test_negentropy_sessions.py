"""Negentropy as clients see it (NIP-77)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from purgatory_sync.node.relay import negentropy_sessions
from purgatory_sync.node.relay.negentropy_sessions import (
    IDLE_SECS,
    MAX_MESSAGE_BYTES,
    ClientReconciling,
    Reconciling,
)
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.reconciliation.inventory import Inventory
from purgatory_sync.nostr.reconciliation.negentropy import advance, open_message
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing.log_capture import capture_logs

from .relay_support import MemoryBackend, MemorySocket, make_event, plain, talking

NOTHING = open_message(Inventory()).hex()
NO_SESSION = "closed: no such session, or it was silent: open it"
TOO_MUCH = "blocked: too much is being reconciled: ask by REQ"


def backend_with(count: int) -> MemoryBackend:
    backend = MemoryBackend()
    backend.events = [make_event(n) for n in range(count)]
    return backend


def inventory_of(events: list[Event]) -> Inventory:
    return Inventory((event.created_at, event.id) for event in events)


async def reconciled(
    client: MemorySocket, inventory: Inventory, wanted: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """What a client with this inventory learns: ids that only it has, ids that it lacks."""
    have: set[str] = set()
    need: set[str] = set()
    message: bytes | None = open_message(inventory)
    client.say("NEG-OPEN", "n", wanted, (message or b"").hex())
    while message is not None:
        name, session, answer = await client.hear()
        assert (name, session) == ("NEG-MSG", "n")
        message, difference = advance(inventory, bytes.fromhex(answer), 60_000)
        have.update(difference.have)
        need.update(difference.need)
        if message is not None:
            client.say("NEG-MSG", "n", message.hex())
    client.say("NEG-CLOSE", "n")
    return sorted(have), sorted(need)


async def test_a_client_learns_what_it_lacks(autojump_clock: trio.testing.MockClock) -> None:
    backend = backend_with(300)
    theirs = [*backend.events[50:], make_event(1_000)]
    async with talking(backend) as client:
        have, need = await reconciled(client, inventory_of(theirs), {"kinds": [1]})
        assert have == [make_event(1_000).id]
        assert need == sorted(event.id for event in backend.events[:50])
        few = backend.events[7]
        assert await reconciled(client, Inventory(), {"#t": ["7"]}) == ([], [few.id])
        client.say("EVENT", plain(make_event(2_000)))
        assert await client.hear() == ["OK", make_event(2_000).id, True, ""]
        assert client.heard_nothing_more()


async def test_subscriptions_of_the_same_id_are_something_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(backend_with(0)) as client:
        client.say("REQ", "n", {"kinds": [1]})
        assert await client.hear() == ["EOSE", "n"]
        assert await reconciled(client, Inventory(), {}) == ([], [])
        client.say("EVENT", plain(make_event(1)))
        assert await client.hear() == ["EVENT", "n", plain(make_event(1))]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (["NEG-OPEN", "n", {"limits": 1}, "61"], "unknown filter field 'limits': remove it"),
        (["NEG-OPEN", "n", {}], "NEG-OPEN has its id, one filter and a message in hex"),
        (["NEG-OPEN", "n", {}, "6"], "NEG-OPEN has its id, one filter and a message in hex"),
        (["NEG-OPEN", "n", {}, 61], "NEG-OPEN has its id, one filter and a message in hex"),
        (["NEG-MSG", "n", "zz"], "NEG-MSG has its id and a message in hex"),
        (["NEG-OPEN", "n", {}, "6100"], "the message ends too early"),
        (["NEG-OPEN", "n", {}, ""], "a negentropy message begins with its version"),
    ],
)
async def test_nonsense(
    autojump_clock: trio.testing.MockClock, said: list[Any], answer: str
) -> None:
    async with talking(backend_with(3)) as client:
        client.say(*said)
        assert await client.hear() == ["NEG-ERR", "n", f"invalid: {answer}"]
        client.say("NEG-MSG", "n", NOTHING)
        assert await client.hear() == ["NEG-ERR", "n", NO_SESSION]


async def test_a_session_ends_with_the_error_that_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(backend_with(3)) as client:
        for nonsense in (["NEG-MSG", "n", "zz"], ["NEG-OPEN", "n", {"limits": 1}, NOTHING]):
            client.say("NEG-OPEN", "n", {}, NOTHING)
            assert (await client.hear())[0] == "NEG-MSG"
            client.say(*nonsense)
            assert (await client.hear())[0] == "NEG-ERR"
            client.say("NEG-MSG", "n", NOTHING)
            assert await client.hear() == ["NEG-ERR", "n", NO_SESSION]


async def test_a_relay_of_another_version_says_which_it_speaks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(backend_with(3)) as client:
        client.say("NEG-OPEN", "n", {}, "62")
        assert await client.hear() == ["NEG-MSG", "n", "61"]


async def test_a_failed_look_up(autojump_clock: trio.testing.MockClock) -> None:
    with capture_logs():
        async with talking(backend_with(3)) as client:
            client.say("NEG-OPEN", "n", {"kinds": [667]}, NOTHING)
            assert await client.hear() == ["NEG-ERR", "n", negentropy_sessions.LOOK_UP_FAILED]


async def test_limits_of_one_client(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negentropy_sessions, "MAX_ITEMS", 10)
    monkeypatch.setattr(negentropy_sessions, "MAX_CLIENT_ITEMS", 20)
    monkeypatch.setattr(negentropy_sessions, "MAX_SESSIONS", 3)
    backend = backend_with(11)
    async with talking(backend) as client:

        async def opened(name: str, **wanted: Any) -> list[str]:
            client.say("NEG-OPEN", name, wanted, NOTHING)
            said, session, text = await client.hear()
            assert session == name
            return [said] if said == "NEG-MSG" else [said, text]

        too_big = "blocked: this query is too big: over 10 events match, narrow it"
        assert await opened("a") == ["NEG-ERR", too_big]
        ten = [event.id for event in backend.events[:10]]
        assert await opened("a", ids=ten) == ["NEG-MSG"]
        assert await opened("b", ids=ten) == ["NEG-MSG"]
        assert await opened("c", ids=ten[:1]) == ["NEG-ERR", TOO_MUCH]
        # The same id again takes the place of what it was.
        assert await opened("b", ids=ten[:9]) == ["NEG-MSG"]
        assert await opened("c", ids=ten[:1]) == ["NEG-MSG"]
        many = "blocked: at most 3 sessions a connection: close one first"
        assert await opened("d", ids=[]) == ["NEG-ERR", many]
        client.say("NEG-CLOSE", "a")
        assert await opened("d", ids=ten) == ["NEG-MSG"]


def everybody(count: int) -> Reconciling:
    async def look_up(condition: Filter, limit: int) -> Inventory:
        await trio.lowlevel.checkpoint()
        return inventory_of([make_event(n) for n in range(count)])

    return Reconciling(look_up)


async def test_all_clients_share_the_room_and_who_idles_makes_some(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(negentropy_sessions, "MAX_ALL_ITEMS", 20)
    shared, hello = everybody(10), bytes.fromhex(NOTHING)
    one, two, three = (ClientReconciling(shared) for _ in range(3))
    await one.open("n", Filter(), hello)
    await trio.sleep(1)
    await two.open("n", Filter(), hello)
    assert TOO_MUCH in (await three.open("n", Filter(), hello)).decode()
    await trio.sleep(IDLE_SECS - 1)
    # The first has been silent long enough, unless it goes on.
    assert b"NEG-MSG" in await one.advance("n", hello)
    assert TOO_MUCH in (await three.open("n", Filter(), hello)).decode()
    await trio.sleep(1)
    assert b"NEG-MSG" in await three.open("n", Filter(), hello)
    assert shared.items == 20
    assert NO_SESSION in (await two.advance("n", hello)).decode()
    assert b"NEG-MSG" in await one.advance("n", hello)
    for client in (one, two, three):
        client.leave()
    assert shared.items == 0


async def test_nothing_is_left_of_a_client_that_leaves(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Reconciling] = []

    def keep(look_up: Any) -> Reconciling:
        made.append(Reconciling(look_up))
        return made[-1]

    monkeypatch.setattr("purgatory_sync.node.relay.relay.Reconciling", keep)
    async with talking(backend_with(5)) as client:
        client.say("NEG-OPEN", "n", {}, NOTHING)
        await client.hear()
        assert made[0].items == 5
    assert made[0].items == 0


async def test_long_messages_are_answered_beside_the_loop_and_endless_ones_are_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client = ClientReconciling(everybody(3))
    agreed = Inventory().fingerprint(0, 0)
    long = b"\x61" + (b"\x01\x00\x01" + agreed) * 1_000
    with blocking_in_place():
        assert b'"NEG-MSG","n","61"' in await client.open("n", Filter(), long)
    endless = await client.advance("n", bytes(MAX_MESSAGE_BYTES + 1))
    assert b"invalid: a message has at most 262144 bytes" in endless
