"""B 2.2 (a), 2.9 where the engine has its part: copies of repositories that do not list us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest

from purgatory_sync.engine.admission.admission import Outcome
from purgatory_sync.engine.upkeep.list_enforcement import end_what_is_blocked
from purgatory_sync.git.disk.repository import is_repository
from purgatory_sync.purgatory.entries import Origin
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import CurationSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ..git.local_repos import history
from ..world import NOW, SERVICE, World
from .pushes.pushing_support import MAIN, TARGET, pack, pusher_of, refusal

OWNER, OTHER = (Author.from_seed(n) for n in (1, 2))
ARCHIVE = CurationSettings(archive_whitelist=("repo",))


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[World]:
    with blocking_in_place():
        yield World(tmp_path, ARCHIVE)


async def test_b_2_2_a_an_archived_repository_is_held_released_and_served(archive: World) -> None:
    announcement = await archive.announce(OWNER, listed=False, origin=Origin.SYNC)
    assert await archive.held() == {announcement.id}
    assert is_repository(archive.path(OWNER))
    steps = history(2)
    states = [
        events.state(OWNER, "repo", {MAIN: step.oid}, created_at=NOW - 50 + number)
        for number, step in enumerate(steps)
    ]
    assert (await archive.offer(states[0], Origin.SYNC)).outcome is Outcome.HELD
    data = await archive.index.data("repo")
    assert [source.url for source in data.clone_sources([OWNER.pubkey])] == [
        f"https://elsewhere.example.com/{OWNER.npub}/repo.git"
    ]
    archive.give(OWNER, steps)
    await archive.releaser.process("repo")
    assert await archive.served() == {announcement.id, states[0].id}
    assert (await archive.offer(states[1], Origin.SYNC)).outcome is Outcome.SERVED
    assert archive.refs(OWNER) == {MAIN: steps[1].oid}
    issue = OTHER.sign(1621, "", [("a", str(OWNER.coordinate("repo")))], NOW)
    assert (await archive.offer(issue, Origin.SYNC)).outcome is Outcome.SERVED


async def test_b_2_9_users_may_publish_what_belongs_to_a_copy(archive: World) -> None:
    """So a state comes that no relay told; its data comes from the announcement's servers."""
    announcement = await archive.announce(OWNER, listed=False, origin=Origin.USER)
    assert await archive.held() == {announcement.id}
    state = events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW)
    assert (await archive.offer(state)).outcome is Outcome.HELD
    other = events.announcement(OTHER, "x", created_at=NOW)
    assert (await archive.offer(other)).outcome is Outcome.REFUSED


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("read_only", [None, False, True])
async def test_b_2_9_a_copy_takes_no_push_and_what_lists_us_does(
    archive: World, read_only: bool | None, listed: bool
) -> None:
    await archive.announce(OWNER, listed=listed, origin=Origin.SYNC)
    steps = history(1)
    state = events.state(OWNER, "repo", {MAIN: steps[0].oid}, created_at=NOW)
    assert (await archive.offer(state, Origin.SYNC)).outcome is Outcome.HELD
    lists = attrs.evolve(ARCHIVE, archive_read_only=read_only)
    archive.index.use_lists(lists)
    pusher = attrs.evolve(pusher_of(archive), service=SERVICE)
    if read_only or (read_only is None and not listed):
        said = await refusal(pusher, {MAIN: steps[0].oid}, pack(steps))
        assert said == "this is a read-only copy: push to a server that the announcement names"
        assert archive.refs(OWNER) == {}
    else:
        await pusher.receive(TARGET, {MAIN: steps[0].oid}, pack(steps))
        assert archive.refs(OWNER) == {MAIN: steps[0].oid}


async def test_b_2_9_an_archive_hosts_what_lists_it(archive: World) -> None:
    await archive.announce(OTHER, "other")
    assert is_repository(archive.path(OTHER, "other"))


@pytest.mark.parametrize("lists", [CurationSettings(), CurationSettings(archive_whitelist=("x",))])
async def test_b_2_9_what_is_archived_no_longer_ends_at_the_start(
    archive: World, lists: CurationSettings
) -> None:
    await archive.announce(OWNER, listed=False, origin=Origin.SYNC)
    await end_what_is_blocked(archive.core, archive.releaser, SERVICE)
    assert is_repository(archive.path(OWNER))
    archive.index.use_lists(lists)
    await end_what_is_blocked(archive.core, archive.releaser, SERVICE)
    assert await archive.held() == set()
    assert not is_repository(archive.path(OWNER))
