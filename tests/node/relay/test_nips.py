"""What a stock client tries first: the sentences of NIP-01, 09, 45, against engine and relay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.engine import open_engine
from purgatory_sync.node.composition import _Backend
from purgatory_sync.node.relay.client_auth import Identity
from purgatory_sync.node.relay.relay import Relay
from purgatory_sync.node.relay.subscriptions import Subscriptions
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from .relay_support import MemorySocket, plain

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
NOW, SERVICE = 1_800_000_000, "relay.example"
ANNOUNCED = events.announcement(
    ALICE,
    "repo",
    clone=[f"https://{SERVICE}/{ALICE.npub}/repo.git"],
    relays=[f"wss://{SERVICE}"],
    created_at=NOW - 1000,
)
HERE = ["a", f"30617:{ALICE.pubkey}:repo"]


@attrs.frozen
class Client:
    """One client of the node's relay."""

    socket: MemorySocket

    async def publish(self, event: Event) -> tuple[bool, str]:
        """Both values of OK; what is heard before it is dropped."""
        self.socket.say("EVENT", plain(event))
        while (heard := await self.socket.hear())[:2] != ["OK", event.id]:
            pass
        return heard[2], heard[3]

    async def ask(self, *filters: dict[str, Any], name: str = "s") -> list[str]:
        """The ids of what is stored, in the order in which they come; it stays subscribed."""
        self.socket.say("REQ", name, *filters)
        found: list[str] = []
        while (heard := await self.socket.hear())[0] == "EVENT":
            assert heard[1] == name
            found.append(heard[2]["id"])
        assert heard == ["EOSE", name]
        return found

    async def count(self, *filters: dict[str, Any]) -> int:
        self.socket.say("COUNT", "n", *filters)
        name, query, answer = await self.socket.hear()
        assert (name, query) == ("COUNT", "n")
        return int(answer["count"])


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[Relay]:
    """Engine and relay in virtual time; one announcement is served."""
    store, hub, clock = MemoryStore(), Subscriptions(), clock_at(NOW)
    await store.apply(Change(save=[ANNOUNCED]))
    settings = Settings(domain=SERVICE, git_data_path=folder / "git", relay_data_path=folder)
    identify = partial(Identity, SERVICE, clock.now)
    with blocking_in_place():
        async with open_engine(settings, store=store, notify=hub.broadcast, clock=clock) as engine:
            yield Relay(_Backend(engine), hub, settings.relay, identify)


@asynccontextmanager
async def clients(folder: Path, number: int = 1) -> AsyncIterator[list[Client]]:
    async with node(folder) as relay, trio.open_nursery() as nursery:
        sockets = [MemorySocket() for _ in range(number)]
        for socket in sockets:
            nursery.start_soon(relay.serve, socket)
        yield [Client(socket) for socket in sockets]
        for socket in sockets:
            socket.leave()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with clients(tmp_path) as [one]:
        yield one


def event(
    kind: int = 1111,
    content: str = "",
    *tags: Sequence[str],
    author: Author = ALICE,
    at: int = NOW - 100,
) -> Event:
    """An event that refers to what is here."""
    return author.sign(kind, content, [HERE, *tags], at)


async def published(client: Client, *offered: Event) -> None:
    for each in offered:
        accepted, why = await client.publish(each)
        assert accepted, why


