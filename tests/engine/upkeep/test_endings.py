"""What ends, what does not, and what goes with it (B 5, 7.4, 8.9)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.upkeep.catching_up import drop_deleted, report_unnamed
from purgatory_sync.errors import RepositoryError
from purgatory_sync.git.disk.refs import LockedRefs, update_refs
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.records import Tombstone
from purgatory_sync.release.index.repositories import PROVEN_MARKER
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import add_pack, history, oid_of, tag_of
from ...world import NOW, World
from .test_sweep import sweeper

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)
MAIN = "refs/heads/main"
EXPIRES_SECS = 1801
(STEP,) = history(1)


async def test_b_8_9_what_is_whole_and_fails_here_does_not_expire(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only disk for days costs no event, for its objects are all here."""

    def fails(self: LockedRefs, changes: Mapping[str, str | None]) -> bool:
        raise RepositoryError("the file system is mounted read-only")

    await world.announce(OWNER)
    world.give(OWNER, [STEP])
    state = events.state(OWNER, "repo", {MAIN: STEP.oid}, created_at=NOW - 50)
    with monkeypatch.context() as patch:
        patch.setattr(LockedRefs, "apply", fails)
        assert (await world.offer(state)).outcome is Outcome.HELD
        await trio.sleep(3 * 86400)
        await sweeper(world).sweep()
        assert state.id in await world.held()
    await world.releaser.process("repo")
    assert state.id in await world.served()


async def test_b_7_4_what_can_never_be_released_is_refused_with_its_reason(world: World) -> None:
    await world.announce(OWNER)
    world.give(OWNER, [STEP])
    state = events.state(OWNER, "repo", {MAIN: oid_of(STEP.tree)}, created_at=NOW - 50)
    answer = await world.offer(state)
    assert (answer.outcome, answer.message) == (
        Outcome.REFUSED,
        f"invalid: {MAIN} can name a commit, not the tree {oid_of(STEP.tree)}",
    )
    assert state.id not in await world.held()


async def test_b_7_4_what_turns_out_so_later_ends_with_its_reason(
    world: World, autojump_clock: MockClock
) -> None:
    await world.announce(OWNER)
    state = events.state(OWNER, "repo", {MAIN: oid_of(STEP.tree)}, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.HELD
    world.give(OWNER, [STEP])
    result = await world.releaser.process("repo")
    assert "can name a commit" in result.errors[state.id]
    await sweeper(world).sweep()
    assert state.id not in await world.held()
    (expired,) = (await world.store.load()).expired
    assert "can name a commit" in expired.reason
    assert world.purgatory.expired.reason(state.id) == expired.reason


async def test_b_7_2_a_tag_may_name_a_tree_a_blob_or_a_tag(world: World) -> None:
    await world.announce(OWNER)
    inner = tag_of(STEP.tree, "inner")
    outer = tag_of(inner, "outer")
    add_pack(world.path(OWNER), [*STEP.objects, inner, outer])
    refs = {
        MAIN: STEP.oid,
        "refs/tags/tree": oid_of(STEP.tree),
        "refs/tags/blob": oid_of(STEP.blob),
        "refs/tags/outer": oid_of(outer),
    }
    state = events.state(OWNER, "repo", refs, created_at=NOW - 50)
    assert (await world.offer(state)).outcome is Outcome.SERVED
    assert world.refs(OWNER) == refs


async def test_b_5_the_ref_of_a_deleted_pull_request_goes_in_every_repository(
    world: World,
) -> None:
    await world.announce(OWNER)
    world.give(OWNER, [STEP])
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], STEP.oid, created_at=NOW - 40)
    other = events.pull_request(STRANGER, [OWNER.coordinate("repo")], STEP.oid, created_at=NOW - 39)
    for each in (pr, other):
        assert (await world.offer(each)).outcome is Outcome.SERVED
    ref = f"refs/nostr/{pr.id}"
    assert ref in world.refs(OWNER)
    # A repository without an announcement has it, too.
    delisted = world.path(STRANGER)
    delisted.parent.mkdir()
    shutil.copytree(world.path(OWNER), delisted)
    deletion = events.deletion(STRANGER, ids=[pr.id], created_at=NOW - 10)
    assert (await world.offer(deletion)).accepted
    for author in (OWNER, STRANGER):
        assert sorted(world.refs(author)) == [f"refs/nostr/{other.id}"]


