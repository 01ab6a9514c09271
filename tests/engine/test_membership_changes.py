"""What follows when a key is invited, accepts, goes, or points at others (B 3.8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.errors import PushRefused
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import HeldState, Origin
from purgatory_sync.release.index.missing_objects import concern_of
from purgatory_sync.release.lagging import lags, make_hosted
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import Step, history
from ..world import NOW, World
from .pushes.pushing_support import pack, pusher_of
from .upkeep.test_sweep import sweeper

ANNA, BEN, CARL, LEAD, DORA = (Author.from_seed(n) for n in (1, 2, 3, 4, 5))
MAIN = "refs/heads/main"
OURS, THEIRS, MORE = (history(1, seed)[0] for seed in ("ours", "theirs", "more"))
Roles = list[tuple[str, Author, *tuple[str, ...]]]


def state(author: Author, step: Step, at: int) -> Event:
    return events.state(author, "repo", {MAIN: step.oid}, created_at=NOW + at)


async def serve(world: World, author: Author, step: Step, at: int, where: Author) -> Event:
    """Let a state be served whose commit is in the repository of `where`."""
    world.give(where, [step])
    event = state(author, step, at)
    assert (await world.offer(event)).outcome is Outcome.SERVED
    return event


async def rules(world: World, author: Author, step: Step) -> bool:
    refs = world.refs(author)
    return {MAIN: step.oid} == {k: v for k, v in refs.items() if k.startswith("refs/heads/")}


INVITATIONS: dict[str, tuple[list[Author], Roles]] = {
    "list": ([BEN], []),
    "roles": ([], [("M", ANNA), ("m", BEN)]),
    "roles with a copy for old readers": ([BEN], [("M", ANNA), ("m", BEN)]),
    "as lead": ([], [("m", ANNA), ("m", BEN), ("M", ANNA), ("M", ANNA, "1", "2")]),
}


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("fork", ["served", "held", "none"])
@pytest.mark.parametrize("invitation", INVITATIONS)
async def test_b_3_8_an_invitation_moves_nothing(
    world: World, invitation: str, fork: str, origin: Origin
) -> None:
    """Ben has a fork under the same name: his state is nothing to Anna, nor hers to him."""
    maintainers, roles = INVITATIONS[invitation]
    await world.announce(ANNA, created_at=NOW - 100, origin=origin)
    await serve(world, ANNA, OURS, -90, ANNA)
    if fork != "none":
        await world.announce(BEN, origin=origin)
    if fork == "served":
        await serve(world, BEN, THEIRS, -80, BEN)
    await world.announce(
        ANNA, maintainers=maintainers, roles=roles, created_at=NOW - 70, origin=origin
    )
    world.give(ANNA, [MORE])
    later = await world.offer(state(BEN, MORE, -60), origin)
    assert world.refs(ANNA) == {MAIN: OURS.oid}
    if fork == "none":
        assert later.outcome is Outcome.REFUSED
        assert later.message.startswith("restricted: author not authorized for this repository: ")
        assert f"you are invited by {ANNA.npub}" in later.message
        assert later.lacks == ("d:repo",)
    else:
        assert later.outcome is Outcome.HELD, "it concerns his own repository only"
        assert world.refs(BEN) == ({MAIN: THEIRS.oid} if fork == "served" else {})
    with pytest.raises(PushRefused):
        await pusher_of(world).receive(
            RepositoryId(ANNA.pubkey, "repo"), {MAIN: MORE.oid}, pack([MORE])
        )
    assert world.refs(ANNA) == {MAIN: OURS.oid}


ACCEPTANCES: dict[str, tuple[list[Author], Roles]] = {
    "list": ([ANNA], []),
    "of ngit 3": ([], [("M", ANNA, "100"), ("m", BEN, "100")]),
    "without a lead": ([], [("m", ANNA), ("m", BEN)]),
    "of old, when invited again": ([], [("M", ANNA, "20"), ("m", BEN, "20")]),
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("acceptance", ACCEPTANCES)
async def test_b_3_8_who_accepts_brings_his_newer_state_at_once(
    world: World, acceptance: str, listed: bool
) -> None:
    maintainers, roles = ACCEPTANCES[acceptance]
    await world.announce(BEN)
    await serve(world, BEN, THEIRS, -50, BEN)
    await world.announce(ANNA, roles=[("M", ANNA), ("m", BEN)])
    await serve(world, ANNA, OURS, -60, ANNA)
    assert await rules(world, ANNA, OURS)
    if acceptance == "without a lead":
        await world.announce(ANNA, roles=[("m", ANNA), ("m", BEN)], created_at=NOW - 45)
    await world.announce(
        BEN, maintainers=maintainers, roles=roles, created_at=NOW - 40, listed=listed
    )
    assert await rules(world, ANNA, THEIRS)


async def test_b_3_8_who_accepts_gets_the_newer_state_of_who_invited_him(world: World) -> None:
    await world.announce(BEN)
    await serve(world, BEN, THEIRS, -60, BEN)
    await world.announce(ANNA, maintainers=[BEN])
    await serve(world, ANNA, OURS, -50, ANNA)
    assert await rules(world, BEN, THEIRS)
    await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 40)
    assert await rules(world, BEN, OURS)


async def test_b_3_8_what_was_refused_is_taken_when_its_author_accepted(world: World) -> None:
    await world.announce(ANNA, maintainers=[BEN])
    world.give(ANNA, [OURS])
    waiting = state(BEN, OURS, -50)
    refused = await world.offer(waiting, Origin.SYNC)
    assert refused.outcome is Outcome.REFUSED
    await world.announce(BEN, maintainers=[ANNA], listed=False)
    assert (await world.offer(waiting, Origin.SYNC)).outcome is Outcome.SERVED
    assert await rules(world, ANNA, OURS)


@pytest.mark.parametrize("removed", [True, False])
async def test_b_6_7_who_is_removed_while_he_pushes_has_pushed_nothing(
    world: World, removed: bool
) -> None:
    """The second judgement decides, under the lock, and so it does when he is let in meanwhile."""
    await world.announce(ANNA, maintainers=[BEN] if removed else [])
    await world.announce(BEN, maintainers=[ANNA])
    await serve(world, ANNA, OURS, -60, ANNA)
    waiting = state(BEN, THEIRS, -50)
    assert (await world.offer(waiting)).outcome is Outcome.HELD
    pieces, begun = pack([THEIRS]), False

    async def read() -> bytes:
        nonlocal begun
        if not begun:
            begun = True
            await world.announce(ANNA, maintainers=[] if removed else [BEN], created_at=NOW - 40)
        return await pieces()

    push = pusher_of(world).receive(RepositoryId(ANNA.pubkey, "repo"), {MAIN: THEIRS.oid}, read)
    with pytest.raises(PushRefused, match="signed by no maintainer of this repository"):
        await push
    assert begun is removed, "one who is no member yet is not even listened to"
    assert await rules(world, ANNA, OURS)


async def test_b_6_7_who_accepts_while_the_other_pushes_has_the_newer_state(world: World) -> None:
    """Anna's push was begun when her state was the newest of her set; Ben's is newer."""
    await world.announce(BEN)
    await serve(world, BEN, THEIRS, -50, BEN)
    await world.announce(ANNA, maintainers=[BEN])
    await serve(world, ANNA, OURS, -80, ANNA)
    assert (await world.offer(state(ANNA, MORE, -60))).outcome is Outcome.HELD
    pieces, begun = pack([MORE]), False

    async def read() -> bytes:
        nonlocal begun
        if not begun:
            begun = True
            await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 40)
            assert await rules(world, ANNA, THEIRS)
        return await pieces()

    with pytest.raises(PushRefused):
        await pusher_of(world).receive(RepositoryId(ANNA.pubkey, "repo"), {MAIN: MORE.oid}, read)
    assert begun
    assert await rules(world, ANNA, THEIRS)


async def test_b_3_7_a_moderator_rules_nothing_and_sets_statuses(world: World) -> None:
    """Clients judge who may set a status (B 5); refs are for maintainers."""
    await world.announce(ANNA, roles=[("M", ANNA), ("o", CARL)])
    await world.announce(CARL, roles=[("M", ANNA), ("o", CARL)], listed=False)
    await serve(world, ANNA, OURS, -80, ANNA)
    world.give(ANNA, [MORE])
    request = events.pull_request(DORA, [ANNA.coordinate("repo")], MORE.oid, created_at=NOW - 75)
    assert (await world.offer(request)).outcome is Outcome.SERVED
    refused = await world.offer(state(CARL, MORE, -70))
    assert refused.message.startswith("restricted: author not authorized for this repository: ")
    with pytest.raises(PushRefused):
        await pusher_of(world).receive(
            RepositoryId(ANNA.pubkey, "repo"), {MAIN: MORE.oid}, pack([MORE])
        )
    status = events.note(CARL, kind=1632, tags=[("e", request.id)], created_at=NOW - 60)
    assert (await world.offer(status)).outcome is Outcome.SERVED
    assert await rules(world, ANNA, OURS)


@pytest.mark.parametrize("origin", list(Origin))
async def test_b_2_2_b_a_member_that_delists_stays_one(world: World, origin: Origin) -> None:
    """Its membership never lapses, its repository is not served any more and stays on the disk."""
    await world.announce(ANNA, maintainers=[BEN])
    hosted = await world.announce(BEN, maintainers=[ANNA])
    await serve(world, ANNA, OURS, -80, ANNA)
    await serve(world, BEN, THEIRS, -70, BEN)
    assert await rules(world, ANNA, THEIRS)
    beside = await world.announce(
        BEN, maintainers=[ANNA], created_at=NOW - 60, listed=False, origin=origin
    )
    assert {beside.id} == {beside.id, hosted.id} & await world.served()
    assert await rules(world, ANNA, THEIRS)
    assert (await world.index.data("repo")).maintainer_set(ANNA.pubkey) == {
        ANNA.pubkey,
        BEN.pubkey,
    }
    assert is_repository(world.path(BEN))
    assert (await world.offer(hosted, origin)).outcome is not Outcome.SERVED
    await serve(world, BEN, MORE, -50, ANNA)
    assert await rules(world, ANNA, MORE)


Leave = Callable[[World], Awaitable[object]]


def by_announcement(author: Author, *roles: tuple[str, Author, *tuple[str, ...]]) -> Leave:
    return lambda world: world.announce(
        author, roles=list(roles), created_at=NOW - 30, listed=author is ANNA
    )


def by_deletion(letter: str) -> Leave:
    async def leave(world: World) -> object:
        known = (await world.index.data("repo")).known[BEN.pubkey].announcement.event
        target = known.id if letter == "e" else f"30617:{BEN.pubkey}:repo"
        return await world.offer(BEN.sign(5, "", [(letter, target)], NOW - 30))

    return leave


WAYS: dict[str, Leave] = {
    "he ends his role": by_announcement(BEN, ("M", ANNA), ("m", BEN, "1", "2")),
    "he moderates only": by_announcement(BEN, ("M", ANNA), ("o", BEN)),
    "he defers": by_announcement(BEN, ("M", ANNA), ("m", BEN, "1", "defer")),
    "he names nobody": by_announcement(BEN),
    "he deletes by id": by_deletion("e"),
    "he deletes by address": by_deletion("a"),
    "his role is ended": by_announcement(ANNA, ("M", ANNA), ("m", BEN, "1", "2")),
    "he is left out": by_announcement(ANNA, ("M", ANNA)),
}


@pytest.mark.parametrize("way", WAYS)
async def test_b_3_8_who_goes_rules_no_more_and_comes_back(world: World, way: str) -> None:
    """Whom he brought goes with him."""
    await world.announce(ANNA, roles=[("M", ANNA), ("m", BEN)])
    await world.announce(BEN, roles=[("M", ANNA), ("m", BEN), ("m", CARL)], listed=False)
    await world.announce(CARL, roles=[("M", ANNA), ("m", CARL), ("m", BEN)], listed=False)
    await serve(world, ANNA, OURS, -80, ANNA)
    bens = await serve(world, BEN, THEIRS, -70, ANNA)
    await serve(world, CARL, MORE, -60, ANNA)
    held = events.state(BEN, "repo", {MAIN: "1" * 40}, created_at=NOW - 50)
    assert (await world.offer(held)).outcome is Outcome.HELD
    await WAYS[way](world)
    assert await rules(world, ANNA, OURS)
    assert (await world.index.data("repo")).maintainer_set(ANNA.pubkey) == {ANNA.pubkey}
    assert bens.id in await world.served()
    assert held.id in await world.held(), "it waits for its end, or his return"
    waiting = world.purgatory.get(held.id)
    assert isinstance(waiting, HeldState)
    concern = await concern_of(waiting, world.index, world.repositories)
    assert concern.repositories == (), "it is hunted for no more"
    for author in (BEN, CARL):
        later = await world.offer(state(author, MORE, -20))
        assert way == "he names nobody" or later.outcome is Outcome.REFUSED, later.message
    assert await rules(world, ANNA, OURS)
    await world.announce(ANNA, roles=[("M", ANNA), ("m", BEN)], created_at=NOW - 10)
    await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 10, listed=False)
    # A key that names no other rules itself: what it signed meanwhile waited for its return.
    assert await rules(world, ANNA, MORE if way == "he names nobody" else THEIRS)


async def test_b_3_4_where_no_state_is_left_refs_stay_and_the_roster_holds(
    world: World, autojump_clock: MockClock
) -> None:
    """The owner has no state of its own: the removal stands all the same, at any later time."""
    await world.announce_group(ANNA, BEN)
    await serve(world, BEN, THEIRS, -50, ANNA)
    await world.announce(ANNA, created_at=NOW - 40)
    assert await rules(world, ANNA, THEIRS)
    for _ in range(2):
        await trio.sleep(25 * 3600)
        await sweeper(world).sweep()
        assert await rules(world, ANNA, THEIRS)
        assert (await world.index.data("repo")).maintainer_set(ANNA.pubkey) == {ANNA.pubkey}


async def test_b_2_10_what_becomes_private_is_taken_off(world: World) -> None:
    await world.announce_group(ANNA, BEN)
    await world.announce(CARL)
    ours = await serve(world, ANNA, OURS, -80, ANNA)
    theirs = await serve(world, BEN, THEIRS, -70, ANNA)
    carls = await serve(world, CARL, MORE, -60, CARL)
    prs = [
        events.pull_request(BEN, [each.coordinate("repo")], OURS.oid, created_at=NOW - 50)
        for each in (ANNA, CARL)
    ]
    world.give(CARL, [OURS])
    for each in prs:
        assert (await world.offer(each)).outcome is Outcome.SERVED
    plain = (await world.index.data("repo")).known[ANNA.pubkey].announcement.event
    private = ANNA.sign(30617, "", [*plain.tags, ("private", "true")], NOW - 40)
    answer = await world.offer(private)
    assert (answer.outcome, answer.lacks) == (Outcome.REFUSED, ())
    left = await world.served()
    assert left.isdisjoint({plain.id, private.id, ours.id, theirs.id, prs[0].id})
    assert left >= {carls.id, prs[1].id}
    assert await pusher_of(world).refs(RepositoryId(ANNA.pubkey, "repo")) is None
    assert is_repository(world.path(ANNA)), "the folder is kept"
    assert (await world.offer(plain, Origin.SYNC)).message == "invalid: deleted by its author"


async def test_b_2_10_a_member_who_becomes_private_goes_and_the_owners_repository_stays(
    world: World,
) -> None:
    await world.announce(ANNA, maintainers=[BEN])
    ours = await serve(world, ANNA, OURS, -80, ANNA)
    bens = await world.announce(BEN, maintainers=[ANNA])
    theirs = await serve(world, BEN, THEIRS, -70, ANNA)
    assert await rules(world, ANNA, THEIRS)
    await world.offer(BEN.sign(30617, "", [*bens.tags, ("private", "true")], NOW - 40))
    assert bens.id not in await world.served()
    assert {ours.id, theirs.id} <= await world.served()
    assert await rules(world, ANNA, OURS)


@pytest.mark.parametrize("point_at", [True, False])
async def test_b_3_7_who_was_removed_has_the_repository_that_he_points_at(
    world: World, point_at: bool
) -> None:
    await world.announce(ANNA, roles=[("M", ANNA), ("m", BEN)])
    await serve(world, ANNA, OURS, -80, ANNA)
    pointing: Roles = [("M", ANNA), ("m", BEN)]
    own: Roles = [("M", BEN), ("m", ANNA)]
    await world.announce(BEN, roles=pointing if point_at else own)
    if not point_at:
        await serve(world, BEN, THEIRS, -70, BEN)
        assert await rules(world, ANNA, THEIRS)
    await world.announce(ANNA, roles=[("M", ANNA)], created_at=NOW - 60)
    assert await rules(world, ANNA, OURS)
    assert await rules(world, BEN, OURS if point_at else THEIRS)
    answer = await world.offer(state(BEN, MORE, -50))
    assert answer.outcome is (Outcome.REFUSED if point_at else Outcome.HELD)
    if point_at:
        assert f"your announcement points at {ANNA.npub}, which names you no more" in answer.message
        await world.announce(BEN, roles=own, created_at=NOW - 40)
        await serve(world, BEN, MORE, -30, BEN)
        assert await rules(world, BEN, MORE), "one announcement without the pointer is enough"
        assert await rules(world, ANNA, OURS)


async def test_b_2_6_a_stranger_who_points_at_others_gets_no_copy(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(ANNA, roles=[("M", ANNA)])
    await serve(world, ANNA, OURS, -80, ANNA)
    stranger = await world.announce(CARL, roles=[("M", ANNA), ("m", CARL)])
    assert stranger.id in await world.held()
    await serve(world, ANNA, MORE, -70, ANNA)
    request = events.pull_request(
        BEN, [CARL.coordinate("repo"), ANNA.coordinate("repo")], MORE.oid, created_at=NOW - 60
    )
    assert (await world.offer(request)).outcome is Outcome.SERVED
    assert world.refs(CARL) == {}
    assert stranger.id in await world.held()
    with pytest.raises(PushRefused, match="no key may push here: this announcement points at"):
        await pusher_of(world).receive(
            RepositoryId(CARL.pubkey, "repo"), {MAIN: MORE.oid}, pack([MORE])
        )
    await trio.sleep(1801)
    await sweeper(world).sweep()
    await trio.sleep(24 * 3600)
    await sweeper(world).sweep()
    assert stranger.id not in await world.held() | await world.served()


async def test_b_2_7_what_a_path_only_passes_through_does_not_end_either(
    world: World, autojump_clock: MockClock
) -> None:
    """Ben has left, and points on: he is no member, but Anna's pointer goes through him."""
    await world.announce(ANNA)
    await serve(world, ANNA, OURS, -80, ANNA)
    await world.announce(LEAD, roles=[("M", LEAD)])
    between = await world.announce(BEN, roles=[("M", LEAD), ("m", BEN, "1", "2")])
    await world.announce(ANNA, roles=[("M", BEN)], created_at=NOW - 70)
    for seconds in (1801, 24 * 3600):
        await trio.sleep(seconds)
        await sweeper(world).sweep()
    assert between.id in await world.served()
    assert (await world.index.data("repo")).maintainer_set(ANNA.pubkey) == {LEAD.pubkey}


