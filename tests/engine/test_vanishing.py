"""Who asks to vanish leaves with all that he signed, and takes his authority along (B 5.2)."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.upkeep.restore import restore
from purgatory_sync.errors import PushRefused, RepositoryError
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import history
from ..world import NOW, SERVICE, World
from .pushes.pushing_support import pack, pusher_of
from .test_engine import Home, announce

ANNA, BEN, CARL, DORA = (Author.from_seed(n) for n in (1, 2, 3, 4))
MAIN = "refs/heads/main"
OLD, NEW, MORE = (history(1, seed)[0] for seed in ("old", "new", "more"))
ORIGINS = pytest.mark.parametrize("origin", list(Origin))


async def group(world: World) -> tuple[Event, Event]:
    """Anna and Ben rule both of their repositories; Ben's state is the newer one."""
    await world.announce(ANNA, maintainers=[BEN])
    await world.announce(BEN, maintainers=[ANNA])
    world.give(ANNA, [OLD, NEW])
    older = events.state(ANNA, "repo", {MAIN: OLD.oid}, created_at=NOW - 60)
    newer = events.state(BEN, "repo", {MAIN: NEW.oid}, created_at=NOW - 50)
    for each in (older, newer):
        assert (await world.offer(each)).outcome is Outcome.SERVED
    assert world.refs(ANNA) == world.refs(BEN) == {MAIN: NEW.oid}
    return older, newer


@ORIGINS
async def test_b_5_2_a_member_who_vanishes_takes_his_authority_along(
    world: World, origin: Origin
) -> None:
    older, newer = await group(world)
    gone = events.vanish(BEN, relays=[f"wss://{SERVICE}/"], created_at=NOW)
    assert (await world.offer(gone, origin)).outcome is Outcome.SERVED
    assert world.refs(ANNA) == {MAIN: OLD.oid}
    assert not is_repository(world.path(BEN)), "what he announced leaves the disk"
    served = {e.id: e.pubkey for e in await world.store.query([Filter()], 100)}
    assert [each for each, by in served.items() if by == BEN.pubkey] == [gone.id]
    assert older.id in served
    data = await world.index.data("repo")
    assert data.maintainer_set(ANNA.pubkey) == {ANNA.pubkey}
    with pytest.raises(PushRefused):
        await pusher_of(world).receive(
            RepositoryId(ANNA.pubkey, "repo"), {MAIN: NEW.oid}, pack([NEW])
        )
    again = await world.offer(newer, origin)
    assert again.message.startswith("blocked: its author asked to vanish")
    assert again.lacks == ()


@ORIGINS
async def test_b_5_2_nothing_that_he_signed_comes_back_but_what_he_signs_later_counts(
    world: World, origin: Origin
) -> None:
    await group(world)
    everything = [e for e in await world.store.query([Filter()], 100) if e.pubkey == BEN.pubkey]
    await world.offer(events.vanish(BEN, created_at=NOW))
    old = events.announcement(
        BEN,
        "repo",
        clone=[f"https://{SERVICE}/{BEN.npub}/repo.git"],
        relays=[f"wss://{SERVICE}"],
        maintainers=[ANNA],
        created_at=NOW,
    )
    for each in [*everything, old]:
        answer = await world.offer(each, origin)
        assert answer.message.startswith("blocked: its author asked to vanish"), each.kind
    assert world.refs(ANNA) == {MAIN: OLD.oid}
    await world.announce(BEN, maintainers=[ANNA], created_at=NOW + 1, origin=origin)
    data = await world.index.data("repo")
    assert data.maintainer_set(ANNA.pubkey) == {ANNA.pubkey, BEN.pubkey}
    assert world.refs(BEN) == {MAIN: OLD.oid}, "he begins anew, with what the others left"


async def test_b_5_2_what_is_held_of_him_leaves_too(world: World) -> None:
    await world.announce(BEN)
    await world.announce(ANNA)
    waiting = events.state(BEN, "repo", {MAIN: NEW.oid}, created_at=NOW - 50)
    asked = events.pull_request(BEN, [ANNA.coordinate("repo")], MORE.oid, created_at=NOW - 40)
    for each in (waiting, asked):
        assert (await world.offer(each)).outcome is Outcome.HELD
    await world.offer(events.vanish(BEN, created_at=NOW))
    assert {e.event.pubkey for e in (await world.store.load()).held} == {ANNA.pubkey}
    assert world.purgatory.room.of_author(BEN.pubkey).events == 0
    assert not world.purgatory.has_pending_events("repo")
    assert not is_repository(world.path(BEN))
    assert is_repository(world.path(ANNA))


