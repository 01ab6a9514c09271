"""The operator's lists change while the node runs (B 5.5)."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.lists import merging
from purgatory_sync.engine.lists.list_keeper import Edited, ListKeeper
from purgatory_sync.engine.lists.merging import Listed, lets_more_in
from purgatory_sync.errors import ConfigurationError, PushRefused, StoreError
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import CurationSettings, ListFileSettings
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import history
from ...world import NOW, World
from ..pushes.pushing_support import pusher_of

OWNER, OTHER, STRANGER = (Author.from_seed(n) for n in (1, 2, 3))
MAIN = "refs/heads/main"
EVERY_BLACKLIST = [
    ("event-blacklist", OWNER.npub),
    ("repository-blacklist", f"{OWNER.npub}/repo"),
    ("repository-blacklist", "repo"),
]


async def keeper_of(
    world: World, lists: CurationSettings | None = None, **files: Path
) -> ListKeeper:
    settings = attrs.evolve(
        world.settings,
        curation=lists or CurationSettings(),
        list_files=ListFileSettings(**files),
    )
    keeper = ListKeeper(world.store, world.core, world.releaser, settings, world.admission.clock)
    await keeper.restore((await world.store.load()).list_entries)
    return keeper


def state(author: Author = OWNER, oid: str = "1" * 40, at: int = NOW - 50) -> Event:
    return events.state(author, "repo", {MAIN: oid}, created_at=at)


@pytest.mark.parametrize(("name", "entry"), EVERY_BLACKLIST)
async def test_b_5_5_what_is_held_ends_and_new_events_are_judged_at_once(
    world: World, name: str, entry: str
) -> None:
    keeper = await keeper_of(world)
    held = {(await world.announce(OWNER)).id, state().id}
    assert (await world.offer(state())).outcome is Outcome.HELD
    other = await world.announce(OTHER, "other")
    assert await keeper.add(name, [entry], "spam") == Edited(name, (entry,), (), 2)
    assert await world.held() == {other.id}
    assert all(world.purgatory.get(each) is None for each in held)
    assert not is_repository(world.path(OWNER))
    refused = await world.offer(state())
    assert refused.message.startswith("blocked: ")
    assert await keeper.remove(name, [entry]) == Edited(name, (entry,), (), 0)
    await world.announce(OWNER)
    assert (await world.offer(state())).outcome is Outcome.HELD


async def test_b_5_5_a_push_is_judged_by_the_new_list(world: World) -> None:
    keeper = await keeper_of(world)
    await world.announce(OWNER)
    pusher = pusher_of(world)
    (step,) = history(1)
    await world.offer(state(oid=step.oid))
    await keeper.add("event-blacklist", [OWNER.npub])

    async def read() -> bytes:
        raise AssertionError("no pack is taken")

    with pytest.raises(PushRefused):
        await pusher.receive(RepositoryId(OWNER.pubkey, "repo"), {MAIN: step.oid}, read)


async def test_b_5_5_a_copy_takes_no_push_from_now_on(world: World) -> None:
    """By the archive list, which is asked at each push."""
    await world.announce(OWNER)
    keeper = await keeper_of(world, CurationSettings(archive_whitelist=("x",)))
    assert world.index.lists.read_only
    await keeper.add("archive-whitelist", [OWNER.npub])
    assert world.index.lists.archive_whitelist == ("x", OWNER.npub)


async def test_b_5_5_served_events_stay_and_rule_no_more(
    world: World, autojump_clock: MockClock
) -> None:
    """The refs go to the newest state of a member that is left, without a restart."""
    keeper = await keeper_of(world)
    await world.announce(OWNER, maintainers=[OTHER])
    await world.announce(OTHER, maintainers=[OWNER])
    old, new = history(2)
    world.give(OWNER, [old, new])
    for author, step, at in ((OWNER, old, -60), (OTHER, new, -50)):
        event = state(author, step.oid, NOW + at)
        assert (await world.offer(event)).outcome is Outcome.SERVED
    served = await world.served()
    assert world.refs(OWNER) == {MAIN: new.oid}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run)
        await keeper.add("event-blacklist", [OTHER.npub])
        await trio.sleep(1)
        assert world.refs(OWNER) == {MAIN: old.oid}
        await keeper.remove("event-blacklist", [OTHER.npub])
        await trio.sleep(1)
        assert world.refs(OWNER) == {MAIN: new.oid}
        nursery.cancel_scope.cancel()
    assert await world.served() == served


async def test_b_5_5_a_banned_event_is_refused_alone(world: World) -> None:
    keeper = await keeper_of(world)
    await world.announce(OWNER)
    banned, fine = state(), state(at=NOW - 40)
    await world.offer(banned)
    edited = await keeper.add("banned-events", [banned.id.upper()])
    assert edited == Edited("banned-events", (banned.id,), (), 1)
    assert (await world.offer(banned)).message.startswith("blocked: this event")
    assert (await world.offer(fine)).outcome is Outcome.HELD


async def test_b_5_5_lists_are_settings_files_and_what_was_added(
    world: World, tmp_path: Path, autojump_clock: MockClock
) -> None:
    file = tmp_path / "list"
    file.write_text(f"{OTHER.npub} # by file\n{OWNER.npub}\n")
    lists = CurationSettings(event_blacklist=(OWNER.npub,))
    keeper = await keeper_of(world, lists, event_blacklist=file)
    edited = await keeper.add("event-blacklist", [STRANGER.npub, OTHER.npub], "why")
    assert edited == Edited("event-blacklist", (STRANGER.npub,), (OTHER.npub,), 0)
    assert (
        keeper.show("event-blacklist")
        == keeper.show()
        == (
            Listed("event-blacklist", OWNER.npub, "setting"),
            Listed("event-blacklist", OTHER.npub, "file"),
            Listed("event-blacklist", STRANGER.npub, "added", "why", NOW),
        )
    )
    assert world.index.lists.event_blacklist == (OWNER.npub, OTHER.npub, STRANGER.npub)
    for entry, where in ((OWNER, "NGIT_EVENT_BLACKLIST names"), (OTHER, "_FILE names")):
        with pytest.raises(ConfigurationError, match=where):
            await keeper.remove("event-blacklist", [STRANGER.npub, entry.npub])
    assert len(keeper.show()) == 3
    again = await keeper_of(world, lists, event_blacklist=file)
    assert again.show() == keeper.show()
    gone = await again.remove("event-blacklist", [STRANGER.npub, Author.from_seed(4).npub])
    assert gone.changed == (STRANGER.npub,)
    assert gone.unchanged == (Author.from_seed(4).npub,)
    assert (await world.store.load()).list_entries == ()


async def test_b_5_5_files_are_read_again_and_a_bad_line_changes_nothing(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "list"
    file.write_text("")
    keeper = await keeper_of(world, event_blacklist=file)
    await world.announce(OWNER)
    heard: list[tuple[CurationSettings, CurationSettings]] = []
    keeper.heard.append(lambda before, after: heard.append((before, after)))
    file.write_text(f"{OWNER.npub}\nnonsense\n")
    with capture_logs() as log:
        await keeper.reload()
    assert "line 2" in log[-1]["error"]
    assert (world.index.lists, heard) == (CurationSettings(), [])
    file.write_text(f"{OWNER.npub}\n")
    await keeper.reload()
    assert world.index.lists.event_blacklist == (OWNER.npub,)
    assert await world.held() == set()
    assert heard == [(CurationSettings(), world.index.lists)]
    await keeper.reload()
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("name", "entry", "why"),
    [
        ("no-list", "x", "there is no list 'no-list': there are event-blacklist, "),
        ("event-blacklist", "x", "event-blacklist: 'x'"),
        ("blocked-addresses", "300.0.0.1", "no address"),
    ],
)
async def test_b_5_5_bad_entries_are_one_sentence(
    world: World, name: str, entry: str, why: str
) -> None:
    keeper = await keeper_of(world)
    for change in (keeper.add, keeper.remove):
        with pytest.raises(ConfigurationError, match=why):
            await change(name, [entry])
    assert keeper.show() == ()


async def test_b_5_5_nothing_is_added_without_an_entry_or_with_a_broken_reason(
    world: World,
) -> None:
    keeper = await keeper_of(world)
    with pytest.raises(ConfigurationError, match="at least one entry"):
        await keeper.add("banned-events", [])
    for reason in ("two\nlines", "x" * 1001):
        with pytest.raises(ConfigurationError, match="one line"):
            await keeper.add("banned-events", ["1" * 64], reason)


async def test_b_5_5_a_list_has_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MAX_ENTRIES", 2)
    keeper = await keeper_of(world)
    await keeper.add("banned-events", ["1" * 64, "2" * 64])
    with pytest.raises(ConfigurationError, match="more than 2 entries"):
        await keeper.add("banned-events", ["3" * 64])
    assert len((await world.store.load()).list_entries) == len(keeper.show()) == 2


async def test_b_5_5_a_read_only_archive_always_has_something_to_copy(world: World) -> None:
    keeper = await keeper_of(world)
    keeper.settings = attrs.evolve(
        keeper.settings, curation=CurationSettings(archive_read_only=True)
    )
    await keeper.add("archive-whitelist", ["repo"])
    with pytest.raises(ConfigurationError, match="nothing would be archived"):
        await keeper.remove("archive-whitelist", ["repo"])
    assert world.index.lists.only_copies


async def test_b_5_5_a_store_that_fails_leaves_the_old_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = await keeper_of(world)

    async def fail(change: Change) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(world.store, "apply", fail)
    with pytest.raises(StoreError):
        await keeper.add("event-blacklist", [OWNER.npub])
    assert keeper.show() == ()
    assert world.index.lists == CurationSettings()


def test_b_5_5_what_lets_more_in() -> None:
    nothing, some = CurationSettings(), CurationSettings(event_blacklist=("a",))
    only = CurationSettings(repository_whitelist=("a",))
    more = CurationSettings(repository_whitelist=("a", "b"))
    copied = CurationSettings(archive_whitelist=("a",))
    for before, after in ((some, nothing), (only, more), (only, nothing), (nothing, copied)):
        assert lets_more_in(before, after)
    for before, after in ((nothing, some), (more, only), (copied, nothing)):
        assert not lets_more_in(before, after)


async def test_b_5_5_a_stopped_node_ends_nothing_now(world: World) -> None:
    keeper = await keeper_of(world)
    keeper.live = False
    await world.announce(OWNER)
    assert (await keeper.add("event-blacklist", [OWNER.npub])).ended is None
    assert len(await world.held()) == 1
