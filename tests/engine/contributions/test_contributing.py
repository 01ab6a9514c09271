"""Pushes below `/prs/` with real repositories, packs and releases (B 12.2-12.7)."""

from __future__ import annotations

import os
import shutil

import attrs
import pytest
import trio
from dulwich.objects import Blob
from trio.testing import MockClock

from purgatory_sync.cli.output.telling import tell_fate
from purgatory_sync.engine.status.prs_status import fate_of_upload, paths_of
from purgatory_sync.git.disk.repository import list_refs, present_oids, read_head
from purgatory_sync.git.ingest.needed_packs import pack_names
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.release.index.disk_use import DiskUse
from purgatory_sync.runtime.folders import folder_bytes
from purgatory_sync.settings import CurationSettings, PrsSettings
from purgatory_sync.testing import events

from ...git.local_repos import Step, history, holes
from ...world import NOW, SERVICE, World
from ..pushes.pushing_support import pack, pieces, state
from .support import (
    CONTRIBUTOR,
    HERE,
    OWNER,
    STRANGER,
    Contributing,
    contributing,
    request,
)

OTHER, THIRD = "5" * 64, "6" * 64


async def serve(world: World, steps: list[Step]) -> None:
    """Let the owner's repository be served, with these commits on main."""
    await world.announce(OWNER)
    await world.offer(state({"refs/heads/main": steps[-1].oid}))
    world.give(OWNER, steps)
    await world.releaser.process("repo")
    assert world.refs(OWNER) == {"refs/heads/main": steps[-1].oid}