async def test_b_5_2_what_he_signed_later_stays_with_its_repository(world: World) -> None:
    """The request comes late: he has begun anew here already."""
    await world.announce(BEN, "old", created_at=NOW - 100)
    await world.announce(BEN, "new", created_at=NOW - 10)
    world.give(BEN, [NEW], "new")
    state = events.state(BEN, "new", {MAIN: NEW.oid}, created_at=NOW - 5)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    await world.offer(events.vanish(BEN, created_at=NOW - 50), Origin.SYNC)
    assert world.refs(BEN, "new") == {MAIN: NEW.oid}
    assert state.id in await world.served()
    assert not is_repository(world.path(BEN, "old"))


async def test_b_5_2_refs_of_his_pull_requests_go_everywhere(world: World) -> None:
    await group(world)
    world.give(ANNA, [MORE])
    pr = events.pull_request(CARL, [ANNA.coordinate("repo")], MORE.oid, created_at=NOW - 40)
    assert (await world.offer(pr)).outcome is Outcome.SERVED
    assert f"refs/nostr/{pr.id}" in world.refs(ANNA)
    await world.offer(events.vanish(CARL, created_at=NOW))
    for author in (ANNA, BEN):
        assert not [ref for ref in world.refs(author) if ref.startswith("refs/nostr/")]
    assert pr.id not in await world.served()


async def test_b_5_2_repositories_that_nothing_announces_any_more_leave_too(world: World) -> None:
    """What a deletion or a delisting left on the disk is his as well."""
    await group(world)
    await world.offer(BEN.sign(5, "", [("a", f"30617:{BEN.pubkey}:repo")], NOW - 20))
    assert is_repository(world.path(BEN))
    await world.offer(events.vanish(BEN, created_at=NOW))
    assert not is_repository(world.path(BEN))
    assert world.ledger.made(BEN.pubkey, "repo") is None


async def test_b_5_2_his_requests_leave_and_what_they_deleted_stays_away(world: World) -> None:
    note = events.note(BEN, tags=[("a", f"30617:{ANNA.pubkey}:repo")], created_at=NOW - 30)
    await group(world)
    assert (await world.offer(note)).outcome is Outcome.SERVED
    deletion = BEN.sign(5, "", [("e", note.id)], NOW - 20)
    await world.offer(deletion)
    first = events.vanish(BEN, created_at=NOW - 10)
    await world.offer(first)
    second = events.vanish(BEN, created_at=NOW)
    await world.offer(second)
    served = await world.served()
    assert not {note.id, deletion.id, first.id} & served
    assert second.id in served
    for each in (note, deletion):
        assert (await world.offer(each, Origin.SYNC)).outcome is Outcome.REFUSED
    assert (await world.offer(first, Origin.SYNC)).outcome is Outcome.DUPLICATE


async def test_b_5_2_gift_wraps_for_him_leave(world: World) -> None:
    await group(world)
    about = ("a", f"30617:{ANNA.pubkey}:repo")
    wraps = [
        events.note(DORA, kind=1059, tags=[about, ("p", each.pubkey)], created_at=NOW - 30)
        for each in (BEN, ANNA)
    ]
    for each in wraps:
        assert (await world.offer(each)).outcome is Outcome.SERVED
    await world.offer(events.vanish(BEN, created_at=NOW))
    assert {each.id for each in wraps} & await world.served() == {wraps[1].id}
    assert (await world.offer(wraps[0])).message.startswith("blocked: ")


async def test_b_5_2_no_order_changes_the_end(tmp_path: Path) -> None:
    """Announcement, acceptance, state and request, by sync, in every order."""
    ends = set()
    for number, order in enumerate(permutations(range(4))):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        await world.announce(ANNA, maintainers=[BEN])
        world.give(ANNA, [OLD, NEW])
        await world.offer(events.state(ANNA, "repo", {MAIN: OLD.oid}, created_at=NOW - 60))
        burst = [
            events.announcement(BEN, "repo", maintainers=[ANNA], created_at=NOW - 50),
            events.state(BEN, "repo", {MAIN: NEW.oid}, created_at=NOW - 40),
            events.vanish(BEN, created_at=NOW - 30),
            events.announcement(BEN, "other", maintainers=[ANNA], created_at=NOW - 20),
        ]
        for at in order:
            await world.offer(burst[at], Origin.SYNC)
        served = await world.served()
        ends.add((world.refs(ANNA)[MAIN], frozenset(e.id for e in burst[:3] if e.id in served)))
    assert ends == {(OLD.oid, frozenset([burst[2].id]))}


