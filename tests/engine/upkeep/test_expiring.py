"""Events that expire (NIP-40; B 5.3)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import add_pack, history
from ..test_engine import MAIN, NOW, OWNER, Home, announce

STRANGER = Author.from_seed(3)
ABOUT = ("a", f"30617:{OWNER.pubkey}:repo")


def note(content: str, *expirations: str, kind: int = 1111) -> Event:
    tags = [ABOUT, *(("expiration", each) for each in expirations)]
    return events.note(STRANGER, content, kind=kind, tags=tags, created_at=NOW - 5)


@pytest.mark.parametrize(
    ("event", "at"),
    [
        (note("", str(NOW)), NOW),
        (note("", "007"), 7),
        (note("", "7", "8"), 7),
        (note(""), None),
        (note("", "x", "8"), None),
        (note("", "-7"), None),
        (note("", "7.5"), None),
        (note("", "\u0667"), None),
        (note("", ""), None),
        (note("", "9" * 17), None),
        (note("", "7", kind=20_001), None),
        (note("", "7", kind=5), None),
        (note("", "7", kind=62), None),
        (note("", "7", kind=30617), None),
        (note("", "7", kind=30618), None),
        (note("", "7", kind=1618), 7),
    ],
)
def test_b_5_3_when_an_event_expires(event: Event, at: int | None) -> None:
    assert event.expires_at == at


async def test_b_5_3_an_event_is_served_until_it_expires(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, (step,) = Home(tmp_path), history(1)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        state = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 50)
        assert (await engine.offer(state, "user")).outcome is Outcome.SERVED
        pr = STRANGER.sign(
            1618, "", [ABOUT, ("c", step.oid), ("expiration", str(NOW + 200))], NOW - 5
        )
        long, short = note("long", str(NOW + 5000)), note("short", str(NOW + 100))
        over = note("over", str(NOW - 1))
        for each in (pr, long, short):
            assert (await engine.offer(each, "user")).outcome is Outcome.SERVED
        assert (await engine.offer(over, "user")).message == "invalid: expired"
        assert f"refs/nostr/{pr.id}" in list_refs(home.path())

        async def served() -> set[str]:
            return {e.id for e in await engine.query([Filter()])} & {pr.id, long.id, short.id}

        began = NOW - home.epoch
        for at, left in ((99, {pr, long, short}), (101, {pr, long}), (201, {long})):
            await trio.sleep_until(began + at)
            assert await served() == {each.id for each in left}
        assert list_refs(home.path()) == {MAIN: step.oid}
        assert (await engine.offer(short, "sync")).message == "invalid: expired"
    await trio.sleep(6000)
    async with home.running() as engine:
        await trio.sleep(1)
        assert not [e for e in await engine.query([Filter()]) if e.id == long.id]


async def test_b_5_3_a_held_pull_request_ends_when_it_expires(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        await engine.offer(announce(OWNER, "https://far.example.com/repo.git"), "user")
        tags = [ABOUT, ("c", "1" * 40), ("expiration", str(NOW + 100))]
        pr = STRANGER.sign(1618, "", tags, NOW - 5)
        assert (await engine.offer(pr, "user")).outcome is Outcome.HELD
        await trio.sleep(95)
        assert engine.purgatory.get(pr.id) is not None
        await trio.sleep(66)
        assert engine.purgatory.get(pr.id) is None


async def test_b_5_3_no_older_version_comes_back_in_place_of_what_expired(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    async with home.running() as engine:
        older = STRANGER.sign(10317, "", [("g", "wss://a.example")], NOW - 20)
        gone = ("expiration", str(NOW + 100))
        newer = STRANGER.sign(10317, "", [("g", "wss://b.example"), gone], NOW - 10)
        for each in (older, newer):
            assert (await engine.offer(each, "user")).outcome is Outcome.SERVED
        await trio.sleep_until(NOW - home.epoch + 101)
        assert (await engine.offer(older, "sync")).outcome is Outcome.REFUSED
        newest = STRANGER.sign(10317, "", [("g", "wss://c.example")], NOW + 50)
        assert (await engine.offer(newest, "user")).outcome is Outcome.SERVED
