"""Relays that only announcements name come and go with them, however these leave (B 10.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.node.event_listeners import EventListeners
from purgatory_sync.node.upstream.bridge import Following
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import PurgatorySettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at

from ...git.local_repos import add_pack, history

SERVICE, NOW = "grasp.example.com", 1_800_000_000
OWNER, OTHER = Author.from_seed(1), Author.from_seed(2)
THEIRS = "wss://relay.example"


async def resolve(host: str) -> list[str]:
    return ["198.41.0.4"]


async def connect(address: str, port: int) -> trio.abc.HalfCloseableStream:
    raise ConnectionRefusedError


def announce(*relays: str, age: int = 100, listed: bool = True, author: Author = OWNER) -> Event:
    ours = SERVICE if listed else "elsewhere.example.com"
    return events.announcement(
        author,
        "repo",
        clone=[f"https://{ours}/{author.npub}/repo.git"],
        relays=[f"wss://{ours}", *relays],
        created_at=NOW - age,
    )


def deletion_of(author: Author) -> Event:
    return author.sign(5, "", [("a", str(author.coordinate("repo")))], NOW)


class Node:
    """An engine and what follows relays, without the rest of a node."""

    def __init__(self, folder: Path) -> None:
        quick = PurgatorySettings(soft_expiry_secs=600.0)
        self.settings = Settings(domain=SERVICE, git_data_path=folder / "git", purgatory=quick)
        self.store = MemoryStore()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[PurgatorySync, Following]]:
        heard = EventListeners()
        opened = open_engine(
            self.settings,
            store=self.store,
            notify=heard.served,
            held=heard.held,
            gone=heard.gone,
            gate=Gate(resolve=resolve, connect=connect),
            clock=clock_at(NOW),
        )
        with blocking_in_place():
            async with opened as engine, trio.open_nursery() as nursery:
                following = Following(self.settings, engine)
                heard.add(following)
                nursery.start_soon(following.run)
                yield engine, following
                nursery.cancel_scope.cancel()

    async def serve(self, engine: PurgatorySync, event: Event) -> None:
        """Publish an announcement and the data by which it is served."""
        assert (await engine.offer(event, "user")).outcome is Outcome.HELD
        (step,) = history(1)
        path = self.settings.git_data_path / encode_npub(event.pubkey) / "repo.git"
        add_pack(path, step.objects)
        author = next(each for each in (OWNER, OTHER) if each.pubkey == event.pubkey)
        state = events.state(author, "repo", {"refs/heads/main": step.oid}, created_at=NOW - 50)
        assert (await engine.offer(state, "user")).outcome is Outcome.SERVED
        assert event.id in await self.store.served_ids([event.id])


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


async def followed(following: Following) -> set[str]:
    await trio.sleep(3)
    return {each.url for each in following.relays()}


@pytest.mark.parametrize("by", ["e", "a"])
@pytest.mark.parametrize("served", [True, False])
async def test_b_10_2_deleted(node: Node, autojump_clock: MockClock, by: str, served: bool) -> None:
    announced = announce(THEIRS)
    async with node.running() as (engine, following):
        if served:
            await node.serve(engine, announced)
        else:
            await engine.offer(announced, "user")
        assert await followed(following) == {THEIRS}
        name = announced.id if by == "e" else str(OWNER.coordinate("repo"))
        request = OWNER.sign(5, "", [(by, name)], NOW)
        assert (await engine.offer(request, "user")).outcome is Outcome.SERVED
        assert await followed(following) == set()


@pytest.mark.parametrize("served", [True, False])
async def test_b_10_2_replaced_by_one_without_that_relay(
    node: Node, autojump_clock: MockClock, served: bool
) -> None:
    first = announce(THEIRS, "wss://stays.example")
    async with node.running() as (engine, following):
        if served:
            await node.serve(engine, first)
        else:
            await engine.offer(first, "user")
        assert await followed(following) == {THEIRS, "wss://stays.example"}
        await engine.offer(announce("wss://stays.example", age=10), "user")
        assert await followed(following) == {"wss://stays.example"}


@pytest.mark.parametrize("served", [True, False])
async def test_b_10_2_delisted_or_evicted(
    node: Node, autojump_clock: MockClock, served: bool
) -> None:
    first = announce(THEIRS)
    async with node.running() as (engine, following):
        if served:
            await node.serve(engine, first)
        else:
            await engine.offer(first, "user")
        assert await followed(following) == {THEIRS}
        away = announce(THEIRS, age=10, listed=False)
        assert (await engine.offer(away, "sync")).outcome is Outcome.REFUSED
        assert await followed(following) == set()


async def test_b_10_2_expired(node: Node, autojump_clock: MockClock) -> None:
    async with node.running() as (engine, following):
        await engine.offer(announce(THEIRS), "user")
        await trio.sleep(1_900)
        assert await followed(following) == {THEIRS}, "a state may revive it"
        await trio.sleep(660)
        assert await followed(following) == set()


async def test_b_10_2_a_relay_that_others_name_stays(node: Node, autojump_clock: MockClock) -> None:
    async with node.running() as (engine, following):
        await engine.offer(announce(THEIRS), "user")
        await engine.offer(announce(THEIRS, author=OTHER), "user")
        await trio.sleep(3)
        (look,) = following.relays()
        assert (look.found, look.owners) == ("announcement", 2)
        await engine.offer(deletion_of(OWNER), "user")
        (look,) = following.relays()
        assert await followed(following) == {THEIRS}
        assert look.owners == 1


async def test_b_10_2_after_a_restart_only_what_is_here_names_relays(
    node: Node, autojump_clock: MockClock
) -> None:
    async with node.running() as (engine, following):
        await node.serve(engine, announce(THEIRS))
        await engine.offer(announce("wss://two.example", author=OTHER), "user")
        assert await followed(following) == {THEIRS, "wss://two.example"}
    async with node.running() as (engine, following):
        assert await followed(following) == {THEIRS, "wss://two.example"}
        await engine.offer(deletion_of(OTHER), "user")
        assert await followed(following) == {THEIRS}
    async with node.running() as (_, following):
        assert await followed(following) == {THEIRS}