async def test_b_5_2_a_removal_that_failed_is_done_by_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group(world)

    def fail(owner: str, identifier: str) -> None:
        raise RepositoryError("the disk refuses")

    monkeypatch.setattr(world.repositories, "remove", fail)
    assert (await world.offer(events.vanish(BEN, created_at=NOW))).accepted
    assert is_repository(world.path(BEN))
    monkeypatch.undo()
    await restore(await world.store.load(), world.core, NOW)
    assert not is_repository(world.path(BEN))
    assert is_repository(world.path(ANNA))
    assert not [made for made in (await world.store.load()).made if made.ending]


async def test_b_5_2_what_could_not_be_removed_is_not_what_is_announced_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await group(world)

    def fail(owner: str, identifier: str) -> None:
        raise RepositoryError("the disk refuses")

    with monkeypatch.context() as patch:
        patch.setattr(world.repositories, "remove", fail)
        await world.offer(events.vanish(BEN, created_at=NOW))
        refused = await world.offer(
            events.announcement(
                BEN,
                "repo",
                clone=[f"https://{SERVICE}/{BEN.npub}/repo.git"],
                relays=[f"wss://{SERVICE}"],
                created_at=NOW + 1,
            )
        )
        assert (refused.outcome, refused.transient) == (Outcome.REFUSED, True)
    await world.announce(BEN, created_at=NOW + 1)
    assert is_repository(world.path(BEN))
    assert world.refs(BEN) == {}
    await restore(await world.store.load(), world.core, NOW)
    assert is_repository(world.path(BEN))


async def test_b_5_2_a_request_waits_for_what_its_author_offers_at_that_moment(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged before the request and stored after it: it must not stay."""
    await group(world)
    apply = world.store.apply

    async def slow(change: Change) -> object:
        if any(each.kind == 1 for each in change.save):
            await trio.sleep(5)
        return await apply(change)

    monkeypatch.setattr(world.store, "apply", slow)
    about = ("a", f"30617:{ANNA.pubkey}:repo")
    first, late = (
        events.note(BEN, text, tags=[about], created_at=NOW - 30) for text in ("first", "late")
    )
    answers: dict[str, str] = {}

    async def offer(name: str, event: Event, after: float) -> None:
        await trio.sleep(after)
        answer = await world.offer(event)
        answers[name] = f"{answer.outcome} at {trio.current_time() - began:.0f}"

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer, "first", first, 0)
        nursery.start_soon(offer, "gone", events.vanish(BEN, created_at=NOW), 1)
        nursery.start_soon(offer, "late", late, 2)
        other = events.note(CARL, tags=[about], created_at=NOW - 30)
        nursery.start_soon(offer, "other", other, 2)
    assert answers == {
        "first": "served at 5",
        "gone": "served at 5",
        "late": "refused at 5",
        "other": "served at 7",
    }
    assert not {first.id, late.id} & await world.served()


async def test_b_5_2_a_request_is_in_force_after_a_restart(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home, began = Home(tmp_path), announce(BEN)
    async with home.running() as engine:
        assert (await engine.offer(began, "user")).outcome is Outcome.HELD
        assert is_repository(home.path(BEN))
        gone = events.vanish(BEN, created_at=NOW)
        assert (await engine.offer(gone, "user")).outcome is Outcome.SERVED
        assert not home.path(BEN).exists()
    await trio.sleep(30 * 24 * 3600)
    async with home.running() as engine:
        again = await engine.offer(began, "sync")
        assert again.message.startswith("blocked: its author asked to vanish")
        assert (await engine.offer(gone, "sync")).outcome is Outcome.DUPLICATE
        assert [e.id for e in await engine.query([Filter()])] == [gone.id]
        assert not home.path(BEN).exists()
        later = announce(BEN, created_at=NOW + 1)
        assert (await engine.offer(later, "user")).outcome is Outcome.HELD