@pytest.mark.parametrize("how", ["removes everybody", "deletes itself", "names nobody", "vanishes"])
async def test_b_3_8_a_lead_that_goes_empties_nothing(world: World, how: str) -> None:
    """Anna points at the lead, in whose group she is; afterwards she frees herself."""
    await world.announce(LEAD, roles=[("M", LEAD), ("m", ANNA)])
    await world.announce(ANNA, roles=[("M", LEAD), ("m", ANNA)])
    await serve(world, ANNA, OURS, -80, ANNA)
    await serve(world, LEAD, THEIRS, -70, LEAD)
    assert await rules(world, ANNA, THEIRS)
    if how == "deletes itself":
        await world.offer(LEAD.sign(5, "", [("a", f"30617:{LEAD.pubkey}:repo")], NOW - 60))
    elif how == "vanishes":
        await world.offer(events.vanish(LEAD, created_at=NOW - 60))
        assert not is_repository(world.path(LEAD))
    else:
        roles: Roles = [("M", LEAD)] if how == "removes everybody" else [("m", LEAD)]
        await world.announce(LEAD, roles=roles, created_at=NOW - 60)
    assert await rules(world, ANNA, THEIRS), "it points there still, or no key rules"
    await world.announce(ANNA, roles=[("M", ANNA)], created_at=NOW - 50)
    assert await rules(world, ANNA, OURS)


