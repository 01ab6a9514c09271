"""What expired events and placeholders left behind goes, and what may be needed stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from purgatory_sync.engine.pushes.pushing import Pusher
from purgatory_sync.engine.upkeep import garbage_collector
from purgatory_sync.engine.upkeep.garbage_collector import Dropper
from purgatory_sync.engine.upkeep.list_enforcement import end_what_is_blocked
from purgatory_sync.engine.upkeep.repacker import LOOK_SECS, Repacker
from purgatory_sync.errors import LocalFailure, PushRefused
from purgatory_sync.git.disk.layout import read_era
from purgatory_sync.git.disk.repository import present_oids
from purgatory_sync.git.fetch.observer import SilentObserver
from purgatory_sync.git.ingest.quarantine import Quarantined
from purgatory_sync.git.ingest.sink import Ingest
from purgatory_sync.git.maintenance.garbage import Needed, pack_what_is_needed
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.records import Placeholder
from purgatory_sync.release.index.locks import IdentifierLocks
from purgatory_sync.release.index.repositories import LEFT_MARKER
from purgatory_sync.release.repository_sync import drop_refs
from purgatory_sync.release.retention import named_oids
from purgatory_sync.settings import CurationSettings, HuntSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import Step, git, history, oid_of, tag_of
from ...world import NOW, SERVICE, World
from ..pushes.pushing_support import ID, NOSTR, TARGET, pack, pack_of, pieces, pusher_of
from ..test_context import context
from ..test_engine import Home, announce
from .test_sweep import sweeper

pytestmark = pytest.mark.real

OWNER, MAINTAINER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN, DEV = "refs/heads/main", "refs/heads/dev"
STEPS = history(3)
STRAY = history(2, "stray")
HOUR = 3_600


def repacker(world: World) -> Repacker:
    return Repacker(world.core, world.releaser, 0)


def state(refs: dict[str, str], at: int = NOW - 50, author: Author = OWNER) -> Event:
    return events.state(author, "repo", refs, created_at=at)


def request(step: Step, author: Author = STRANGER, at: int = NOW - 40) -> Event:
    return events.pull_request(author, [OWNER.coordinate("repo")], step.oid, created_at=at)


def here(path: Path, steps: Sequence[Step]) -> list[bool]:
    found = present_oids(path, [step.oid for step in steps])
    return [step.oid in found for step in steps]


def is_marked(path: Path) -> bool:
    return (path / LEFT_MARKER).exists()


async def serving(world: World, *maintainers: Author) -> Path:
    """A repository with its first two commits at main."""
    await world.announce_group(OWNER, *maintainers)
    world.give(OWNER, STEPS[:2])
    await world.offer(state({MAIN: STEPS[1].oid}))
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}
    return world.path(OWNER)


async def left_behind(world: World, path: Path) -> None:
    """A stranger's commits, which nothing names any more."""
    world.give(OWNER, STRAY)
    world.repositories.note_left(path)


async def place(pusher: Pusher, steps: Sequence[Step] = STRAY, event_id: str = ID) -> None:
    """Push commits before the event that names them."""
    await pusher.receive(TARGET, {f"refs/nostr/{event_id}": steps[-1].oid}, pack(steps))


async def test_b_7_5_an_expired_placeholder_leaves_nothing(
    world: World, tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    await place(pusher_of(world))
    assert here(path, STRAY) == [True, True]
    await repacker(world).look()
    assert here(path, STRAY) == [True, True]
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid}
    assert is_marked(path)
    with capture_logs() as logs:
        await repacker(world).look()
    assert [log["bytes"] > 0 for log in logs if log["event"] == "dropped"] == [True]
    assert here(path, STRAY) == [False, False]
    assert here(path, STEPS) == [True, True, False]
    assert not is_marked(path)
    git(path, "fsck", "--strict", "--full")
    git(tmp_path, "clone", "-q", "-b", "main", str(path), "clone")
    assert git(tmp_path / "clone", "rev-parse", "HEAD").strip() == STEPS[1].oid
    assert list(world.repositories.tmp.iterdir()) == []


async def test_where_nothing_was_left_nothing_is_done(world: World) -> None:
    path = await serving(world)
    world.give(OWNER, STRAY)
    await repacker(world).look()
    assert here(path, STRAY) == [True, True]
    assert read_era(path) == ""


