"""A start heals repositories that lag behind what is served (B 9)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.upkeep.catching_up import catch_up
from purgatory_sync.errors import RepositoryError, StoreError
from purgatory_sync.git.disk.alignment import align_refs
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import is_repository, list_refs
from purgatory_sync.nostr.event import Event
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.release.lagging import lags
from purgatory_sync.release.releaser import Releaser
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import CurationSettings
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import add_pack, history
from ...world import NOW, SERVICE, World
from ..test_engine import Home, announce, served

MAIN, DEV = "refs/heads/main", "refs/heads/dev"
OWNER, MAINTAINER = Author.from_seed(1), Author.from_seed(2)


async def serve(world: World, author: Author, refs: dict[str, str], at: int = NOW - 50) -> Event:
    event = events.state(author, "repo", refs, created_at=at)
    assert (await world.offer(event)).accepted
    assert event.id in await world.served()
    return event


async def caught_up(world: World) -> None:
    await catch_up(world.store, world.core, world.releaser)


def listing(author: Author, *maintainers: Author, at: int) -> Event:
    return events.announcement(
        author,
        "repo",
        clone=[f"https://{SERVICE}/{author.npub}/repo.git"],
        relays=[f"wss://{SERVICE}"],
        maintainers=maintainers,
        created_at=at,
    )


async def test_b_9_a_crash_before_the_alignment_that_an_announcement_brings(
    world: World, autojump_clock: MockClock
) -> None:
    old, new = history(1, "old"), history(2, "new")
    for author, steps in ((MAINTAINER, old), (OWNER, new)):
        await world.announce(author, maintainers=[MAINTAINER])
        world.give(author, steps)
    await serve(world, MAINTAINER, {MAIN: old[0].oid}, NOW - 60)
    await serve(world, OWNER, {MAIN: new[1].oid, DEV: new[0].oid})
    # The transaction, and nothing after it.
    newer = listing(MAINTAINER, OWNER, at=NOW - 10)
    await world.ledger.apply(Change(save=[newer]))
    assert world.refs(MAINTAINER) == {MAIN: old[0].oid}
    await caught_up(world)
    assert world.refs(MAINTAINER) == {MAIN: new[1].oid, DEV: new[0].oid}
    assert world.refs(OWNER) == {MAIN: new[1].oid, DEV: new[0].oid}


async def test_b_9_a_repository_that_is_not_on_the_disk_is_made_and_filled(
    world: World, autojump_clock: MockClock
) -> None:
    steps = history(1)
    await world.announce(OWNER, maintainers=[MAINTAINER])
    world.give(OWNER, steps)
    await serve(world, OWNER, {MAIN: steps[0].oid})
    # A co-maintainer's announcement was saved, and its repository not made any more.
    await world.ledger.apply(Change(save=[listing(MAINTAINER, OWNER, at=NOW - 10)]))
    assert not is_repository(world.path(MAINTAINER))
    await caught_up(world)
    assert world.refs(MAINTAINER) == {MAIN: steps[0].oid}
    assert world.head(MAINTAINER) == MAIN


@pytest.mark.parametrize("refs", [{}, {DEV: "dev"}])
async def test_b_9_refs_of_an_older_disk(
    world: World, autojump_clock: MockClock, refs: dict[str, str]
) -> None:
    steps = history(2)
    await world.announce(OWNER)
    world.give(OWNER, steps)
    await serve(world, OWNER, {MAIN: steps[1].oid})
    nostr = {f"refs/nostr/{'5' * 64}": steps[0].oid}
    lagging_refs = dict.fromkeys(refs, steps[0].oid)
    align_refs(world.path(OWNER), lagging_refs, None)
    update_refs(world.path(OWNER), nostr)
    await caught_up(world)
    assert world.refs(OWNER) == {MAIN: steps[1].oid, **nostr}


async def test_b_9_a_head_that_names_another_branch(
    world: World, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    world.give(OWNER, [step])
    refs = {MAIN: step.oid, DEV: step.oid}
    await serve(world, OWNER, refs)
    align_refs(world.path(OWNER), refs, DEV)
    assert world.head(OWNER) == DEV
    await caught_up(world)
    assert world.head(OWNER) == MAIN


async def test_b_9_what_is_as_it_should_be_is_left_alone(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = history(1)
    for author, listed in ((OWNER, True), (MAINTAINER, False)):
        await world.announce(author, listed=listed, maintainers=[MAINTAINER])
        if listed:
            world.give(author, steps)
            await serve(world, author, {MAIN: steps[0].oid})

    update_refs(world.path(OWNER), {f"refs/nostr/{'5' * 64}": steps[0].oid})
    begun: list[str] = []

    async def never(releaser: Releaser, identifier: str, *, bring_up: bool = False) -> None:
        begun.append(identifier)

    monkeypatch.setattr(Releaser, "process_locked", never)
    await caught_up(world)
    assert begun == []
    assert not await lags(world.core, "repo")
    assert not is_repository(world.path(MAINTAINER))


@pytest.mark.parametrize("failure", [RepositoryError("no"), OSError("gone"), KeyError("?")])
async def test_b_9_one_that_cannot_be_brought_up_stops_no_other(
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
) -> None:
    (step,) = history(1)
    for identifier in ("one", "two", "three"):
        await world.announce(OWNER, identifier)
        world.give(OWNER, [step], identifier)
        event = events.state(OWNER, identifier, {MAIN: step.oid}, created_at=NOW - 50)
        await world.offer(event)
        align_refs(world.path(OWNER, identifier), {}, None)
    process = Releaser.process_locked

    async def fails(self: Releaser, identifier: str, *, bring_up: bool = False) -> object:
        if identifier == "two":
            raise failure
        return await process(self, identifier, bring_up=bring_up)

    monkeypatch.setattr(Releaser, "process_locked", fails)
    await caught_up(world)
    found = {each: world.refs(OWNER, each) for each in ("one", "two", "three")}
    assert found == {"one": {MAIN: step.oid}, "two": {}, "three": {MAIN: step.oid}}


async def test_b_3_5_a_state_without_refs_rules_an_older_disk_too(
    world: World, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    world.give(OWNER, [step])
    await serve(world, OWNER, {MAIN: step.oid}, NOW - 60)
    await serve(world, OWNER, {})
    assert world.refs(OWNER) == {}
    align_refs(world.path(OWNER), {MAIN: step.oid}, None)
    await caught_up(world)
    assert world.refs(OWNER) == {}
    assert not await lags(world.core, "repo")


async def test_b_9_a_store_that_fails_is_asked_again(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    world.give(OWNER, [step])
    await serve(world, OWNER, {MAIN: step.oid})
    align_refs(world.path(OWNER), {}, None)
    times: list[float] = []

    async def fails(*anything: object) -> list[Event]:
        times.append(trio.current_time())
        if len(times) == 2:
            monkeypatch.undo()
        raise StoreError("busy")

    monkeypatch.setattr(world.store, "find", fails)
    start = trio.current_time()
    await caught_up(world)
    assert [at - start for at in times] == [0, 60]
    assert world.refs(OWNER) == {MAIN: step.oid}


@pytest.mark.parametrize(
    "lists",
    [
        CurationSettings(repository_whitelist=(OWNER.npub,)),
        CurationSettings(archive_whitelist=(OWNER.npub,), archive_read_only=True),
    ],
    ids=["whitelist", "archive"],
)
async def test_b_5_1_a_co_maintainer_who_is_not_taken_gets_no_repository_at_a_start(
    tmp_path: Path, autojump_clock: MockClock, lists: CurationSettings
) -> None:
    with blocking_in_place():
        world = World(tmp_path, lists)
        (step,) = history(1)
        await world.announce(OWNER, maintainers=[MAINTAINER], origin=Origin.SYNC)
        listed = await world.announce(MAINTAINER, maintainers=[OWNER], origin=Origin.SYNC)
        assert listed.id in await world.served()
        world.give(OWNER, [step])
        state = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 50)
        assert (await world.offer(state, Origin.SYNC)).outcome is Outcome.SERVED
        await caught_up(world)
        assert not is_repository(world.path(MAINTAINER))
        world.repositories.remove(OWNER.pubkey, "repo")
        await caught_up(world)
        assert not is_repository(world.path(MAINTAINER))
        assert is_repository(world.path(OWNER))


async def test_b_9_objects_that_are_not_here_move_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    (step,) = history(1)
    await world.announce(OWNER)
    world.give(OWNER, [step])
    await serve(world, OWNER, {MAIN: step.oid})
    world.repositories.remove(OWNER.pubkey, "repo")
    await caught_up(world)
    assert is_repository(world.path(OWNER))
    assert world.refs(OWNER) == {}


async def test_b_9_the_engine_does_it_at_its_start(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    home = Home(tmp_path)
    (step,) = history(1)
    async with home.running() as engine:
        await engine.offer(announce(), "user")
        add_pack(home.path(), step.objects)
        event = events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 50)
        await engine.offer(event, "user")
        assert event.id in await served(home)
    align_refs(home.path(), {}, None)
    async with home.running():
        await trio.sleep(1)
        assert list_refs(home.path()) == {MAIN: step.oid}


async def test_repositories_without_an_announcement_are_reported_and_left(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER, "held")
    (step,) = history(1)
    await world.announce(OWNER)
    world.give(OWNER, [step])
    await serve(world, OWNER, {MAIN: step.oid})
    world.repositories.create(MAINTAINER.pubkey, "evicted")
    (world.repositories.git_data / "npub1notakey" / "x.git").mkdir(parents=True)
    with capture_logs() as logs:
        await caught_up(world)
    left = world.path(MAINTAINER, "evicted")
    assert [(each["count"], each["paths"]) for each in logs] == [(1, [str(left)])]
    assert is_repository(left)


async def test_a_folder_that_cannot_be_listed_ends_no_node(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> list[tuple[str, str]]:
        raise OSError("input/output error")

    monkeypatch.setattr(world.repositories, "all_named", fails)
    with capture_logs() as logs:
        await caught_up(world)
    assert [each["error"] for each in logs] == ["input/output error"]