async def test_nip_01_newest_first_and_the_lowest_id_first_on_a_tie(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    tied = [event(content=str(number)) for number in range(4)]
    older, newer = event(content="old", at=NOW - 200), event(content="new", at=NOW - 50)
    await published(client, older, *tied, newer)
    wanted = [newer.id, *sorted(each.id for each in tied), older.id]
    assert await client.ask({"kinds": [1111]}) == wanted
    assert await client.ask({"kinds": [1111], "limit": 3}) == wanted[:3]
    assert await client.ask({"kinds": [1111], "limit": 2}, {"ids": [older.id]}) == [
        *wanted[:2],
        older.id,
    ]


async def test_nip_01_a_limit_of_zero_yields_nothing_stored_and_all_that_is_new(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    await published(client, event())
    assert await client.ask({"kinds": [1111], "limit": 0}) == []
    new = event(content="new")
    client.socket.say("EVENT", plain(new))
    assert sorted([await client.socket.hear() for _ in range(2)], key=str) == [
        ["EVENT", "s", plain(new)],
        ["OK", new.id, True, ""],
    ]


async def test_nip_01_every_condition_of_a_filter_and_any_filter_of_several(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    first = event(1111, "1", ["t", "x"], at=NOW - 300)
    second = event(1111, "2", ["t", "y"], author=BOB, at=NOW - 200)
    third = event(1622, "3", ["t", "x"], ["T", "x"], at=NOW - 100)
    await published(client, first, second, third)
    for filters, wanted in (
        ([{"ids": [first.id, third.id]}], [third, first]),
        ([{"authors": [BOB.pubkey]}], [second]),
        ([{"kinds": [1622]}], [third]),
        ([{"#t": ["x", "z"]}], [third, first]),
        ([{"#T": ["x"]}], [third]),
        ([{"#a": [HERE[1]], "kinds": [1111]}], [second, first]),
        ([{"since": NOW - 200, "until": NOW - 200}], [second]),
        ([{"since": NOW - 200}], [third, second]),
        ([{"until": NOW - 200, "kinds": [1111]}], [second, first]),
        ([{"kinds": [1111], "authors": [ALICE.pubkey], "#t": ["x"]}], [first]),
        ([{"kinds": [1622]}, {"authors": [BOB.pubkey]}], [third, second]),
        ([{"kinds": []}], []),
        ([{"ids": []}], []),
        ([{"#t": []}], []),
    ):
        assert await client.ask(*filters) == [each.id for each in wanted], filters
        assert await client.count(*filters) == len(wanted)


async def test_nip_01_an_id_of_a_subscription_is_one_connections_and_the_last_req_counts(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with clients(tmp_path, 3) as [one, other, author]:
        assert await one.ask({"kinds": [1111]}) == []
        assert await one.ask({"kinds": [1622]}) == []
        assert await other.ask({"kinds": [1111]}) == []
        await published(author, event(1111), event(1622))
        assert (await one.socket.hear())[2]["kind"] == 1622
        assert (await other.socket.hear())[2]["kind"] == 1111
        one.socket.say("CLOSE", "s")
        await trio.sleep(1)
        await published(author, event(1622, "more"), event(1111, "more"))
        assert (await other.socket.hear())[2]["content"] == "more"
        assert one.socket.heard_nothing_more()


async def test_nip_01_ok_says_what_became_of_an_event(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    good = event()
    assert await client.publish(good) == (True, "")
    accepted, why = await client.publish(good)
    assert accepted
    assert why.startswith("duplicate: ")
    forged = plain(event(content="forged"))
    for change in ({"sig": "0" * 128}, {"content": "other"}, {"kind": 65536}, {"id": "0" * 64}):
        client.socket.say("EVENT", {**forged, **change})
        name, event_id, accepted, why = await client.socket.hear()
        assert (name, event_id, accepted) == ("OK", {**forged, **change}["id"], False)
        assert why.startswith("invalid: ")


async def test_nip_01_fields_that_are_none_of_an_events_are_not_served(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    offered = event()
    client.socket.say("EVENT", {**plain(offered), "seen_on": "wss://x"})
    assert (await client.socket.hear())[2]
    client.socket.say("REQ", "s", {"ids": [offered.id]})
    assert await client.socket.hear() == ["EVENT", "s", plain(offered)]


@pytest.mark.parametrize(("kind", "tags"), [(10002, []), (0, []), (3, []), (30023, [["d", "x"]])])
async def test_nip_01_replaceable_and_addressable_events(
    client: Client, autojump_clock: trio.testing.MockClock, kind: int, tags: list[list[str]]
) -> None:
    old = event(kind, "old", *tags, at=NOW - 200)
    tied = sorted((event(kind, str(n), *tags) for n in range(3)), key=lambda each: each.id)
    others = event(kind, "other", *tags, author=BOB)
    await published(client, old, tied[1], others)
    assert await client.ask({"kinds": [kind], "authors": [ALICE.pubkey]}) == [tied[1].id]
    for each in (old, tied[2]):
        accepted, why = await client.publish(each)
        assert accepted
        assert why.startswith("duplicate: ")
    await published(client, tied[0])
    assert await client.ask({"kinds": [kind], "authors": [ALICE.pubkey]}) == [tied[0].id]
    assert await client.ask({"ids": [old.id, tied[1].id]}) == []
    assert await client.count({"kinds": [kind]}) == 2


async def test_nip_01_addressable_events_with_another_d_stand_beside(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = event(30023, "", ["d", "x"]), event(30023, "", ["d", "y"])
    unnamed = event(30023)
    await published(client, first, second, unnamed)
    assert await client.count({"kinds": [30023]}) == 3
    assert await client.ask({"#d": ["y"]}) == [second.id]


async def test_nip_01_ephemeral_events_are_told_and_not_kept(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    assert await client.ask({"kinds": [20001, 29999]}) == []
    for kind in (20001, 29999):
        passing = event(kind)
        client.socket.say("EVENT", plain(passing))
        heard = sorted([await client.socket.hear() for _ in range(2)], key=str)
        assert heard == [["EVENT", "s", plain(passing)], ["OK", passing.id, True, ""]]
        assert await client.ask({"ids": [passing.id]}, name="t") == []


async def test_nip_01_nonsense_is_noticed_and_the_connection_lives(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    for raw in ("", "nonsense", "[]", "{}", '["EVENT"]', '["REQ"]', '["WHAT","s"]', "null"):
        client.socket.say_raw(raw)
        name, why = await client.socket.hear()
        assert name == "NOTICE"
        assert why.startswith("invalid: ")
    client.socket.say("REQ", "bad", {"ids": "no list"})
    name, subscription, why = await client.socket.hear()
    assert (name, subscription) == ("CLOSED", "bad")
    assert why.startswith("invalid: ")
    assert await client.ask({"kinds": [1]}) == []


async def test_nip_09_a_request_ends_its_authors_events_and_is_served(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    mine, kept, others = event(content="1"), event(content="2"), event(author=BOB)
    await published(client, mine, kept, others)
    request = ALICE.sign(5, "", [["e", mine.id], ["e", others.id], ["k", "1111"]], NOW - 50)
    await published(client, request)
    assert set(await client.ask({"kinds": [1111]})) == {kept.id, others.id}
    assert await client.ask({"kinds": [5]}) == [request.id]
    accepted, why = await client.publish(mine)
    assert not accepted
    assert why == "invalid: deleted by its author"
    again = ALICE.sign(5, "", [["e", request.id]], NOW - 40)
    await published(client, again)
    assert await client.count({"kinds": [5]}) == 2


async def test_nip_09_an_address_ends_versions_up_to_the_request(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    old = event(30023, "old", ["d", "x"], at=NOW - 200)
    await published(client, old)
    await published(client, ALICE.sign(5, "", [["a", f"30023:{ALICE.pubkey}:x"]], NOW - 100))
    assert await client.ask({"kinds": [30023]}) == []
    accepted, _ = await client.publish(event(30023, "as old", ["d", "x"], at=NOW - 100))
    assert not accepted
    newer = event(30023, "new", ["d", "x"], at=NOW - 99)
    await published(client, newer)
    await published(client, BOB.sign(5, "", [["a", f"30023:{ALICE.pubkey}:x"]], NOW))
    assert await client.ask({"kinds": [30023]}) == [newer.id]


async def test_nip_09_a_request_that_comes_first_keeps_its_target_out(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    target = event()
    await published(client, ALICE.sign(5, "", [["e", target.id]], NOW))
    assert await client.publish(target) == (False, "invalid: deleted by its author")


async def test_nip_42_proofs_are_neither_stored_nor_served(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    proof = ALICE.sign(22242, "", [HERE, ["challenge", "c"]], NOW)
    assert await client.ask({"kinds": [22242]}) == []
    accepted, why = await client.publish(proof)
    assert not accepted
    assert why == "invalid: kind 22242 proves who a client is: send it as AUTH"
    assert client.socket.heard_nothing_more()


async def test_nip_70_a_protected_event_is_taken_from_its_author_and_read_by_all(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    mine = event(1111, "mine", ["-"])
    client.socket.say("EVENT", plain(mine))
    name, challenge = await client.socket.hear()
    assert name == "AUTH"
    assert (await client.socket.hear())[3].startswith("auth-required: ")
    proof = ALICE.sign(22242, "", [["relay", f"wss://{SERVICE}"], ["challenge", challenge]], NOW)
    client.socket.say("AUTH", plain(proof))
    assert await client.socket.hear() == ["OK", proof.id, True, ""]
    await published(client, mine)
    assert await client.ask({"kinds": [1111]}) == [mine.id]


async def test_nip_62_a_request_to_vanish_takes_all_and_nothing_comes_back(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    mine, others = event(), event(author=BOB)
    await published(client, mine, others)
    elsewhere = events.vanish(ALICE, relays=["wss://other.example"], created_at=NOW)
    accepted, why = await client.publish(elsewhere)
    assert (accepted, why[:9]) == (False, "invalid: ")
    gone = events.vanish(ALICE, relays=[f"wss://{SERVICE}/"], created_at=NOW)
    await published(client, gone)
    assert await client.ask({}) == [gone.id, others.id]
    for each in (mine, ANNOUNCED):
        accepted, why = await client.publish(each)
        assert (accepted, why[:9]) == (False, "blocked: ")
    assert await client.count({"authors": [ALICE.pubkey]}) == 1
