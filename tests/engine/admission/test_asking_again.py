"""B 8.12: the data of what expired is looked for again every hour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine import PurgatorySync
from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.settings import CurationSettings, PurgatorySettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import Step, add_pack, history
from ..test_engine import MAIN, NOW, OWNER, Home, announce, held, served

STRANGER = Author.from_seed(3)
HOSTS = "https://far.example.com/repo.git"
HALF_HOUR, HOUR, DAY = 1800, 3600, 86400
EXPIRED = "invalid: previously expired from purgatory without git data"


@pytest.fixture
async def home(tmp_path: Path) -> Home:
    """Its seven days are three hours here, for virtual hours cost seconds."""
    home = Home(tmp_path)
    home.settings = attrs.evolve(home.settings, purgatory=brief())
    return home


def brief(**others: int) -> PurgatorySettings:
    return PurgatorySettings(expired_memory_secs=3.0 * HOUR, soft_expiry_secs=2.0 * HOUR, **others)


def state(step: Step, at: int = NOW - 50) -> Event:
    return events.state(OWNER, "repo", {MAIN: step.oid}, created_at=at)


async def overdue(home: Home) -> set[str]:
    return {row.event.id for row in (await home.store.load()).overdue}


def rounds(home: Home, since: float) -> list[int]:
    """In which hours since then the hosts were asked."""
    return sorted({int((at - since) // HOUR) for at, _ in home.outside.attempts if at >= since})


async def let_expire(engine: PurgatorySync, home: Home, *states: Event) -> None:
    """The announcement is served, by an earlier state; the hosts of others stay down."""
    (first,) = history(1, "first")
    await engine.offer(announce(OWNER, HOSTS), "sync")
    add_pack(home.path(), first.objects)
    assert (await engine.offer(state(first, NOW - 90), "sync")).outcome is Outcome.SERVED
    for each in states:
        assert (await engine.offer(each, "sync")).outcome is Outcome.HELD
    await trio.sleep(HALF_HOUR + 65)
    assert await held(home) == set()


async def test_b_8_12_the_hosts_of_an_expired_state_are_asked_every_hour_for_ever(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
        since = trio.current_time()
        assert (await engine.offer(event, "sync")).message == EXPIRED
        await trio.sleep(6 * HOUR)
        assert await overdue(home) == {event.id}
        asked = rounds(home, since)
        assert asked == [*range(asked[0], 6)]
        assert asked[0] <= 1
        assert len(home.outside.attempts) < 4 * len(asked) + 20
        add_pack(home.path(), step.objects)
        await trio.sleep(HOUR + 60)
        assert event.id in await served(home)
        assert await overdue(home) == set()
        assert len(engine.purgatory.overdue) == 0


async def test_b_8_12_what_is_held_once_more_ends_when_its_sources_were_asked(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
        engine.purgatory.overdue.hasten("repo", NOW + 1e6)
        await trio.sleep(HOUR - 60)
        seen = 0
        for _ in range(120):
            seen += event.id in await held(home)
            await trio.sleep(30)
        assert 1 <= seen <= 12


async def test_b_8_12_a_pull_request_is_looked_for_too_and_data_of_others_serves(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], step.oid, created_at=NOW - 40)
    async with home.running() as engine:
        await let_expire(engine, home, pr)
        await trio.sleep(4 * HOUR)
        add_pack(home.path(), step.objects)
        await trio.sleep(HOUR + 60)
        assert pr.id in await served(home)


async def test_b_8_12_it_is_on_disk_and_asked_at_a_start(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
    await trio.sleep(8 * DAY)  # nothing runs meanwhile
    add_pack(home.path(), step.objects)
    async with home.running():
        await trio.sleep(61)
        assert event.id in await served(home)


async def test_b_8_12_of_one_author_only_the_newest_state_is_looked_for(
    home: Home, autojump_clock: MockClock
) -> None:
    one, two, three = (state(step, NOW - 50 + n) for n, step in enumerate(history(3)))
    async with home.running() as engine:
        await let_expire(engine, home, one, three, two)
        assert await overdue(home) == {three.id}
        (step,) = history(1, "newer")
        add_pack(home.path(), step.objects)
        newer = state(step, NOW - 10)
        assert (await engine.offer(newer, "sync")).outcome is Outcome.SERVED
        await trio.sleep(HOUR + 60)
        assert await overdue(home) == set()
        assert await held(home) == set()


Ends = Callable[[PurgatorySync, Event], Event]


def _deletion(engine: PurgatorySync, event: Event) -> Event:
    return events.deletion(OWNER, ids=[event.id], created_at=NOW)


def _deletion_by_address(engine: PurgatorySync, event: Event) -> Event:
    return OWNER.sign(5, "", [("a", f"30618:{OWNER.pubkey}:repo")], NOW)


def _vanish(engine: PurgatorySync, event: Event) -> Event:
    return OWNER.sign(62, "", [("relay", "ALL_RELAYS")], NOW)


@pytest.mark.parametrize("ends", [_deletion, _deletion_by_address, _vanish])
async def test_b_8_12_what_its_author_deletes_leaves_with_the_request(
    home: Home, autojump_clock: MockClock, ends: Ends
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
        assert (await engine.offer(ends(engine, event), "sync")).outcome is Outcome.SERVED
        assert await overdue(home) == set()
        assert len(engine.purgatory.overdue) == 0
        add_pack(home.path(), step.objects) if home.path().exists() else None
        await trio.sleep(2 * HOUR)
        assert event.id not in await served(home)


async def test_b_8_12_it_ends_when_the_announcement_names_us_no_more(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    async with home.running() as engine:
        await let_expire(engine, home, state(step))
        left = events.announcement(
            OWNER, "repo", clone=[HOSTS], relays=["wss://far.example.com"], created_at=NOW
        )
        await engine.offer(left, "sync")
        await trio.sleep(HOUR + 60)
        assert await overdue(home) == set()
        since = trio.current_time()
        await trio.sleep(2 * HOUR)
        assert rounds(home, since) == []


async def test_b_8_12_it_ends_when_a_list_forbids_it(home: Home, autojump_clock: MockClock) -> None:
    (step,) = history(1)
    async with home.running() as engine:
        await let_expire(engine, home, state(step))
    home.settings = attrs.evolve(
        home.settings, curation=CurationSettings(event_blacklist=(encode_npub(OWNER.pubkey),))
    )
    before = len(home.outside.attempts)
    async with home.running():
        await trio.sleep(2 * HOUR)
        assert await overdue(home) == set()
    assert len(home.outside.attempts) == before


async def test_b_8_12_a_held_announcement_waits_with_it_for_seven_days(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    announcement, event = announce(OWNER, HOSTS), state(step)
    async with home.running() as engine:
        await engine.offer(announcement, "sync")
        await engine.offer(event, "sync")
        await trio.sleep(3 * HOUR)
        assert await overdue(home) == {event.id}
        assert announcement.id in await held(home)
        await trio.sleep(3 * HOUR)
        assert await overdue(home) == set()
        assert await held(home) == set()


async def test_b_8_12_without_room_relays_may_bring_it_again_after_an_hour(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    home.settings = attrs.evolve(home.settings, purgatory=brief(expired_max_bytes=0))
    async with home.running() as engine:
        await let_expire(engine, home, event)
        assert await overdue(home) == set()
        answer = await engine.offer(event, "sync")
        assert (answer.message, answer.transient) == (EXPIRED, True)
        await trio.sleep(HOUR)
        assert (await engine.offer(event, "sync")).outcome is Outcome.HELD


async def test_b_8_12_half_of_the_room_is_left_to_what_is_new(
    home: Home, autojump_clock: MockClock
) -> None:
    steps = history(3)
    home.settings = attrs.evolve(home.settings, purgatory=brief(max_events=4))
    requests = [
        events.pull_request(STRANGER, [OWNER.coordinate("repo")], s.oid, created_at=NOW - 40 + n)
        for n, s in enumerate(steps)
    ]
    async with home.running() as engine:
        await let_expire(engine, home, *requests)
        assert len(await overdue(home)) == 3
        most = 0
        for _ in range(100):
            most = max(most, len(await held(home)))
            await trio.sleep(40)
        assert most == 2


async def test_b_8_12_a_user_who_sends_it_again_has_half_an_hour(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
        assert (await engine.offer(event, "user")).outcome is Outcome.HELD
        await trio.sleep(HALF_HOUR - 30)
        assert event.id in await held(home)
        await trio.sleep(100)
        assert event.id not in await held(home)
        for _ in range(HOUR):
            if event.id in await held(home):
                break
            await trio.sleep(1)
        assert (await engine.offer(event, "user")).accepted
        await trio.sleep(HALF_HOUR - 30)
        assert event.id in await held(home)


async def test_b_8_12_why_tells_when_it_is_asked_again(
    home: Home, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    event = state(step)
    async with home.running() as engine:
        await let_expire(engine, home, event)
        for name in (event.id, "repo"):
            fate = await engine.explainer.fate(name)
            assert fate is not None
            assert (fate.event_id, fate.outcome, fate.until) == (event.id, "expired", None)
            assert fate.at is not None
            assert fate.next_at == fate.at + HOUR
