"""Sentences of B 1-5 and 9 for which store, purgatory and repositories are needed together."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import NaughtyScope
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import history
from ..world import NOW, SERVICE, World
from .pushes.pushing_support import ID, NOSTR, pack
from .test_engine import Home, announce, held, served

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"
FAR = "https://far.example.com/repo.git"


def state(oid: str = "1" * 40, at: int = NOW - 50, author: Author = OWNER) -> Event:
    return events.state(author, "repo", {MAIN: oid}, created_at=at)


def request(at: int = NOW - 40) -> Event:
    return events.pull_request(STRANGER, [OWNER.coordinate("repo")], "2" * 40, created_at=at)


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize("identifier", ["repo", "a b", "🐍", "x" * 251, "a:b"])
async def test_b_1_1_a_repository_lies_under_npub_and_identifier(
    world: World, tmp_path: Path, identifier: str
) -> None:
    clone, relays = f"https://{SERVICE}/{OWNER.npub}/{quote(identifier)}.git", f"wss://{SERVICE}"
    event = events.announcement(
        OWNER, identifier, clone=[clone], relays=[relays], created_at=NOW - 50
    )
    assert (await world.offer(event)).outcome is Outcome.HELD
    assert is_repository(tmp_path / "git" / OWNER.npub / f"{identifier}.git")


async def test_b_1_6_held_states_never_replace_one_another(world: World) -> None:
    await world.announce(OWNER)
    steps, later = history(1), history(1, "later")
    older, newer = state(steps[0].oid, NOW - 60), state(later[0].oid, NOW - 50)
    await world.offer(newer)
    assert (await world.offer(older)).outcome is Outcome.HELD
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert older.id in await world.served()
    assert newer.id in await world.held()


async def test_b_2_4_a_held_repository_is_hosted(world: World) -> None:
    announcement = await world.announce(OWNER)
    data = await world.index.data("repo")
    assert data.with_repository([OWNER.pubkey]) == (OWNER.pubkey,)
    assert await world.served() == set()
    assert await world.held() == {announcement.id}


async def test_b_2_7_an_announcement_that_ended_is_not_barred(
    home: Home, autojump_clock: MockClock
) -> None:
    quick = attrs.evolve(home.settings.purgatory, soft_expiry_secs=600.0)
    home.settings = attrs.evolve(home.settings, purgatory=quick)
    async with home.running() as engine:
        await engine.offer(announce(), "sync")
        await trio.sleep(1800 + 600 + 130)
        assert await held(home) == set()
        assert (await engine.offer(announce(), "sync")).outcome is Outcome.HELD


@pytest.mark.parametrize("origin", list(Origin))
async def test_b_2_8_an_announcement_counts_as_a_new_event(world: World, origin: Origin) -> None:
    await world.announce(OWNER)
    await world.offer(state(), Origin.USER)
    entry = world.purgatory.sync_queue.get("repo")
    assert entry is not None
    before = entry.next_attempt
    await world.announce(OWNER, created_at=NOW - 90, origin=origin)
    assert (entry.next_attempt < before) is (origin is Origin.SYNC)
    assert entry.attempt_count == 0


async def test_b_4_2_a_pull_request_is_held_for_30_minutes(
    home: Home, autojump_clock: MockClock
) -> None:
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        pr = request()
        assert (await engine.offer(pr, "user")).outcome is Outcome.HELD
        await trio.sleep(1795)
        assert pr.id in await held(home)
        await trio.sleep(70)
        assert pr.id not in await held(home)


async def test_b_5_e_removes_what_is_held_and_the_request_stays(world: World) -> None:
    announcement = await world.announce(OWNER)
    event, pr = state(), request()
    for each in (event, pr):
        assert (await world.offer(each)).outcome is Outcome.HELD
    for author, target in ((STRANGER, pr), (OWNER, event), (OWNER, announcement)):
        deletion = events.deletion(author, ids=[target.id], created_at=NOW)
        assert (await world.offer(deletion)).outcome is Outcome.SERVED
        assert target.id not in await world.held()
        assert deletion.id in await world.served()
        answer = await world.offer(target)
        assert answer.message == "invalid: deleted by its author"
    assert not is_repository(world.path(OWNER))


async def test_b_5_e_deletes_served_events(world: World) -> None:
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    event = state(steps[0].oid)
    await world.offer(event)
    assert event.id in await world.served()
    await world.offer(events.deletion(OWNER, ids=[event.id], created_at=NOW))
    assert event.id not in await world.served()
    assert world.refs(OWNER) == {MAIN: steps[0].oid}


async def test_b_9_time_counts_while_the_node_is_down(
    home: Home, autojump_clock: MockClock
) -> None:
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        for event in (state(), request()):
            assert (await engine.offer(event, "user")).outcome is Outcome.HELD
    await trio.sleep(1900)
    async with home.running():
        await trio.sleep(61)
        assert {each.id for each in (state(), request())}.isdisjoint(await held(home))


async def test_b_9_nothing_expires_untried_after_a_stop(
    home: Home, autojump_clock: MockClock
) -> None:
    home.outside.hangs = True
    async with home.running() as engine:
        await engine.offer(announce(OWNER, FAR), "user")
        await engine.offer(state(), "user")
    await trio.sleep(1900)
    async with home.running():
        await trio.sleep(5)
        assert state().id in await held(home)
        await trio.sleep(120)
        assert home.outside.attempts
        assert state().id not in await held(home)


async def test_b_9_placeholders_expired_ids_and_naughty_sources_survive(
    home: Home, autojump_clock: MockClock
) -> None:
    steps = history(1)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        expired = state()
        await engine.offer(expired, "sync")
        await trio.sleep(1900)
        assert expired.id not in await held(home)
        await engine.pusher.receive(
            RepositoryId(OWNER.pubkey, "repo"), {NOSTR: steps[0].oid}, pack(steps)
        )
        engine.explainer.throttles.note_naughty(FAR, NaughtyScope.URL, "a page instead of git")
        await trio.sleep(1)
    async with home.running() as engine:
        answer = await engine.offer(expired, "sync")
        assert answer.message == "invalid: previously expired from purgatory without git data"
        (placeholder,) = engine.purgatory.placeholders
        named = placeholder.event_id, placeholder.oid, placeholder.owner
        assert named == (ID, steps[0].oid, OWNER.pubkey)
        assert engine.explainer.throttles.is_naughty(FAR)
        await trio.sleep(1300)
        assert len(engine.purgatory.placeholders) == 0


async def test_b_9_what_is_served_stays_served(home: Home, autojump_clock: MockClock) -> None:
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        empty = STRANGER.sign(10317, "", [], NOW)
        await engine.offer(empty, "user")
    async with home.running():
        assert empty.id in await served(home)