async def test_where_there_is_nothing_to_gain_no_era_begins(world: World) -> None:
    path = await serving(world)
    world.repositories.note_left(path)
    await repacker(world).look()
    assert not is_marked(path)
    assert read_era(path) == ""


async def test_a_placeholder_leaves_nothing_where_the_announcement_was_deleted(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    (announced,) = (await world.index.data("repo")).known.values()
    await place(pusher_of(world))
    await world.offer(
        events.deletion(OWNER, ids=[announced.announcement.event.id], created_at=NOW - 20)
    )
    assert (await world.index.data("repo")).known == {}
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    assert is_marked(path)


async def test_a_served_pull_request_stays_while_its_repository_is_announced_anew(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    (announced,) = (await world.index.data("repo")).known.values()
    event = request(STRAY[1])
    await place(pusher_of(world), event_id=event.id)
    await world.offer(event)
    await world.offer(
        events.deletion(OWNER, ids=[announced.announcement.event.id], created_at=NOW - 20)
    )
    assert await world.index.serves(event.id)
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    world.repositories.note_left(path)
    await repacker(world).look()
    assert len(world.purgatory.placeholders) == 0
    assert world.refs(OWNER)[f"refs/nostr/{event.id}"] == STRAY[1].oid
    assert here(path, STRAY) == [True, True]
    git(path, "fsck", "--strict", "--full")


async def test_an_event_that_expires_leaves_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    late = state({MAIN: STRAY[1].oid, DEV: "1" * 40}, NOW - 30)
    await world.offer(late)
    world.give(OWNER, STRAY)
    world.repositories.note_left(path)
    await repacker(world).look()
    assert here(path, STRAY) == [True, True]
    assert not is_marked(path)
    await trio.sleep(7_200)
    await sweeper(world).sweep()
    assert late.id not in await world.held()
    assert is_marked(path)
    await repacker(world).look()
    assert here(path, STRAY) == [False, False]


async def test_an_event_that_brought_nothing_leaves_no_work(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    # What it names besides is at a ref.
    await world.offer(state({MAIN: STEPS[1].oid, DEV: "1" * 40}, NOW - 30))
    await world.offer(
        events.pull_request(STRANGER, [OWNER.coordinate("repo")], "2" * 40, created_at=NOW - 20)
    )
    await trio.sleep(7_200)
    await sweeper(world).sweep()
    assert await world.held() == set()
    assert not is_marked(path)


async def test_what_is_deleted_by_its_author_leaves_nothing(world: World) -> None:
    path = await serving(world)
    late = state({MAIN: STRAY[1].oid, DEV: "1" * 40}, NOW - 30)
    await world.offer(late)
    world.give(OWNER, STRAY)
    assert late.id in await world.held()
    await world.offer(events.deletion(OWNER, ids=[late.id], created_at=NOW - 20))
    assert is_marked(path)
    await repacker(world).look()
    assert here(path, STRAY) == [False, False]
    assert here(path, STEPS[:2]) == [True, True]


async def test_a_placeholder_whose_event_names_another_commit_leaves_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    event = request(STEPS[0])
    await place(pusher_of(world), event_id=event.id)
    await world.offer(event)
    assert world.refs(OWNER) == {MAIN: STEPS[1].oid, f"refs/nostr/{event.id}": STEPS[0].oid}
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    await repacker(world).look()
    assert here(path, STRAY) == [False, False]
    assert world.refs(OWNER)[f"refs/nostr/{event.id}"] == STEPS[0].oid


async def test_a_placeholder_whose_event_came_leaves_no_work(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    event = request(STRAY[1])
    await place(pusher_of(world), event_id=event.id)
    await world.offer(event)
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    assert len(world.purgatory.placeholders) == 0
    assert not is_marked(path)


async def test_what_comes_along_with_a_pull_request_to_another_identifier_goes(
    world: World,
) -> None:
    path = await serving(world)
    await world.announce(MAINTAINER, "other")
    world.give(OWNER, STRAY)
    both = [OWNER.coordinate("repo"), MAINTAINER.coordinate("other")]
    await world.offer(events.pull_request(STRANGER, both, STEPS[0].oid, created_at=NOW - 40))
    other = world.path(MAINTAINER, "other")
    assert here(other, [*STEPS[:2], *STRAY]) == [True] * 4
    await repacker(world).look()
    assert here(other, [*STEPS[:2], *STRAY]) == [True, False, False, False]
    assert here(path, [*STEPS[:2], *STRAY]) == [True, True, False, False]
    git(other, "fsck", "--strict", "--full")


async def test_what_the_operators_lists_end_leaves_nothing(world: World) -> None:
    path = await serving(world)
    pr = PullRequest.parse(request(STRAY[1]))
    world.give(OWNER, STRAY)
    world.purgatory.add_pr(pr, Origin.USER, NOW)
    lists = CurationSettings(event_blacklist=(STRANGER.npub,))
    world.index.use_lists(lists)
    await end_what_is_blocked(world.core, world.releaser, SERVICE)
    assert world.purgatory.get(pr.event.id) is None
    assert is_marked(path)


async def test_a_push_that_is_refused_after_all_leaves_nothing(world: World) -> None:
    path = await serving(world)
    tag = tag_of(STRAY[1].commit)
    objects = [*(each for step in STRAY for each in step.objects), tag]
    with pytest.raises(PushRefused, match="is a tag"):
        await pusher_of(world).receive(TARGET, {NOSTR: oid_of(tag)}, pieces(pack_of(objects)))
    assert here(path, STRAY) == [True, True]
    assert is_marked(path)
    await repacker(world).look()
    assert here(path, STRAY) == [False, False]


async def test_a_push_that_brought_nothing_leaves_no_work(world: World) -> None:
    path = await serving(world)
    with pytest.raises(PushRefused, match="did not come"):
        await pusher_of(world).receive(TARGET, {NOSTR: STRAY[1].oid}, pieces())
    assert not is_marked(path)


@pytest.mark.parametrize("ends", [False, True])
async def test_what_a_hunt_brings_for_an_event_that_ended_leaves_nothing(
    world: World, ends: bool
) -> None:
    path = await serving(world)
    late = state({MAIN: STRAY[1].oid}, NOW - 30)
    await world.offer(late)

    class Server:
        async def fetch_oids(self, path: Path, *_: object) -> Quarantined:
            ingest = Ingest(HuntSettings(min_free_bytes=0), world.repositories.tmp)
            async with ingest.open_sink(path) as sink:
                await sink.write(pack_of([each for step in STRAY for each in step.objects]))
                if ends:
                    await world.offer(events.deletion(OWNER, ids=[late.id], created_at=NOW - 20))
                    assert not is_marked(path)
                return await sink.prove([STRAY[1].oid])

    server: Any = Server()
    ctx = attrs.evolve(context(world), client=server)
    wanted = frozenset((STRAY[1].oid,))
    await ctx.fetch_oids(path, "https://far.example.com/r.git", wanted, SilentObserver())
    assert is_marked(path) == ends
    await repacker(world).look()
    assert here(path, STRAY) == [not ends, not ends]


async def test_what_is_accepted_leaves_no_work(world: World) -> None:
    path = await serving(world)
    await place(pusher_of(world))
    assert not is_marked(path)


async def name(world: World, how: str) -> None:
    """Let both stray commits be named, but by no ref of the owner's repository."""
    world.give(OWNER, STRAY)
    tip, others = STRAY[1].oid, STRANGER.pubkey
    if how == "held state":
        await world.offer(state({MAIN: tip, DEV: "1" * 40}, NOW - 30))
    elif how == "held state of a stranger":
        await world.announce(STRANGER)
        await world.offer(state({MAIN: tip, DEV: "1" * 40}, NOW - 30, STRANGER))
    elif how == "held pull request":
        pr = PullRequest.parse(request(STRAY[1]))
        world.purgatory.add_pr(pr, Origin.USER, NOW)
    elif how == "placeholder":
        world.purgatory.placeholders.add(Placeholder(OWNER.pubkey, "repo", ID, tip, NOW))
    elif how == "placeholder of another owner":
        world.purgatory.placeholders.add(Placeholder(others, "repo", ID, tip, NOW))
    elif how == "older served state":
        await world.offer(state({MAIN: tip}, NOW - 70, MAINTAINER))
    else:
        await world.offer(request(STRAY[1]))
        for ref in [ref for ref in world.refs(OWNER) if ref.startswith("refs/nostr/")]:
            drop_refs(world.path(OWNER), {ref: None})
    assert not {STRAY[0].oid, tip} & set(world.refs(OWNER).values())


NAMES = (
    "held state",
    "held state of a stranger",
    "held pull request",
    "placeholder",
    "placeholder of another owner",
    "older served state",
    "served pull request",
)


@pytest.mark.parametrize("how", NAMES)
async def test_b_7_5_what_an_event_names_stays(world: World, how: str) -> None:
    path = await serving(world, MAINTAINER)
    await name(world, how)
    world.give(OWNER, [STEPS[2]])
    world.repositories.note_left(path)
    await repacker(world).look()
    assert here(path, [*STEPS, *STRAY]) == [True, True, False, True, True]


@pytest.mark.parametrize("how", NAMES)
async def test_b_7_5_what_is_named_meanwhile_stays(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = await serving(world, MAINTAINER)
    await left_behind(world, path)
    made: list[Needed | None] = []

    def pack_once(*args: Any) -> Needed | None:
        made.append(pack_what_is_needed(*args))
        return made[-1]

    async def put(dropper: Dropper, needed: Needed, identifier: str) -> bool:
        # Named now, when the identifier's lock is held already; nothing joins.
        monkeypatch.setattr(world, "give", lambda *_: None)
        await unlocked(world, how)
        return await real(dropper, needed, identifier)

    real = Dropper._put_in_place
    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_once)
    monkeypatch.setattr(Dropper, "_put_in_place", put)
    await repacker(world).look()
    assert len(made) == 1
    assert here(path, STRAY) == [True, True]
    assert is_marked(path)


async def unlocked(world: World, how: str) -> None:
    """`name`, by the holder of the lock."""
    real = world.admission.releaser._locks
    world.admission.releaser._locks = IdentifierLocks()
    try:
        await name(world, how)
    finally:
        world.admission.releaser._locks = real


async def test_b_3_4_an_older_state_rules_again_with_its_objects(world: World) -> None:
    path = await serving(world, MAINTAINER)
    world.give(OWNER, STRAY)
    await world.offer(state({MAIN: STRAY[1].oid}, NOW - 70, MAINTAINER))
    world.give(OWNER, [STEPS[2]])
    world.repositories.note_left(path)
    await repacker(world).look()
    assert here(path, STEPS) == [True, True, False]
    (newest,) = [e for e in await world.index.served_states("repo") if e.author == OWNER.pubkey]
    await world.offer(events.deletion(OWNER, ids=[newest.event.id], created_at=NOW - 20))
    assert world.refs(OWNER) == {MAIN: STRAY[1].oid}
    git(path, "fsck", "--strict", "--full")


async def test_once_an_hour_and_less_often_while_little_is_freed(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world)
    dropped = []
    repack, start = repacker(world), trio.current_time()

    def pack_it(*args: Any) -> None:
        dropped.append((trio.current_time() - start) / HOUR)

    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_it)
    world.repositories.note_left(path)
    for _ in range(150):
        await repack.look()
        await trio.sleep(HOUR)
    assert dropped == [0, 1, 3, 7, 15, 31, 55, 79, 103, 127]
    # A start does not know, and begins anew.
    await repacker(world).look()
    assert len(dropped) == 11


async def test_hourly_where_much_is_freed(world: World, autojump_clock: MockClock) -> None:
    path = await serving(world)
    repack = repacker(world)
    for hour in range(4):
        stray = history(2, f"stray {hour}")
        world.give(OWNER, stray)
        world.repositories.note_left(path)
        await repack.look()
        assert here(path, stray) == [False, False]
        world.give(OWNER, stray)
        world.repositories.note_left(path)
        await trio.sleep(HOUR - 1)
        await repack.look()
        assert here(path, stray) == [True, True]
        await trio.sleep(1)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (LocalFailure("damaged"), "nothing dropped"),
        (PermissionError("not yours"), "nothing dropped"),
        (RuntimeError("a bug"), "dropping crashed"),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_what_fails_holds_up_no_other_and_is_tried_later(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    said: str,
) -> None:
    bad = await serving(world)
    await left_behind(world, bad)
    await world.announce(STRANGER, "other")
    world.give(STRANGER, STRAY, "other")
    good = world.path(STRANGER, "other")
    world.repositories.note_left(good)

    def pack_it(path: Path, *args: Any) -> Needed | None:
        if path == bad and failing:
            raise failure
        return pack_what_is_needed(path, *args)

    failing = True
    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_it)
    repack = repacker(world)
    with capture_logs() as logs:
        for _ in range(4):
            await repack.look()
    assert [log["path"] for log in logs if log["event"] == said] == [str(bad)]
    assert (here(bad, STRAY), here(good, STRAY)) == ([True, True], [False, False])
    failing = False
    await trio.sleep(HOUR)
    await repack.look()
    assert here(bad, STRAY) == [False, False]


async def test_what_is_left_meanwhile_is_not_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world)
    await left_behind(world, path)

    def pack_it(*args: Any) -> Needed | None:
        made = pack_what_is_needed(*args)
        world.repositories.note_left(path)
        return made

    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_it)
    await repacker(world).look()
    assert here(path, STRAY) == [False, False]
    assert is_marked(path)