@pytest.mark.parametrize("letter", ["m", "M"])
async def test_b_2_7_an_acceptance_does_not_end_because_its_time_is_over(
    world: World, autojump_clock: MockClock, letter: str
) -> None:
    """Nothing was ever there to promote it: his own repository is nobody's, or has no data."""
    await world.announce(ANNA, maintainers=[BEN])
    request = events.pull_request(CARL, [ANNA.coordinate("repo")], OURS.oid, created_at=NOW - 80)
    world.give(ANNA, [OURS])
    assert (await world.offer(request)).outcome is Outcome.SERVED
    accepts = await world.announce(BEN, roles=[(letter, ANNA), ("m", BEN)])
    for seconds in (1801, 24 * 3600):
        assert accepts.id in await world.held()
        await trio.sleep(seconds)
        await sweeper(world).sweep()
    assert accepts.id in await world.served()
    assert accepts.id in world.told
    assert not is_repository(world.path(BEN))
    await serve(world, BEN, MORE, -50, ANNA)
    assert await rules(world, ANNA, MORE)


async def test_b_2_7_the_lead_that_a_served_owner_points_at_does_not_end(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(ANNA)
    await serve(world, ANNA, OURS, -80, ANNA)
    lead = await world.announce(LEAD, roles=[("M", LEAD), ("m", ANNA)])
    await world.announce(ANNA, roles=[("M", LEAD), ("m", ANNA)], created_at=NOW - 70)
    assert lead.id in await world.served(), "it got the data of the group at once"
    empty = await world.announce(BEN, "other", roles=[("M", BEN)])
    for owner in (ANNA, CARL):
        await world.announce(owner, "other")
    world.give(ANNA, [OURS], "other")
    there = events.state(ANNA, "other", {MAIN: OURS.oid}, created_at=NOW - 60)
    assert (await world.offer(there)).outcome is Outcome.SERVED
    await world.announce(ANNA, "other", roles=[("M", BEN)], created_at=NOW - 50)
    for seconds in (1801, 24 * 3600):
        await trio.sleep(seconds)
        await sweeper(world).sweep()
    assert empty.id in await world.served()
    assert (await world.index.data("other")).maintainer_set(ANNA.pubkey) == {BEN.pubkey}


async def test_b_1_8_an_older_acceptance_does_not_come_back(world: World) -> None:
    await world.announce(ANNA, maintainers=[BEN])
    accepted = await world.announce(BEN, maintainers=[ANNA], listed=False)
    await world.announce(BEN, created_at=NOW - 50, listed=False)
    assert (await world.offer(accepted, Origin.SYNC)).message == (
        "duplicate: a newer version is served"
    )
    assert (await world.index.data("repo")).maintainer_set(ANNA.pubkey) == {ANNA.pubkey}
    again = await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 40, listed=False)
    await world.offer(BEN.sign(5, "", [("e", again.id)], NOW - 30))
    for each in (accepted, again):
        assert (await world.offer(each)).message == "invalid: deleted by its author"


