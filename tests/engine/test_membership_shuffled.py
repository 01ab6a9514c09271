"""Announcements and states in one burst, in any order: the end is the same (B 2.8, 3.7, 3.8)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history, not_needed
from ..world import NOW, SERVICE, World

ANNA, BEN, CARL, EVE = (Author.from_seed(n) for n in (1, 2, 3, 4))
MAIN = "refs/heads/main"
OURS, THEIRS, MORE, EVIL = (history(1, seed)[0] for seed in ("ours", "theirs", "more", "evil"))
DATA = {ANNA: [OURS, MORE, EVIL], BEN: [THEIRS], EVE: [EVIL]}
SEEDS, ORDERS = 8, 40


def announced(
    author: Author, at: int, *roles: tuple[str, Author, *tuple[str, ...]], listed: bool = True
) -> Event:
    service = SERVICE if listed else "elsewhere.example.com"
    return events.announcement(
        author,
        "repo",
        clone=[f"https://{service}/{author.npub}/repo.git"],
        relays=[f"wss://{service}"],
        roles=roles,
        created_at=NOW + at,
    )


def state(author: Author, step: Step, at: int) -> Event:
    return events.state(author, "repo", {MAIN: step.oid}, created_at=NOW + at)


BURST = (
    announced(ANNA, -100),
    announced(ANNA, -90, ("M", ANNA), ("m", BEN), ("m", CARL), ("m", EVE)),
    announced(BEN, -95),
    announced(BEN, -85, ("M", ANNA), ("m", BEN)),
    announced(CARL, -80, ("M", ANNA), ("m", CARL), listed=False),
    announced(CARL, -60, ("M", ANNA), ("m", CARL, "1", "2"), listed=False),
    announced(EVE, -98),
    state(ANNA, OURS, -70),
    state(BEN, THEIRS, -65),
    state(CARL, MORE, -50),
    state(EVE, EVIL, -40),
)


async def offer_all(world: World, order: Sequence[Event]) -> None:
    """As relays send them: what is refused for lack of an announcement is offered again."""
    refused: dict[str, Event] = {}
    given: set[Author] = set()
    todo = list(order)
    while todo:
        event = todo.pop(0)
        answer = await world.offer(event, Origin.SYNC)
        if answer.outcome is Outcome.REFUSED and answer.lacks:
            refused[event.id] = event
        elif event.kind == kinds.ANNOUNCEMENT and answer.outcome is not Outcome.DUPLICATE:
            again = sorted(refused.values(), key=lambda e: (e.kind != kinds.ANNOUNCEMENT, e.order))
            refused.clear()
            todo = [*again, *todo]
        for owner, steps in DATA.items():
            if owner not in given and is_repository(world.path(owner)):
                given.add(owner)
                world.give(owner, steps)
                await world.releaser.process("repo")


async def end_of(folder: Path, order: Sequence[Event]) -> object:
    world = World(folder)
    await offer_all(world, order)
    data = await world.index.data("repo")
    left = state(CARL, MORE, -50).id  # served where it came while he was there still
    return (
        {a.npub: world.refs(a) for a in DATA},
        {a.npub: world.head(a) for a in DATA},
        {a.npub: data.maintainer_set(a.pubkey) for a in (*DATA, CARL)},
        await world.served() - {left},
        await world.held() - {left},
    )


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_b_2_8_any_order_of_a_burst_has_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(os, "fsync", not_needed)
    chance = random.Random(seed)
    with blocking_in_place():
        first = await end_of(tmp_path / "first", BURST)
        assert isinstance(first, tuple)
        rules = {MAIN: THEIRS.oid}
        assert first[0] == {ANNA.npub: rules, BEN.npub: rules, EVE.npub: {MAIN: EVIL.oid}}
        both = {ANNA.pubkey, BEN.pubkey}
        assert first[2] == {
            ANNA.npub: both,
            BEN.npub: both,
            CARL.npub: both,
            EVE.npub: {EVE.pubkey},
        }
        for number in range(ORDERS):
            order = chance.sample(BURST, len(BURST))
            if number % 3 == 0:  # what is old comes again
                order += chance.sample(BURST, 3)
            assert await end_of(tmp_path / str(number), order) == first, [
                BURST.index(each) for each in order
            ]