async def test_what_is_named_no_more_once_it_was_packed_is_seen_to_again(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    await left_behind(world, path)
    at_first = [frozenset({STRAY[-1].oid})]

    async def named(*args: Any) -> frozenset[str]:
        return (await named_oids(*args)).union(*[at_first.pop()] if at_first else [])

    monkeypatch.setattr(garbage_collector, "named_oids", named)
    repack = repacker(world)
    await repack.look()
    assert here(path, STRAY) == [True, True]
    assert is_marked(path)
    await trio.sleep(2 * HOUR)
    await repack.look()
    assert here(path, STRAY) == [False, False]
    assert not is_marked(path)


async def test_what_another_program_writes_to_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world)
    await left_behind(world, path)

    def pack_it(*args: Any) -> Needed | None:
        made = pack_what_is_needed(*args)
        world.repositories.distrust(path)
        return made

    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_it)
    await repacker(world).look()
    assert here(path, STRAY) == [True, True]
    await repacker(world).look()
    assert here(path, STRAY) == [True, True]
    assert list(world.repositories.tmp.iterdir()) == []


async def test_strangers_who_share_nothing_but_the_identifier_are_seen_to_one_by_one(
    world: World,
) -> None:
    paths = [await serving(world)]
    await left_behind(world, paths[0])
    await world.announce(STRANGER)
    world.give(STRANGER, STRAY)
    paths.append(world.path(STRANGER))
    world.repositories.note_left(paths[1])
    await repacker(world).look()
    assert [here(path, STRAY) for path in paths] == [[False, False], [False, False]]


