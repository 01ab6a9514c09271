"""Cheap refusals come first, each event is read once, and large ones beside the loop (N3)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from purgatory_sync.engine.admission import admission
from purgatory_sync.engine.admission.admission import Answer, Outcome
from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.event import Event, encode_event, verify_event
from purgatory_sync.nostr.parsed import Deletion
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.nostr.state import State
from purgatory_sync.release.index.parsing import BESIDE_LOOP_BYTES
from purgatory_sync.settings import CurationSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)
MAIN = "refs/heads/main"
# The loop has gone round so often while something was read: it is not held up.
ROUNDS = 20
# Only a reading that holds up the loop waits so long, and then the test fails.
HELD_UP_SECS = 5.0

Read = Counter[str]


@contextmanager
def reading(
    monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[Event], None] = lambda _: None
) -> Iterator[Read]:
    """Count how often each event is read."""
    read: Read = Counter()
    with monkeypatch.context() as patch:
        for sort in (Announcement, State, PullRequest, Deletion):
            patch.setattr(sort, "parse", _counted(sort.parse, read, meanwhile))
        yield read


def _counted(real: Callable[[Event], Any], read: Read, meanwhile: Callable[[Event], None]) -> Any:
    def parse(event: Event) -> Any:
        read[event.id] += 1
        meanwhile(event)
        return real(event)

    return parse


def large_state(author: Author, *, created_at: int = NOW, refs: int = 1_500) -> Event:
    named = {f"refs/heads/{n}": f"{n + 1:040x}" for n in range(refs)}
    event = events.state(author, "repo", named, created_at=created_at)
    assert len(encode_event(event)) >= BESIDE_LOOP_BYTES
    return event


REFUSED_UNREAD: dict[str, tuple[Callable[[], Event], str]] = {
    "a blacklisted author's": (lambda: large_state(STRANGER), "blocked: "),
    "too large": (lambda: large_state(OWNER, refs=18_000), "invalid: larger than 1024 KiB"),
    "too many tags": (
        lambda: events.note(OWNER, tags=[("t", "x")] * 5_001, created_at=NOW),
        "invalid: more than 5000 tags",
    ),
    "from the future": (
        lambda: large_state(OWNER, created_at=NOW + 901),
        "invalid: created_at is more than 15 minutes ahead",
    ),
    "a proof": (
        lambda: OWNER.sign(22242, "", [("relay", "wss://x")], NOW),
        "invalid: kind 22242 proves who a client is",
    ),
}


@pytest.mark.parametrize("case", REFUSED_UNREAD)
async def test_b_1_7_what_can_be_refused_at_first_sight_costs_no_lock_no_read_no_parsing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, why = REFUSED_UNREAD[case]
    world = World(tmp_path, CurationSettings(event_blacklist=(STRANGER.npub,)))
    await world.announce(OWNER)

    def never(*args: object) -> Any:
        raise AssertionError("looked at, or locked")

    for part, name in (
        (world.store, "look"), (world.store, "query"), (world.locks, "hold"),
    ):  # fmt: skip
        monkeypatch.setattr(part, name, never)
    with reading(monkeypatch) as read:
        answer = await world.offer(make())
    assert answer.outcome is Outcome.REFUSED
    assert answer.message.startswith(why)
    assert read == {}


async def test_what_comes_in_is_read_once_with_every_verdict(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(1)
    announcement = events.announcement(
        OWNER,
        "repo",
        clone=[f"https://grasp.example.com/{OWNER.npub}/repo.git"],
        relays=["wss://grasp.example.com"],
        created_at=NOW - 9,
    )
    malformed = events.announcement(OWNER, "..", clone=[], relays=[], created_at=NOW)
    held = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW)
    request = events.pull_request(STRANGER, [OWNER.coordinate("repo")], "2" * 40, created_at=NOW)
    stranger = events.state(STRANGER, "repo", {MAIN: "1" * 40}, created_at=NOW)
    served = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 1)
    deletion = events.deletion(OWNER, ids=[held.id, served.id], created_at=NOW + 1)
    offered = {
        announcement: Outcome.HELD,
        malformed: Outcome.REFUSED,
        held: Outcome.HELD,
        request: Outcome.HELD,
        stranger: Outcome.REFUSED,
    }
    answers: dict[str, Answer] = {}
    with reading(monkeypatch) as read:
        for event, outcome in offered.items():
            answers[event.id] = await world.offer(event)
            assert answers[event.id].outcome is outcome
        world.give(OWNER, steps)
        assert (await world.offer(served)).outcome is Outcome.SERVED
        del read[announcement.id]  # served now, and read from the store once: see below
        assert read == dict.fromkeys(
            [e.id for e in (malformed, held, request, stranger, served)], 1
        )
        before = read.copy()
        assert (await world.offer(deletion)).outcome is Outcome.SERVED
        assert read[deletion.id] == 1
        assert read[held.id] == before[held.id]  # purgatory has it, read


async def test_what_the_store_has_is_read_once_and_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announcement = await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    served = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW - 1)
    assert (await world.offer(served)).outcome is Outcome.SERVED
    with reading(monkeypatch) as read:
        for n in range(3):
            issue = events.note(
                STRANGER, kind=1621, tags=[("a", str(OWNER.coordinate("repo")))], created_at=NOW + n
            )
            assert (await world.offer(issue)).outcome is Outcome.SERVED
            held = events.state(OWNER, "repo", {MAIN: f"{n + 1:040x}"}, created_at=NOW + n)
            assert (await world.offer(held)).outcome is Outcome.HELD
    assert read[announcement.id] <= 1
    assert read[served.id] <= 1


@attrs.define
class Loop:
    """Counts how often Trio's loop goes round, and lets a reader wait until it did."""

    rounds: int = 0
    turned: threading.Event = attrs.field(factory=threading.Event)
    held_up_by: list[str] = attrs.field(factory=list)

    async def turn(self) -> None:
        while True:
            self.rounds += 1
            if self.rounds >= ROUNDS:
                self.turned.set()
            await trio.lowlevel.checkpoint()

    def see(self, event: Event) -> None:
        """Called where an event is read."""
        if len(encode_event(event)) < BESIDE_LOOP_BYTES:
            return
        self.rounds = 0
        self.turned.clear()
        if not self.turned.wait(HELD_UP_SECS):
            self.held_up_by.append(event.id)