@pytest.mark.parametrize("ends", ["forgotten", "delisted", "deleted"])
async def test_b_2_7_what_only_a_held_one_named_leaves_with_it(
    world: World, autojump_clock: MockClock, ends: str
) -> None:
    """Ben accepted Anna's invitation, Carl his; only Carl is named by a served owner, too."""
    held = await world.announce(ANNA, maintainers=[BEN])
    bens = await world.announce(BEN, maintainers=[ANNA, CARL], listed=False)
    carls = await world.announce(CARL, maintainers=[BEN, LEAD], listed=False)
    await world.announce(LEAD, maintainers=[CARL])
    await serve(world, LEAD, OURS, -50, LEAD)
    assert {bens.id, carls.id} <= await world.served()
    if ends == "delisted":
        await world.offer(
            ANNA.sign(30617, "", [("d", "repo"), ("maintainers", BEN.pubkey)], NOW - 40)
        )
    elif ends == "deleted":
        await world.offer(ANNA.sign(5, "", [("e", held.id)], NOW - 40))
    else:
        for _ in range(2):
            await trio.sleep(25 * 3600)
            await sweeper(world).sweep()
    assert held.id not in await world.held()
    assert bens.id in await world.served(), "Carl names him, who is the lead's member"
    await world.announce(LEAD, created_at=NOW - 30)
    assert {bens.id, carls.id} <= await world.served(), "who was named by a served owner stays"


