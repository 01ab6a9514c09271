"""What the landing page lists: what is served and has its repository here, read once a minute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import trio
from trio.testing import MockClock

from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.settings import CurationSettings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.testing import events

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, MAINTAINER, NOW, OWNER, Home, announce


class CountingStore(MemoryStore):
    """A store that counts what it is asked for."""

    reads = 0

    async def query(self, filters: Sequence[Filter], limit: int) -> list[Event]:
        self.reads += 1
        return await super().query(filters, limit)


async def test_b_6_4_what_is_served_is_listed(tmp_path: Path, autojump_clock: MockClock) -> None:
    home, (step,) = Home(tmp_path), history(1)
    store = home.store = CountingStore()
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        held = await engine.cataloguer.look()
        assert (held.total, held.newest) == (0, ())
        add_pack(home.path(), step.objects)
        await engine.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW), "user")
        await engine.offer(announce(MAINTAINER), "user")  # has no data: it is held
        await trio.sleep(61)
        store.reads = 0
        look = await engine.cataloguer.look()
        assert (look.total, look.more) == (1, False)
        (entry,) = look.newest
        assert (entry.npub, entry.identifier, entry.announced_at) == (OWNER.npub, "repo", NOW - 100)
        assert await engine.cataloguer.look() is look
        assert store.reads == 1
        engine._core.index.use_lists(CurationSettings(event_blacklist=(OWNER.npub,)))
        await trio.sleep(61)
        assert (await engine.cataloguer.look()).total == 0


async def test_b_6_4_what_is_private_is_never_listed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, (step,) = Home(tmp_path), history(1)
    async with home.running() as engine:
        add = OWNER.sign(30617, "", [*announce().tags, ("private", "")], NOW - 50)
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        await engine.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW), "user")
        private = (await engine._core.index.announcements([add]))[0]
        assert not engine.cataloguer._is_listed(private)
        assert engine.cataloguer._is_listed(attrs.evolve(private, event=announce()))
