"""The service's own kinds 0 and 10002: served here, told where the operator wants it (B 13.16)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.node.composition import described
from purgatory_sync.node.identity.service_identity import ServiceIdentity
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import RelaySettings, Settings, SyncSettings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at
from purgatory_sync.testing.relay_server import RelayServer

from ..upstream.support import Network

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)
NOW, SERVICE = 1_800_000_000, "grasp.example.com"
FIRST, SECOND = "ws://one.example", "ws://two.example"
THEIRS = OWNER.sign(0, '{"name":"by hand"}', [], NOW - 1000)


class Index(RelayServer):
    """A relay that can be made to refuse what it is sent; `http` and `talk` are a listener's."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: list[Event] = []
        self.refuses = ""

    async def offer(self, event: Event) -> tuple[bool, str]:
        self.offered.append(event)
        return (False, self.refuses) if self.refuses else await super().offer(event)

    def as_scripted(self) -> Any:
        async def http(exchange: Any) -> None:
            await exchange.respond(404)

        return SimpleNamespace(http=http, talk=self._talk)


class World:
    """A service whose store lasts over starts, and two index relays."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            domain=SERVICE,
            git_data_path=folder / "git",
            relay=RelaySettings(publish_identity=True),
            sync=SyncSettings(user_index_relays=(FIRST, SECOND)),
        )
        self.store = MemoryStore()
        self.network = Network()
        self.one, self.two = Index(), Index()

    def relay(self, **changes: Any) -> None:
        self.settings = attrs.evolve(
            self.settings, relay=attrs.evolve(self.settings.relay, **changes)
        )

    @asynccontextmanager
    async def running(self, down: bool = False) -> AsyncIterator[PurgatorySync]:
        """An engine, and the identity beside it."""
        self.network = Network()
        with blocking_in_place():
            async with trio.open_nursery() as nursery:
                for host, index in (("one.example", self.one), ("two.example", self.two)):
                    relay = None if down else index.as_scripted()
                    await self.network.add(nursery, host, relay)
                opened = open_engine(
                    self.settings,
                    store=self.store,
                    gate=self.network.gate(),
                    clock=clock_at(NOW),
                    choose_key=lambda known: OWNER.pubkey,
                )
                async with opened as engine:
                    info = lambda: described(self.settings, engine, OWNER.pubkey)  # noqa: E731
                    identity = ServiceIdentity(engine, OWNER.key, info, clock_at(NOW))
                    nursery.start_soon(identity.run)
                    await trio.sleep(5)
                    yield engine
                    nursery.cancel_scope.cancel()

    async def served(self) -> list[Event]:
        found = await self.store.query([Filter(authors=frozenset({OWNER.pubkey}))], 10)
        return sorted(found, key=lambda event: event.kind)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def on(index: Index) -> list[Event]:
    return sorted(await index.store.query([Filter()], 10), key=lambda event: event.kind)


@pytest.mark.parametrize("changes", [{"publish_identity": False}, {}])
async def test_b_13_16_with_publishing_off_nothing_is_dialled(
    world: World, autojump_clock: MockClock, changes: dict[str, bool]
) -> None:
    world.relay(**changes)
    if not changes:
        world.settings = attrs.evolve(world.settings, sync=SyncSettings(user_index_relays=()))
    async with world.running():
        assert [event.kind for event in await world.served()] == [0, 10002]
        await trio.sleep(2000)
        assert world.network.attempts == []


async def test_b_13_16_it_is_made_once_and_told_to_each_relay(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.running():
        served = await world.served()
        assert [event.kind for event in served] == [0, 10002]
        assert await on(world.one) == await on(world.two) == served
        attempts = len(world.network.attempts)
        await trio.sleep(2000)
        assert len(world.network.attempts) == attempts == 2
    async with world.running():
        assert await world.served() == served
    assert len(world.one.offered) == len(world.two.offered) == 2


async def test_b_13_16_it_is_signed_anew_only_when_the_content_changes(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.running():
        profile, relays = await world.served()
    world.relay(description="For our team")
    async with world.running():
        newer, same = await world.served()
        assert same == relays
        assert newer.created_at > profile.created_at
        assert await on(world.one) == await on(world.two) == [newer, relays]


@pytest.mark.parametrize("at", [-1000, 500])
async def test_b_13_16_what_an_index_has_is_taken_over_and_never_replaced(
    world: World, autojump_clock: MockClock, at: int
) -> None:
    theirs = OWNER.sign(0, '{"name":"by hand"}', [], NOW + at)
    await world.one.publish([theirs])
    async with world.running():
        assert (await world.served())[0] == theirs
    world.relay(description="For our team")
    async with world.running():
        assert (await world.served())[0] == theirs
    assert (await on(world.one))[0] == theirs
    assert [event.kind for event in world.one.offered] == [10002]


async def test_b_13_16_what_was_made_before_publishing_gives_way(
    world: World, autojump_clock: MockClock
) -> None:
    """Even where it is newer: no relay ever saw it."""
    world.relay(publish_identity=False)
    async with world.running():
        assert len(await world.served()) == 2
    await world.one.publish([THEIRS])
    await world.two.publish([THEIRS])
    world.relay(publish_identity=True)
    async with world.running():
        assert (await world.served())[0] == THEIRS
    assert [event.kind for event in world.two.offered] == [10002]


async def test_b_13_16_nothing_is_made_before_a_relay_was_asked(
    world: World, autojump_clock: MockClock
) -> None:
    """Retries come after 60 s, doubling to 15 min."""
    async with world.running(down=True):
        await trio.sleep(4000)
        assert await world.served() == []
        times = [round(at) for at, host in world.network.attempts if host == "one.example"]
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == [60, 120, 240, 480, 900, 900, 900]


async def test_b_13_16_a_relay_that_refuses_is_asked_again_before_it_is_told(
    world: World, autojump_clock: MockClock
) -> None:
    world.one.refuses = "blocked: not now"
    async with world.running():
        assert len(await on(world.two)) == 2
        assert [event.kind for event in world.one.offered] == [0]
        await world.one.publish([THEIRS])
        world.one.refuses = ""
        await trio.sleep(60)
        assert [event.kind for event in world.one.offered] == [0, 10002]
        assert (await on(world.one))[0] == THEIRS
        assert (await world.served())[0] == THEIRS


async def test_b_13_16_a_forged_profile_is_not_taken_over(
    world: World, autojump_clock: MockClock
) -> None:
    forged = Event(THEIRS.id, THEIRS.pubkey, THEIRS.created_at, 0, (), "{}", THEIRS.sig)
    await world.one.publish([forged])
    await world.two.publish([forged])
    async with world.running():
        assert forged not in await world.served()
        assert len(await world.served()) == 2


async def test_b_13_16_others_profiles_are_judged_as_ever(
    world: World, autojump_clock: MockClock
) -> None:
    """And what refers to the service's profile is not anchored by it."""
    world.relay(publish_identity=False)
    async with world.running() as engine:
        profile, relays = await world.served()
        reply = STRANGER.sign(1, "spam", [["e", profile.id], ["a", f"10002:{OWNER.pubkey}:"]], NOW)
        for event in (
            STRANGER.sign(0, "{}", [], NOW),
            STRANGER.sign(10002, "", [["r", "wss://x.example"]], NOW),
            OWNER.sign(1, "a note of the service", [], NOW),
            reply,
        ):
            answer = await engine.offer(event, "user")
            assert answer.message.startswith("invalid: must reference")
        assert await world.served() == [profile, relays]


async def test_b_13_16_the_service_does_not_visit_itself(
    world: World, autojump_clock: MockClock
) -> None:
    listed = (f"wss://{SERVICE}", SECOND)
    world.settings = attrs.evolve(world.settings, sync=SyncSettings(user_index_relays=listed))
    async with world.running():
        assert len(await on(world.two)) == 2
        assert {host for _, host in world.network.attempts} == {"two.example"}