async def test_a_repository_with_links_of_it_loses_it_as_well(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world, MAINTAINER)
    await place(pusher_of(world))
    await world.announce(MAINTAINER, maintainers=[OWNER], created_at=NOW - 90)
    relative = world.path(MAINTAINER)
    assert world.refs(MAINTAINER) == {MAIN: STEPS[1].oid}
    assert here(relative, STRAY) == [True, True]
    await trio.sleep(1_201)
    await sweeper(world).sweep()
    assert is_marked(relative)
    monkeypatch.setattr(
        garbage_collector, "pack_what_is_needed", made := Mock(wraps=pack_what_is_needed)
    )
    await repacker(world).look()
    assert made.call_count == 1
    assert not is_marked(path)
    assert not is_marked(relative)
    for each in (path, relative):
        assert here(each, [*STEPS, *STRAY]) == [True, True, False, False, False]
        git(each, "fsck", "--strict", "--full")
    (one,) = (path / "objects/pack").glob("*.pack")
    (other,) = (relative / "objects/pack").glob("*.pack")
    assert one.samefile(other)


async def test_b_7_5_a_repository_that_shares_packs_is_not_packed_more_often(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world)
    await left_behind(world, path)
    monkeypatch.setattr(
        garbage_collector, "pack_what_is_needed", made := Mock(wraps=pack_what_is_needed)
    )
    repack = repacker(world)
    await repack.look()
    assert here(path, STRAY) == [False, False]
    await world.announce(STRANGER)
    relative = world.path(STRANGER)
    world.repositories.gather([path], relative, [STEPS[1].oid])
    world.give(STRANGER, STRAY)
    world.repositories.note_left(relative)
    await trio.sleep(HOUR - 1)
    await repack.look()
    assert made.call_count == 1
    assert is_marked(relative)
    await trio.sleep(1)
    await repack.look()
    assert made.call_count == 2
    assert here(relative, STRAY) == [False, False]
    assert not is_marked(relative)