async def test_b_5_a_deletion_that_a_kill_interrupted_is_carried_out_at_the_start(
    world: World,
) -> None:
    await world.announce(OWNER)
    (step,) = history(1)
    world.give(OWNER, [step])
    path, names = world.path(OWNER), [f"refs/nostr/{digit * 64}" for digit in "78"]
    update_refs(path, dict.fromkeys(names, step.oid))
    await world.store.apply(Change(tombstones=[Tombstone("7" * 64, STRANGER.pubkey, NOW)]))
    path_marker = path / PROVEN_MARKER
    marker = path_marker.read_bytes()
    path_marker.unlink()
    await drop_deleted(world.store, world.core, world.releaser)
    assert set(names) <= set(list_refs(path))  # another program writes here
    path_marker.write_bytes(marker)
    await drop_deleted(world.store, world.core, world.releaser)
    assert names[0] not in list_refs(path)
    assert names[1] in list_refs(path)


async def test_b_5_refs_that_no_event_names_are_told_once_at_a_start(
    world: World, tmp_path: Path
) -> None:
    await world.announce(OWNER)
    world.give(OWNER, [STEP])
    pr = events.pull_request(STRANGER, [OWNER.coordinate("repo")], STEP.oid, created_at=NOW - 40)
    assert (await world.offer(pr)).outcome is Outcome.SERVED
    with capture_logs() as logs:
        await report_unnamed(world.store, world.core)
    assert logs == []
    unnamed = f"refs/nostr/{'9' * 64}"
    update_refs(world.path(OWNER), {unnamed: STEP.oid})
    with capture_logs() as logs:
        await report_unnamed(world.store, world.core)
    (told,) = logs
    assert told["refs"] == [f"{world.path(OWNER)} {unnamed}"]


async def test_b_2_7_a_repository_with_a_held_pull_request_is_not_empty(world: World) -> None:
    announcement = await world.announce(OWNER)
    (step,) = history(1)
    world.give(OWNER, [step])
    request = events.pull_request(
        STRANGER, [OWNER.coordinate("repo")], "1" * 40, created_at=NOW - 40
    )
    await world.offer(request)
    update_refs(world.path(OWNER), {f"refs/nostr/{request.id}": step.oid})
    await world.offer(events.deletion(OWNER, ids=[announcement.id], created_at=NOW))
    assert list_refs(world.path(OWNER)) == {f"refs/nostr/{request.id}": step.oid}


async def test_b_3_8_a_member_who_left_does_not_come_back_when_the_word_of_it_ends(
    world: World,
) -> None:
    await world.announce(OWNER, maintainers=[STRANGER])
    step = history(1)[0]
    world.give(OWNER, [step])
    await world.offer(events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 60))
    accepts = events.announcement(STRANGER, "repo", maintainers=[OWNER], created_at=NOW - 50)
    await world.offer(accepts)
    assert STRANGER.pubkey in (await world.index.data("repo")).maintainer_set(OWNER.pubkey)
    leaves = await world.announce(STRANGER, created_at=NOW - 40)  # lists us, names nobody: held
    assert leaves.id in await world.held()
    await world.offer(events.deletion(STRANGER, ids=[leaves.id], created_at=NOW))
    assert STRANGER.pubkey not in (await world.index.data("repo")).maintainer_set(OWNER.pubkey)
    assert (await world.offer(accepts)).outcome is Outcome.REFUSED
