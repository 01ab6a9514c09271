"""What a start makes of a crash, of a lost row, and of what others left (B 12.9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import create_bare
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing.log_capture import capture_logs

from ...git.local_repos import history, holes
from ...world import NOW
from .support import ADDRESS, HERE, OWNER, Contributing, request

OTHER, THIRD = "5" * 64, "6" * 64


async def test_b_12_9_a_row_without_its_ref_ends(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.push(history(1), OTHER)
    (row,) = (await here.world.store.load()).uploads
    lost = [attrs.evolve(row, event_id=THIRD), attrs.evolve(row, identifier="gone")]
    await here.world.store.apply(Change(uploads=lost))
    await here.start_again()
    assert (await here.world.store.load()).uploads == (row,)
    assert list(here.world.purgatory.uploads) == [row]


async def test_b_12_9_a_ref_whose_row_was_lost_waits_anew_and_is_claimed_by_its_event(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    rows = (await here.world.store.load()).uploads
    await here.world.store.apply(Change(forget_uploads=rows))
    again = await here.start_again()
    (row,) = (await here.world.store.load()).uploads
    assert (row.oid, row.at, row.size) == (steps[-1].oid, NOW, again.prs.size(HERE))
    assert (await here.world.offer(event)).accepted
    assert event.id in await here.world.served()
    assert (await here.world.store.load()).uploads == ()


async def test_b_12_9_bytes_that_an_older_version_did_not_note_are_not_the_keys(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.push(history(2), OTHER)
    (row,) = (await here.world.store.load()).uploads
    await here.world.store.apply(Change(uploads=[attrs.evolve(row, size=0)]))
    again = await here.start_again()
    use = again.prs.use(again.world.purgatory.uploads, HERE, ADDRESS)
    assert (use.bytes_of_author, use.unclaimed_bytes_of_address) == (0, again.prs.size(HERE))
    assert (await here.world.store.load()).uploads == (row,)


async def test_b_12_9_a_ref_without_a_row_is_its_events(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    (row,) = (await here.world.store.load()).uploads
    await here.world.offer(event)
    await here.world.store.apply(Change(uploads=[row]))  # a crash before the claim was noted
    for _ in range(2):
        again = await here.start_again()
        await again.at(5000)
        assert again.refs() == {f"refs/nostr/{event.id}": steps[-1].oid}
        assert (await here.world.store.load()).uploads == ()


async def test_b_12_9_what_is_not_explained_is_told_of_and_left(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    await here.push(steps, OTHER)
    path = here.prs.path(HERE)
    update_refs(path, {"refs/heads/main": steps[0].oid})
    (here.prs.folder / "npub1").mkdir()
    (here.prs.folder / HERE.owner / "notes").write_text("x")
    with capture_logs() as lines:
        await here.start_again()
    told = "".join(str(line) for line in lines)
    assert "left as it is" in told
    for each in ("npub1", "notes", "refs/heads/main"):
        assert each in told
    assert here.refs()["refs/heads/main"] == steps[0].oid
    assert (here.prs.folder / HERE.owner / "notes").exists()


async def test_b_12_9_repositories_without_refs_go_and_those_of_a_peer_are_adopted(
    here: Contributing, autojump_clock: MockClock, tmp_path: Path
) -> None:
    empty = RepositoryId(HERE.owner, "empty")
    here.prs.path(empty).parent.mkdir(parents=True)
    create_bare(here.prs.path(empty), here.world.repositories.tmp)
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    (row,) = (await here.world.store.load()).uploads
    await here.world.store.apply(Change(forget_uploads=[row]))
    for mark in here.prs.path(HERE).glob("purgatory-sync-*"):
        mark.unlink()
    again = await here.start_again()
    assert not here.prs.path(empty).exists()
    assert list(again.prs) == [HERE]
    await here.world.announce(OWNER)
    assert (await here.world.offer(event)).accepted
    assert holes(here.world.path(OWNER), steps) == []
    assert event.id in await here.world.served()


@pytest.mark.parametrize("step", ["rows", "refs", "shown", "row"])
async def test_b_12_9_a_crash_between_any_two_steps_of_a_push_heals(
    here: Contributing,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    forgotten, place = here.world.ledger.apply, here.prs.place

    async def apply(change: Change) -> object:
        if change.forget_uploads:  # a killed process forgets nothing
            raise Killed
        return await forgotten(change)

    def place_and_die(*about: Any) -> None:
        place(*about)
        raise Killed

    monkeypatch.setattr(here.world.ledger, "apply", apply)
    if step == "rows":
        monkeypatch.setattr(here.prs, "place", die)
    if step == "row":
        monkeypatch.setattr(here.prs, "place", place_and_die)
        monkeypatch.setattr(here.prs, "compact", die)
    if step == "shown":
        monkeypatch.setattr(here.prs, "measure_again", die)
    if step == "refs":
        monkeypatch.setattr("purgatory_sync.engine.contributions.contributing.update_refs", die)
    steps = history(2)
    event = request(steps[-1].oid)
    with pytest.raises(Killed):
        await here.push(steps, event.id)
    monkeypatch.undo()
    again = await here.start_again()
    rows = (await here.world.store.load()).uploads
    shown = step in ("shown", "row")
    assert [each.event_id for each in rows] == ([event.id] if shown else [])
    assert again.files() == [] or shown
    use = again.prs.use(again.world.purgatory.uploads, HERE, ADDRESS)
    assert (use.bytes_of_author, use.unclaimed_bytes_of_address) == (0, again.prs.size(HERE))
    if not shown:
        await again.push(steps, event.id)
    assert (await here.world.offer(event)).accepted
    assert event.id in await here.world.served()
    assert again.refs() == {f"refs/nostr/{event.id}": steps[-1].oid}