@pytest.mark.parametrize("failure", [None, LocalFailure("damaged"), RuntimeError("a bug")], ids=str)
async def test_b_7_5_what_fails_is_not_tried_for_each_that_shares_with_it(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception | None,
) -> None:
    path = await serving(world)
    await world.announce(STRANGER)
    relative = world.path(STRANGER)
    world.repositories.gather([path], relative, [STEPS[1].oid])
    for each in (path, relative):
        world.repositories.note_left(each)
    pack_it = Mock(side_effect=failure, return_value=None)
    monkeypatch.setattr(garbage_collector, "pack_what_is_needed", pack_it)
    repack, calls = repacker(world), []
    for hour in range(5):
        await repack.look()
        calls.append(pack_it.call_count)
        if hour == 0:  # the other one goes on where this one stood
            (pack_it.call_args.args[0] / LEFT_MARKER).unlink()
        await trio.sleep(HOUR)
    assert calls == [1, 2, 2, 3, 3]


async def test_a_push_in_flight_is_told_to_come_again_and_then_succeeds(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    await left_behind(world, path)
    late = request(STRAY[1])
    whole, leaning = pack_of([o for s in STRAY for o in s.objects]), pack_of(STRAY[1].objects)
    pusher, asked = pusher_of(world), 0

    async def read() -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            return leaning
        if asked == 2:
            await repacker(world).look()
            assert here(path, STRAY) == [False, False]
        return b""

    changes = {f"refs/nostr/{late.id}": STRAY[1].oid}
    with pytest.raises(PushRefused, match="try again later"):
        await pusher.receive(TARGET, changes, read)
    assert here(path, STRAY) == [False, False]
    await pusher.receive(TARGET, changes, pieces(whole))
    assert here(path, STRAY) == [True, True]
    git(path, "fsck", "--strict", "--full")


async def test_a_push_that_was_proven_before_does_not_join_after(
    world: World, autojump_clock: MockClock
) -> None:
    path = await serving(world)
    await left_behind(world, path)
    pusher = pusher_of(world)
    refused = []

    async def push() -> None:
        with pytest.raises(PushRefused, match="try again later"):
            await pusher.receive(TARGET, {NOSTR: STRAY[1].oid}, pack([STRAY[1]]))
        refused.append(True)

    async with trio.open_nursery() as nursery, world.releaser.hold("repo"):
        nursery.start_soon(push)
        await trio.testing.wait_all_tasks_blocked(0.1)
        needed = pack_what_is_needed(path, (), (), world.repositories.tmp, 0)
        assert needed is not None
        assert needed.put_in_place(())
        needed.discard()
    assert refused == [True]
    assert here(path, STRAY) == [False, False]
    git(path, "fsck", "--strict", "--full")


async def test_cancelling_leaves_everything_as_it_was(world: World) -> None:
    path = await serving(world)
    await left_behind(world, path)
    async with world.releaser.hold("repo"), trio.open_nursery() as nursery:
        nursery.start_soon(repacker(world).look)
        with trio.fail_after(20):
            while not list(world.repositories.tmp.glob("drop-*/objects/pack/*.idx")):  # noqa: ASYNC110
                await trio.sleep(0.01)
        await trio.testing.wait_all_tasks_blocked()
        assert here(path, STRAY) == [True, True]
        nursery.cancel_scope.cancel()
    assert here(path, STRAY) == [True, True]
    assert is_marked(path)
    assert list(world.repositories.tmp.iterdir()) == []


async def test_a_start_remembers_what_was_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    home = Home(tmp_path)
    hunt = attrs.evolve(home.settings.hunt, min_free_bytes=0)
    home.settings = attrs.evolve(home.settings, hunt=hunt)
    async with home.running() as engine:
        await engine.offer(announce(OWNER), "user")
        await engine.pusher.receive(TARGET, {NOSTR: STRAY[1].oid}, pack(STRAY))
        path = home.path(OWNER)
        with trio.fail_after(3_000):
            while not is_marked(path):  # noqa: ASYNC110
                await trio.sleep(1)
    assert here(path, STRAY) == [True, True]
    async with home.running():
        await trio.sleep(LOOK_SECS + 1)
        assert here(path, STRAY) == [False, False]
        assert not is_marked(path)


async def test_what_cannot_be_looked_at_keeps_no_event_from_its_end(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await serving(world)
    await place(pusher_of(world))

    def fail(path: Path) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(world.repositories, "note_left", fail)
    await trio.sleep(1_201)
    with capture_logs() as logs:
        await sweeper(world).sweep()
    assert len(world.purgatory.placeholders) == 0
    assert [log["path"] for log in logs if log["event"] == "not noted what was left"] == [str(path)]