async def test_b_12_2_a_repository_is_made_at_the_first_ref_and_is_hosted_nowhere(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    await here.push(steps, OTHER)
    path = here.prs.folder / CONTRIBUTOR.pubkey / "repo.git"
    assert list_refs(path) == {f"refs/nostr/{OTHER}": steps[-1].oid}
    assert "purgatory-sync-unborn" in (read_head(path) or "")
    assert holes(path, steps) == []
    repositories = here.world.repositories
    assert repositories.all_named() == []
    assert repositories.of_identifier("repo") == []
    assert list(repositories.ours_alone()) == []
    assert here.tmp() == []


async def test_b_12_2_names_with_dots_are_two(
    here: Contributing, autojump_clock: MockClock
) -> None:
    for identifier in ("x", "x.git"):
        await here.push(history(1, identifier), OTHER, attrs.evolve(HERE, identifier=identifier))
    names = [each.name for each in (here.prs.folder / CONTRIBUTOR.pubkey).iterdir()]
    assert sorted(names) == ["x.git", "x.git.git"]


async def test_b_12_4_git_first_then_the_event(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    (row,) = (await here.world.store.load()).uploads
    assert (row.oid, row.size) == (steps[-1].oid, here.prs.size(HERE))
    answer = await here.world.offer(event)
    assert answer.accepted
    assert event.id in await here.world.served()
    assert (await here.world.store.load()).uploads == ()
    assert here.refs() == {f"refs/nostr/{event.id}": steps[-1].oid}


async def test_b_12_4_two_a_tags_of_different_identifiers(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(1)
    repositories = [RepositoryId(OWNER.pubkey, each) for each in ("first", "repo")]
    url = f"https://{SERVICE}:443/prs/{CONTRIBUTOR.npub}/repo.git/"
    event = request(steps[0].oid, *repositories, clone=url)
    assert (await here.world.offer(event)).message.startswith("purgatory: ")
    await here.push(steps, event.id)
    assert event.id in await here.world.served()


async def test_b_12_3_an_update_alone_is_let_in(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    root = request(steps[0].oid, at=NOW - 60)
    update = events.pull_request_update(
        CONTRIBUTOR,
        [RepositoryId(OWNER.pubkey, "repo")],
        steps[1].oid,
        root,
        clone=[f"https://{SERVICE}/prs/{CONTRIBUTOR.npub}/repo.git"],
        created_at=NOW - 50,
    )
    assert (await here.world.offer(update)).accepted
    await here.push(steps, update.id)
    assert update.id in await here.world.served()


async def test_b_12_3_a_commit_of_64_digits_is_held_and_never_met(
    here: Contributing, autojump_clock: MockClock
) -> None:
    event = request("1" * 64)
    assert (await here.world.offer(event)).message.startswith("purgatory: ")
    assert event.id in await here.world.held()
    assert "invalid: " in (await here.world.offer(request("1" * 41))).message


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (request("1" * 40, author=STRANGER), "another key"),
        (request("2" * 40), "another commit"),
        (
            request("1" * 40, RepositoryId(OWNER.pubkey, "else"),
                    clone=f"https://{SERVICE}/prs/{CONTRIBUTOR.npub}/else.git"),
            "no a tag",
        ),
    ],
)  # fmt: skip
async def test_b_12_4_an_event_that_says_otherwise_is_refused_before_the_pack(
    here: Contributing, autojump_clock: MockClock, event: Event, why: str
) -> None:
    assert (await here.world.offer(event)).accepted

    async def never() -> bytes:
        raise AssertionError

    steps = history(1)
    said = await here.refused(steps, event.id, tip="1" * 40, read=never)  # type: ignore[arg-type]
    assert why in said
    assert here.files() == []
    assert event.id in await here.world.held()


async def test_b_12_4_a_clone_tag_of_another_path_is_refused(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(1)
    await serve(here.world, history(1, "base"))
    event = request(steps[0].oid, clone="https://elsewhere.example.com/x.git")
    assert (await here.world.offer(event)).accepted
    assert "no clone tag" in await here.refused(steps, event.id)


async def test_b_12_4_what_is_no_pull_request_or_was_deleted_is_refused(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await serve(here.world, history(1, "base"))
    note = STRANGER.sign(1, "", [("a", f"30617:{OWNER.pubkey}:repo")], NOW - 10)
    assert (await here.world.offer(note)).accepted
    steps = history(1)
    assert "no pull request" in await here.refused(steps, note.id)
    event = request(steps[0].oid)
    deletion = CONTRIBUTOR.sign(5, "", [("e", event.id)], NOW - 5)
    assert (await here.world.offer(deletion)).accepted
    assert "deleted" in await here.refused(steps, event.id)
    ref = {f"refs/nostr/{OTHER}": None}
    with pytest.raises(Exception, match="cannot be deleted"):
        await here.contributor.receive(HERE, ref, pieces(), "")


async def test_b_12_4_a_pack_with_holes_or_another_tip_leaves_nothing(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    assert "holes" in await here.refused(steps[1:], OTHER)
    tree = steps[0].commit.tree.decode()
    assert "must name a commit" in await here.refused(steps, OTHER, tip=tree)
    assert here.files() == []
    assert here.tmp() == []
    assert (await here.world.store.load()).uploads == ()


async def test_b_12_4_the_same_again_does_nothing_and_another_commit_is_refused(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    await here.push(steps[:1], OTHER)
    before = here.files()
    await here.push(steps[:1], OTHER, read=pieces(b"no", b"pack"))
    assert "cannot be changed" in await here.refused(steps, OTHER)
    assert here.files() == before
    elsewhere = RepositoryId(STRANGER.pubkey, "repo")
    await here.push(steps, OTHER, elsewhere)
    assert here.refs(elsewhere) == {f"refs/nostr/{OTHER}": steps[1].oid}


async def test_b_12_5_what_waits_ends_after_twenty_minutes_with_its_folders(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.push(history(2), OTHER)
    await here.at(1199)
    assert here.refs() != {}
    await here.at(1200)
    assert here.files() == []
    assert len(here.prs) == 0
    assert len(here.world.purgatory.uploads) == here.world.purgatory.uploads.size == 0


async def test_b_12_5_nothing_ends_while_a_push_is_in_hand(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.push(history(2), OTHER)
    go_on = trio.Event()

    async def slow() -> bytes:
        await go_on.wait()
        return b""

    async with trio.open_nursery() as nursery:

        async def push() -> None:
            steps = history(1, "more")
            said = await here.refused(steps, THIRD, read=slow)  # type: ignore[arg-type]
            assert "did not come" in said

        nursery.start_soon(push)
        await trio.testing.wait_all_tasks_blocked()
        await here.at(5000)
        assert here.refs() != {}
        go_on.set()
    await here.at(5000)
    assert here.files() == []


async def test_b_12_5_what_only_the_ended_ref_needed_goes_and_the_rest_is_whole(
    here: Contributing, autojump_clock: MockClock
) -> None:
    mine, theirs = history(3, "mine"), history(4, "theirs")
    event = request(mine[-1].oid)
    await here.push(mine, event.id)
    size = here.prs.size(HERE)
    await here.push(theirs, OTHER, address="198.51.100.1")
    assert (await here.world.offer(event)).accepted
    await here.at(1200)
    path = here.prs.path(HERE)
    assert here.refs() == {f"refs/nostr/{event.id}": mine[-1].oid}
    assert present_oids(path, [each.oid for each in theirs]) == frozenset()
    assert holes(path, mine) == []
    assert here.prs.size(HERE) == size


async def test_b_12_5_an_event_that_says_otherwise_ends_what_waited_for_it(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[0].oid)
    await here.push(steps, event.id)
    assert (await here.world.offer(event)).message.startswith("purgatory: ")
    assert here.files() == []
    assert event.id in await here.world.held()


async def test_b_12_6_commit_and_ref_are_copied_without_what_no_event_names(
    here: Contributing, autojump_clock: MockClock
) -> None:
    base = history(3, "base")
    await serve(here.world, base)
    foreign, mine = history(2, "foreign"), history(2, "mine")
    await here.push(foreign, OTHER)
    event = request(mine[-1].oid)
    await here.push(mine, event.id)
    assert (await here.world.offer(event)).accepted
    target = here.world.path(OWNER)
    assert here.world.refs(OWNER)[f"refs/nostr/{event.id}"] == mine[-1].oid
    assert holes(target, mine) == []
    assert present_oids(target, [each.oid for each in foreign]) == frozenset()
    assert here.prs.copies == {"copied": 1, "failed": 0}


@pytest.mark.parametrize("later", [False, True])
async def test_b_13_11_quotas_know_what_was_copied_from_below_prs(
    here: Contributing, autojump_clock: MockClock, later: bool
) -> None:
    repositories = here.world.repositories
    use = DiskUse(repositories)
    repositories.changed = use.measure
    mine = history(2, "mine")
    event = request(mine[-1].oid)
    if not later:
        await here.world.announce(OWNER)
    await here.push(mine, event.id)
    assert (await here.world.offer(event)).accepted
    if later:
        await here.world.announce(OWNER)
        await here.keeper.copy("repo")
    target = here.world.path(OWNER)
    assert use.of_repository(target) == folder_bytes(target / "objects") > 0


async def test_b_12_6_a_later_announcement_gets_what_is_here(
    here: Contributing, autojump_clock: MockClock
) -> None:
    mine = history(2, "mine")
    event = request(mine[-1].oid)
    await here.push(mine, event.id)
    assert (await here.world.offer(event)).accepted
    announcement = await here.world.announce(OWNER)
    await here.keeper.copy("repo")
    assert announcement.id in await here.world.held()
    assert here.world.refs(OWNER) == {f"refs/nostr/{event.id}": mine[-1].oid}
    assert holes(here.world.path(OWNER), mine) == []


async def test_b_12_6_only_what_is_needed_of_served_repositories_is_linked(
    here: Contributing, autojump_clock: MockClock
) -> None:
    base = history(5, "base")
    await serve(here.world, base)
    assert await here.contributor.haves(HERE) == [base[-1].oid]
    await here.push(history(2, "alone"), OTHER)
    served = pack_names(here.world.path(OWNER))
    assert not served & pack_names(here.prs.path(HERE))
    upon = history(6, "base")
    await here.push(upon[-1:], THIRD)
    assert served < pack_names(here.prs.path(HERE))
    assert holes(here.prs.path(HERE), upon) == []


async def test_b_12_6_held_repositories_lend_nothing(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.world.announce(OWNER)
    here.world.give(OWNER, history(5, "base"))
    assert await here.contributor.haves(HERE) == ()
    assert "holes" in await here.refused(history(6, "base")[-1:], THIRD)


async def test_b_12_7_the_ref_goes_with_its_event_and_frees_its_bytes(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(2)
    event = request(steps[-1].oid)
    await here.push(steps, event.id)
    await here.world.offer(event)
    use = here.prs.use(here.world.purgatory.uploads, HERE)
    assert (use.bytes_of_author, use.repositories, use.refs) == (here.prs.size(HERE), 1, 1)
    deletion = CONTRIBUTOR.sign(5, "", [("e", event.id)], NOW - 5)
    assert (await here.world.offer(deletion)).accepted
    assert here.files() == []
    use = here.prs.use(here.world.purgatory.uploads, HERE)
    assert (use.bytes, use.bytes_of_author, use.repositories) == (0, 0, 0)
    assert (await here.world.offer(event)).message == "invalid: deleted by its author"


async def test_b_12_10_lists_hold_for_pushes_and_events(
    world: World, autojump_clock: MockClock
) -> None:
    steps = history(1)
    for settings, lists, why in (
        (PrsSettings(), CurationSettings(event_blacklist=(CONTRIBUTOR.npub,)), "this author"),
        (PrsSettings(), CurationSettings(repository_blacklist=("repo",)), "this repository"),
        (PrsSettings(whitelist=(OWNER.npub,)), CurationSettings(), "the operator named"),
    ):
        here = contributing(world, settings, lists)
        assert why in await here.refused(steps, OTHER)
        answer = await here.world.offer(request(steps[0].oid))
        assert answer.message.startswith(("blocked: ", "invalid: "))
    listed = CurationSettings(repository_whitelist=("repo",))
    here = contributing(world, PrsSettings(), listed)
    assert (await here.world.offer(request(steps[0].oid))).accepted
    other = request(steps[0].oid, RepositoryId(OWNER.pubkey, "else"))
    assert not (await here.world.offer(other)).accepted


async def test_b_12_10_why_names_the_path_and_what_keeps_a_push_out(
    here: Contributing, autojump_clock: MockClock
) -> None:
    steps = history(1)
    event = request(steps[0].oid)
    await here.world.offer(event)
    entry, uploads = here.world.purgatory.get(event.id), here.world.purgatory.uploads
    assert entry is not None
    (look,) = paths_of(entry, here.prs, uploads)
    assert look.path == f"/prs/{CONTRIBUTOR.npub}/repo.git"
    assert look.says == f"waits for a push of {steps[0].oid} to refs/nostr/{event.id}"
    other = f"https://{SERVICE}/prs/{STRANGER.npub}/repo.git"
    clone = [other, f"https://{SERVICE}/prs/{CONTRIBUTOR.npub}/repo.git"]
    named = events.pull_request(
        CONTRIBUTOR, [RepositoryId(OWNER.pubkey, "repo")], "2" * 40, clone=clone, created_at=NOW
    )
    await here.world.offer(named)
    entry = here.world.purgatory.get(named.id)
    assert entry is not None
    says = [each.says for each in paths_of(entry, here.prs, uploads)]
    assert "signed by another key" in says[0]
    assert says[1].startswith("waits for")
    here.prs.settings = PrsSettings(max_bytes=1)
    await here.push(steps, event.id)
    entry = here.world.purgatory.get(named.id)
    assert entry is not None
    assert "of all authors" in paths_of(entry, here.prs, uploads)[1].says
    await here.push(history(2), OTHER)
    (row,) = uploads
    fate = fate_of_upload(row, 1200)
    assert (fate.outcome, fate.at, fate.until) == ("pushed", NOW, NOW + 1200)
    assert f"/prs/{CONTRIBUTOR.npub}/repo.git ({row.size} bytes)" in fate.reason
    told = tell_fate(fate, NOW)
    assert "its event has not come: pushed 20" in told.plain
    assert "in 20 min" in told.plain


@pytest.mark.skipif(shutil.which("git") is None, reason="git packs what is needed")
async def test_b_12_5_what_a_strangers_pack_held_beside_a_commit_is_dropped(
    here: Contributing, autojump_clock: MockClock
) -> None:
    mine = history(2, "mine")
    event = request(mine[-1].oid)
    junk = [Blob.from_string(os.urandom(40_000)) for _ in range(5)]
    await here.push(mine, event.id, read=pack(mine, *junk))
    assert (await here.world.offer(event)).accepted
    use = here.prs.use(here.world.purgatory.uploads, HERE)
    assert use.bytes_of_author > 200_000
    await here.keeper.tidy(HERE)
    use = here.prs.use(here.world.purgatory.uploads, HERE)
    assert use.bytes_of_author < 40_000
    assert holes(here.prs.path(HERE), mine) == []
    assert here.refs() == {f"refs/nostr/{event.id}": mine[-1].oid}
    before = here.files()
    await here.push(history(3, "mine"), OTHER)
    await here.keeper.tidy(HERE)  # all that came is needed
    assert set(before) <= set(here.files())
