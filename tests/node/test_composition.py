"""What stands between strangers and the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from purgatory_sync.engine import open_engine
from purgatory_sync.engine.status.models import Statistics
from purgatory_sync.errors import ResultClass, TooMuchWork
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics, HuntStatistics
from purgatory_sync.node.composition import LANES, _Backend, _snapshot
from purgatory_sync.node.git_http.receive_pack_http import GitPush
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.settings import Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.sqlite import READERS
from purgatory_sync.testing.events import Author, announcement

READS_AT_ONCE = sum(places for places, _ in LANES)


@attrs.define
class SlowStore:
    """Every read takes a second; remembers how many there were at once."""

    now: int = 0
    most: int = 0

    async def find(
        self, _filters: Sequence[Filter], _limit: int, *, most_work: int | None = None
    ) -> list[str]:
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.sleep(1)
        self.now -= 1
        return ["0" * 64]

    async def query(self, filters: Sequence[Filter], limit: int) -> list[Event]:
        await self.find(filters, limit)
        return []

    async def count(self, filters: Sequence[Filter], *, most_work: int | None = None) -> int:
        return len(await self.find(filters, 1))


class StoreWithMuch(SlowStore):
    """Counting is so much work that it takes an hour, unless that is more than it may be."""

    async def count(self, filters: Sequence[Filter], *, most_work: int | None = None) -> int:
        if most_work != LANES[-1][1]:
            await self.find(filters, 1)
            raise TooMuchWork("too much")
        self.now += 1
        self.most = max(self.most, self.now)
        await trio.sleep(3600)
        self.now -= 1
        return 1


@attrs.define
class Engine:
    store: SlowStore = attrs.field(factory=SlowStore)


async def test_strangers_never_have_all_readers(autojump_clock: trio.testing.MockClock) -> None:
    engine: Any = Engine()
    backend = _Backend(engine)

    async def ask() -> None:
        assert await backend.load(await backend.find([Filter()], 5)) == []
        assert await backend.count([Filter()]) == 1

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    assert engine.store.most == LANES[0][0] < READS_AT_ONCE < READERS


async def test_b_10_1_much_work_of_strangers_holds_up_little_work_of_others_only_shortly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine: Any = Engine(StoreWithMuch())
    backend = _Backend(engine)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(backend.count, [Filter()])
        await trio.sleep(0.5)
        for _ in range(5):
            began = trio.current_time()
            await backend.find([Filter()], 5)
            # Behind five pairs of short trials at most, then at once.
            assert trio.current_time() - began <= 6
        assert trio.current_time() < 60
        assert engine.store.most == READS_AT_ONCE
        nursery.cancel_scope.cancel()


def test_b_10_3_metrics_tell_nothing_of_what_the_gate_refused() -> None:
    contacted, never = DomainStatistics(0, 29, 0, None, 1), DomainStatistics(0, 30, 0, None, 0)
    hunt = HuntStatistics(
        {
            "git.example": contacted,
            "inside.example": never,
            "127.0.0.1": contacted,
            "10.1.1.1": contacted,
        },
        {ResultClass.SUCCESS: 1, ResultClass.FORBIDDEN: 7},
        1,
        0,
    )
    pushes: Any = None
    statistics = Statistics({}, 0, {}, hunt, ())
    told = _snapshot(statistics, GitPush(pushes, 1), networks("10.1.0.0/16"))
    assert [each.domain for each in told.domains] == ["git.example", "10.1.1.1"]
    assert told.attempts == {"success": 1}


async def test_b_10_1_a_held_announcement_is_shown_to_who_names_it_where_a_setting_says_so(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    owner, service = Author.from_seed(1), "grasp.example.com"
    event = announcement(
        owner,
        "repo",
        clone=[f"https://{service}/{owner.npub}/repo.git"],
        relays=[f"wss://{service}"],
    )
    settings = Settings(domain=service, git_data_path=tmp_path / "git")
    kind, author, name = frozenset({30617}), frozenset({owner.pubkey}), frozenset({"repo"})
    exact = Filter(kinds=kind, authors=author, tags={"d": name})
    near = [
        Filter(kinds=kind),
        Filter(kinds=kind, authors=author),
        Filter(kinds=kind, tags={"d": name}),
        Filter(authors=author, tags={"d": name}),
        Filter(kinds=kind, authors=author, tags={"d": frozenset({"repo", "other"})}),
        Filter(kinds=kind, authors=author, tags={"d": frozenset({"other"})}),
        Filter(kinds=frozenset({1}), ids=frozenset({event.id})),
    ]
    with blocking_in_place():
        async with open_engine(settings, store=MemoryStore(), notify=lambda _: None) as engine:
            assert (await engine.offer(event, "user")).accepted
            hidden, shown = _Backend(engine), _Backend(engine, show_held=True)
            for each in (exact, Filter(ids=frozenset({event.id}))):
                assert await hidden.find([each], 5) == []
                assert await shown.find([each], 5) == [event.id]
            assert await shown.find(near, 5) == []
            assert await hidden.load([event.id]) == []
            assert await shown.load([event.id]) == [event]
