"""The restore drill: a backup at a random moment of a workload, restored elsewhere (B 13.5)."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine import PurgatorySync, open_engine
from purgatory_sync.engine.keeping.backup_restore import restore_backup
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.settings import HuntSettings, Settings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import Step, history
from ..pushes.pushing_support import pack_of

pytestmark = pytest.mark.real
SERVICE = "grasp.example.com"
OWNERS = [Author.from_seed(seed) for seed in range(1, 5)]
MAIN = "refs/heads/main"
SEEDS, STEPS = 20, 40


def settings_in(folder: Path) -> Settings:
    return Settings(
        domain=SERVICE,
        git_data_path=folder / "git",
        relay_data_path=folder / "relay",
        hunt=HuntSettings(min_free_bytes=0),
    )


@attrs.define
class Known:
    """What a client was answered OK for one repository.

    Attributes:
      history: its commits; `pushed` of them are there.
      newest: what must be held or served: announcement and newest state.
    """

    owner: Author
    identifier: str
    history: list[Step]
    pushed: int = 0
    newest: dict[int, Event] = attrs.field(factory=dict)


@attrs.define
class Workload:
    """Clients who announce, publish states and push, one after another."""

    engine: PurgatorySync
    dice: random.Random
    clock: int = attrs.field(factory=lambda: int(time.time()) - 5_000)
    repositories: list[Known] = attrs.field(factory=list)
    deleted: set[str] = attrs.field(factory=set)

    async def run(self, steps: int, *, at: int, reached: trio.Event) -> None:
        for number in range(steps):
            if number == at:
                reached.set()
            await self._step()

    def promised(self) -> list[Known]:
        """What was answered OK so far."""
        return [attrs.evolve(each, newest=dict(each.newest)) for each in self.repositories]

    async def _step(self) -> None:
        choice = self.dice.random()
        self.clock += 1
        if choice < 0.25 or not self.repositories:
            await self._announce()
        elif choice < 0.5:
            await self._publish(self.dice.choice(self.repositories))
        elif choice < 0.95:
            await self._push(self.dice.choice(self.repositories))
        else:
            await self._delete(self.dice.choice(self.repositories))

    async def _announce(self) -> None:
        owner, number = self.dice.choice(OWNERS), len(self.repositories)
        identifier = f"r{self.clock % 7}-{number}"
        event = events.announcement(
            owner,
            identifier,
            clone=[f"https://{SERVICE}/{owner.npub}/{identifier}.git"],
            relays=[f"wss://{SERVICE}"],
            created_at=self.clock,
        )
        assert (await self.engine.offer(event, "user")).accepted
        seed = f"{self.dice.random()}"
        self.repositories.append(Known(owner, identifier, history(12, seed), 0, {30617: event}))

    async def _publish(self, known: Known) -> None:
        step = known.history[min(known.pushed, 11)]
        event = events.state(known.owner, known.identifier, {MAIN: step.oid}, created_at=self.clock)
        assert (await self.engine.offer(event, "user")).accepted
        known.newest[30618] = event

    async def _push(self, known: Known) -> None:
        if 30618 not in known.newest or known.pushed > 11:
            return
        named = value_of(known.newest[30618], MAIN)
        step = known.history[known.pushed]
        if step.oid != named:
            return

        async def body() -> AsyncIterator[bytes]:
            yield pack_of(step.objects)

        repository = RepositoryId(known.owner.pubkey, known.identifier)
        await self.engine.push(repository, {MAIN: step.oid}, body())
        known.pushed += 1

    async def _delete(self, known: Known) -> None:
        address = f"30617:{known.owner.pubkey}:{known.identifier}"
        event = events.deletion(known.owner, addresses=[address], created_at=self.clock)
        assert (await self.engine.offer(event, "user")).accepted
        self.repositories.remove(known)
        self.deleted.add(known.newest[30617].id)


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[PurgatorySync]:
    with trio.fail_after(120):
        async with open_engine(settings_in(folder)) as engine:
            yield engine


def value_of(event: Event, name: str) -> str:
    return next(tag[1] for tag in event.tags if tag[0] == name)


def git(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["git", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def check(engine: PurgatorySync, promised: list[Known], deleted: set[str]) -> None:
    """Everything that was answered OK is held or served, and every repository is whole."""
    for known in promised:
        if known.newest[30617].id in deleted:
            continue
        for event in known.newest.values():
            served = await engine.store.served_ids([event.id])
            held = engine.purgatory.get(event.id) is not None
            assert served or held or await newer_is_served(engine, event), event.kind
        path = engine.settings.git_data_path / known.owner.npub / f"{known.identifier}.git"
        await trio.to_thread.run_sync(git, "-C", path, "fsck", "--full", "--strict")
        if known.pushed:
            oids = [step.oid for step in known.history]
            assert oids.index(list_refs(path)[MAIN]) >= known.pushed - 1


async def newer_is_served(engine: PurgatorySync, event: Event) -> bool:
    identifier = value_of(event, "d")
    same = Filter(
        kinds=frozenset({event.kind}),
        authors=frozenset({event.pubkey}),
        tags={"d": frozenset({identifier})},
    )
    return any(each.created_at > event.created_at for each in await engine.query([same]))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_b_13_5_what_was_answered_before_a_backup_is_there_after_a_restore(
    tmp_path: Path, seed: int
) -> None:
    dice, reached = random.Random(seed), trio.Event()
    promised: list[Known] = []
    async with engine_in(tmp_path / "node") as engine:
        workload = Workload(engine, dice)
        async with trio.open_nursery() as nursery:
            moment = dice.randrange(5, STEPS - 5)
            nursery.start_soon(partial(workload.run, STEPS, at=moment, reached=reached))
            await reached.wait()
            promised = workload.promised()
            made = await engine.keepers.backup.make(tmp_path / "backup", lambda _: None)
    assert made.repositories >= 1
    await trio.to_thread.run_sync(
        restore_backup, tmp_path / "backup", settings_in(tmp_path / "again"), lambda _: None
    )
    async with engine_in(tmp_path / "again") as engine:
        await check(engine, promised, workload.deleted)
