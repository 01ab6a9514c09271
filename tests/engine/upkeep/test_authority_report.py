"""What the report says, and what an upgrade from one-way lists does to refs (B 3.7, 9)."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from purgatory_sync.engine.upkeep.authority_report import (
    RefMove,
    RepositoryAuthority,
    RulingState,
    report_authority,
)
from purgatory_sync.engine.upkeep.catching_up import catch_up
from purgatory_sync.git.disk.alignment import align_refs
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import history
from ...world import NOW, World
from .test_garbage_collector import here, repacker

ANNA, BEN, CARL, OTTO, FRED = (Author.from_seed(n) for n in (1, 2, 3, 4, 5))
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
OURS, THEIRS = history(1, "ours")[0], history(1, "theirs")[0]


async def before_the_upgrade(world: World) -> tuple[Event, Event]:
    """Ben is only listed, and his newer state was served and rules the refs."""
    await world.announce(ANNA, maintainers=[BEN])
    world.give(ANNA, [OURS, THEIRS])
    older = events.state(ANNA, "repo", {MAIN: OURS.oid}, created_at=NOW - 60)
    newer = events.state(BEN, "repo", {MAIN: THEIRS.oid, DEV: OURS.oid}, created_at=NOW - 50)
    assert (await world.offer(older)).accepted
    await world.ledger.apply(Change(save=[newer]))
    align_refs(world.path(ANNA), {MAIN: THEIRS.oid, DEV: OURS.oid}, MAIN)
    return older, newer


async def test_b_9_the_report_says_before_what_an_upgrade_takes_back(world: World) -> None:
    older, _ = await before_the_upgrade(world)
    (report,) = await report_authority(world.core)
    assert report == RepositoryAuthority(
        npub=ANNA.npub,
        identifier="repo",
        standing="served",
        lead=None,
        maintainers=(ANNA.npub,),
        moderators=(),
        invited={BEN.npub: ANNA.npub},
        left=(),
        forwarded_to=None,
        no_authority=None,
        ruled_by=RulingState(older.id, ANNA.npub, NOW - 60),
        lost=(BEN.npub,),
        moves=(RefMove(DEV, OURS.oid, None), RefMove(MAIN, THEIRS.oid, OURS.oid)),
        moves_total=2,
    )
    for name in ("repo", f"{ANNA.npub}/repo"):
        assert await report_authority(world.core, name) == (report,)
    assert await report_authority(world.core, f"{BEN.npub}/repo") == ()
    assert world.refs(ANNA) == {MAIN: THEIRS.oid, DEV: OURS.oid}, "looking changes nothing"


async def test_b_9_the_first_start_warns_of_each_repository_and_keeps_the_objects(
    world: World, autojump_clock: MockClock
) -> None:
    older, _ = await before_the_upgrade(world)
    with capture_logs() as logs:
        await catch_up(world.store, world.core, world.releaser)
    (warning,) = [each for each in logs if each["log_level"] == "warning"]
    assert warning["event"].startswith("refs went back to an older state")
    assert warning["repository"] == f"{ANNA.npub}/repo"
    assert (warning["signer"], warning["ruled_by"]) == (BEN.npub, older.id)
    assert warning["refs"] == 2
    (counts,) = [each for each in logs if each["event"] == "looked at all that is served"]
    assert [counts[key] for key in ("checked", "brought_up", "failed", "back")] == [1, 1, 0, 1]
    assert world.refs(ANNA) == {MAIN: OURS.oid}
    world.repositories.note_left(world.path(ANNA))
    await repacker(world).look()
    assert here(world.path(ANNA), [THEIRS]) == [True], "his state is served still: he may accept"
    with capture_logs() as again:
        await catch_up(world.store, world.core, world.releaser)
    assert not [each for each in again if each["log_level"] == "warning"]
    await world.announce(BEN, maintainers=[ANNA], listed=False)
    assert world.refs(ANNA) == {MAIN: THEIRS.oid, DEV: OURS.oid}


async def test_b_9_a_crash_is_no_reason_to_warn(world: World, autojump_clock: MockClock) -> None:
    await world.announce(ANNA)
    world.give(ANNA, [OURS, THEIRS])
    for at, step in ((-60, OURS), (-50, THEIRS)):
        await world.offer(events.state(ANNA, "repo", {MAIN: step.oid}, created_at=NOW + at))
    align_refs(world.path(ANNA), {MAIN: OURS.oid}, MAIN)
    with capture_logs() as logs:
        await catch_up(world.store, world.core, world.releaser)
    assert list_refs(world.path(ANNA)) == {MAIN: THEIRS.oid}
    assert not [each for each in logs if each["log_level"] == "warning"]


async def test_b_3_7_the_report_names_all_keys_around_a_repository(world: World) -> None:
    await world.announce(
        ANNA, roles=[("M", ANNA), ("m", BEN), ("m", CARL), ("m", FRED), ("o", OTTO)]
    )
    await world.announce(BEN, roles=[("M", ANNA), ("m", BEN)], listed=False)
    await world.announce(CARL, roles=[("M", ANNA), ("m", CARL, "1", "2")], listed=False)
    await world.announce(OTTO, roles=[("M", ANNA), ("o", OTTO)], listed=False)
    (report,) = await report_authority(world.core)
    assert report.lead == ANNA.npub
    assert set(report.maintainers) == {ANNA.npub, BEN.npub}
    assert report.moderators == (OTTO.npub,)
    assert report.invited == {FRED.npub: ANNA.npub}
    assert report.left == (CARL.npub,)
    assert (report.no_authority, report.forwarded_to, report.ruled_by) == (None, None, None)


@pytest.mark.parametrize("served", [True, False])
async def test_b_3_7_the_report_says_who_is_forwarded_and_where_no_key_rules(
    world: World, served: bool
) -> None:
    await world.announce(ANNA)
    if served:
        world.give(ANNA, [OURS])
        state = events.state(ANNA, "repo", {MAIN: OURS.oid}, created_at=NOW - 60)
        assert (await world.offer(state)).accepted
    await world.announce(BEN, roles=[("M", BEN)])
    await world.announce(ANNA, roles=[("M", BEN), ("m", ANNA)], created_at=NOW - 50)
    report = {each.npub: each for each in await report_authority(world.core)}[ANNA.npub]
    if served:
        assert (report.forwarded_to, report.maintainers) == (BEN.npub, (BEN.npub,))
        assert report.no_authority is None
    else:
        assert (report.forwarded_to, report.maintainers) == (None, ())
        assert report.no_authority is not None
        assert report.no_authority.startswith("this announcement points at a repository of others")