@pytest.mark.parametrize("ends", ["forgotten", "delisted", "deleted"])
async def test_b_2_7_what_no_other_owner_names_leaves_with_the_held_one(
    world: World, autojump_clock: MockClock, ends: str
) -> None:
    held = await world.announce(ANNA, maintainers=[BEN])
    bens = await world.announce(BEN, maintainers=[ANNA, CARL], listed=False)
    carls = await world.announce(CARL, maintainers=[BEN], listed=False)
    own = await world.announce(LEAD, maintainers=[DORA])
    await serve(world, LEAD, OURS, -50, LEAD)
    doras = await world.announce(DORA, maintainers=[LEAD], listed=False)
    if ends == "delisted":
        await world.offer(ANNA.sign(30617, "", [("d", "repo")], NOW - 40))
    elif ends == "deleted":
        await world.offer(ANNA.sign(5, "", [("e", held.id)], NOW - 40))
    else:
        for _ in range(2):
            await trio.sleep(25 * 3600)
            await sweeper(world).sweep()
    served = await world.served()
    assert not {bens.id, carls.id} & served
    assert {own.id, doras.id} <= served
    await world.announce(ANNA, maintainers=[BEN], created_at=NOW - 30)
    assert (await world.offer(bens)).outcome is Outcome.SERVED, "nothing bars it"