async def test_a_large_event_is_verified_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)  # with threads
    loop, event = Loop(), large_state(OWNER, refs=18_000)

    def verify(event: Event) -> None:
        loop.see(event)
        verify_event(event)

    monkeypatch.setattr(admission, "verify_event", verify)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.turn)
        answer = await world.offer(event)
        nursery.cancel_scope.cancel()
    assert (answer.outcome, loop.held_up_by) == (Outcome.REFUSED, [])


async def test_a_flood_of_cheap_refusals_lets_others_go_on(world: World) -> None:
    late, loop = events.note(OWNER, created_at=NOW + 901), Loop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.turn)
        for _ in range(ROUNDS):
            assert (await world.offer(late)).outcome is Outcome.REFUSED
        assert loop.rounds >= ROUNDS - 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("author", [OWNER, STRANGER], ids=["held", "refused"])
async def test_a_large_state_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, author: Author
) -> None:
    world = World(tmp_path)  # with threads
    await world.announce(OWNER)
    loop, event = Loop(), large_state(author)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.turn)
        with reading(monkeypatch, loop.see) as read:
            answer = await world.offer(event)
        nursery.cancel_scope.cancel()
    assert answer.outcome is (Outcome.HELD if author is OWNER else Outcome.REFUSED)
    assert (read, loop.held_up_by) == ({event.id: 1}, [])


async def test_a_large_state_that_is_served_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)  # with threads
    await world.announce(OWNER)
    steps = history(1)
    world.give(OWNER, steps)
    named = {f"refs/heads/{n:04}": steps[0].oid for n in range(1_500)}
    served = events.state(OWNER, "repo", named, created_at=NOW - 1)
    assert (await world.offer(served)).outcome is Outcome.SERVED
    loop = Loop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.turn)
        with reading(monkeypatch, loop.see) as read:
            small = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW)
            assert (await world.offer(small)).outcome is Outcome.HELD
            deletion = events.deletion(OWNER, ids=[served.id], created_at=NOW + 1)
            assert (await world.offer(deletion)).outcome is Outcome.SERVED
        nursery.cancel_scope.cancel()
    assert served.id in read
    assert loop.held_up_by == []