async def test_b_2_2_a_bar_of_what_was_refused_is_forgotten_after_seven_days(
    world: World, autojump_clock: MockClock
) -> None:
    """Ben withdrew an acceptance that never came here; then he may come back by the old one."""
    await world.announce(ANNA, maintainers=[CARL])
    await serve(world, ANNA, OURS, -90, ANNA)
    old = events.announcement(BEN, "repo", maintainers=[ANNA], created_at=NOW - 80)
    refused = events.announcement(BEN, "repo", created_at=NOW - 70)
    assert (await world.offer(refused, Origin.SYNC)).outcome is Outcome.REFUSED
    await world.announce(ANNA, maintainers=[BEN], created_at=NOW - 60)
    sweep = sweeper(world)
    for hours, outcome in (
        (0, Outcome.REFUSED),
        (7 * 24 - 2, Outcome.REFUSED),
        (4, Outcome.SERVED),
    ):
        await trio.sleep(hours * 3600)
        await sweep.sweep()
        assert (await world.offer(old, Origin.SYNC)).outcome is outcome, hours


async def test_b_2_10_what_was_private_before_leaves_when_a_newer_private_one_comes(
    world: World,
) -> None:
    """A former version served it; until a newer one comes it keeps what it has."""
    plain = await world.announce(ANNA)
    ours = await serve(world, ANNA, OURS, -80, ANNA)
    pr = events.pull_request(BEN, [ANNA.coordinate("repo")], OURS.oid, created_at=NOW - 75)
    assert (await world.offer(pr)).outcome is Outcome.SERVED
    private = ANNA.sign(30617, "", [*plain.tags, ("private", "true")], NOW - 70)
    await world.ledger.apply(Change(save=[private]))
    assert {private.id, ours.id, pr.id} <= await world.served()
    newer = ANNA.sign(30617, "", [*plain.tags, ("private", "yes")], NOW - 60)
    assert (await world.offer(newer)).outcome is Outcome.REFUSED
    assert not {private.id, newer.id, ours.id, pr.id} & await world.served()
    assert (await world.offer(private, Origin.SYNC)).outcome is Outcome.REFUSED


async def test_b_2_7_an_acceptance_served_without_a_repository_gets_none_at_a_start(
    world: World, autojump_clock: MockClock
) -> None:
    """It serves for others; its own repository comes with a newer announcement (B 2.3)."""
    await world.announce(ANNA)
    await serve(world, ANNA, OURS, -90, ANNA)
    theirs = await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 80)
    await trio.sleep(1801)
    await sweeper(world).sweep()
    assert not is_repository(world.path(BEN))
    await world.announce(ANNA, maintainers=[BEN], created_at=NOW - 70)
    await trio.sleep(25 * 3600)
    await sweeper(world).sweep()
    assert theirs.id in await world.served()
    for _ in range(2):
        assert not await lags(world.core, "repo")
        await make_hosted(world.core, "repo")
        await world.releaser.process("repo", bring_up=True)
        assert not is_repository(world.path(BEN))
        world.ledger.restore_made((await world.store.load()).made)
    await world.announce(BEN, maintainers=[ANNA], created_at=NOW - 60)
    assert await rules(world, BEN, OURS), "a newer one is filled at once"
    world.repositories.remove(BEN.pubkey, "repo")
    await make_hosted(world.core, "repo")
    assert is_repository(world.path(BEN)), "what it had once is made again"
