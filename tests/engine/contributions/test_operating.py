"""What operators ask of what is below `/prs/`: listed, verified, taken out (B 12.11)."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext

import pytest
from trio.testing import MockClock

from purgatory_sync.engine.keeping.prs_keeping import ListedPrs, PrsKeeper
from purgatory_sync.engine.verifying.below_prs import PrsExaminer
from purgatory_sync.engine.verifying.findings import Flaw, Verified
from purgatory_sync.engine.verifying.verifier import Verifier
from purgatory_sync.engine.verifying.verify_record import VerifyRecord
from purgatory_sync.errors import ConfigurationError
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.runtime.folders import folder_bytes

from ...git.local_repos import add_pack, history
from ...world import NOW, SERVICE
from .support import CONTRIBUTOR, HERE, OWNER, STRANGER, Contributing, request

OTHER = "5" * 64
STEPS, MORE = history(2), history(2, "more")
NAME = f"prs/{CONTRIBUTOR.npub}/repo"


def keeper(here: Contributing) -> PrsKeeper:
    world = here.world
    return PrsKeeper(world.store, world.core, world.releaser, VerifyRecord(None), 1200.0)


async def verify(here: Contributing, *names: str) -> Verified:
    world = here.world
    verifier = Verifier(
        *(world.store, world.core, world.releaser, here.contributor.clock, nullcontext),
        below_prs=PrsExaminer(world.store, world.core, SERVICE),
    )
    return await verifier.verify(names)


async def contribute(here: Contributing) -> Event:
    """A pull request that is served, and a ref that waits, in one repository."""
    event = request(STEPS[-1].oid)
    await here.push(STEPS, event.id)
    assert (await here.world.offer(event)).accepted
    await here.push(MORE, OTHER)
    return event


def standings(listed: ListedPrs) -> dict[str, str]:
    return {each.name.removeprefix("refs/nostr/"): each.standing for each in listed.refs}


@pytest.mark.parametrize("on", [True, False])
async def test_b_12_11_what_is_there_is_listed_with_the_standing_of_each_ref(
    here: Contributing, autojump_clock: MockClock, on: bool
) -> None:
    event = await contribute(here)
    path = here.prs.path(HERE)
    update_refs(path, {"refs/heads/main": STEPS[0].oid})
    if not on:  # turned off again, what is there stays
        here.world.repositories.prs = None
        here.world.purgatory.uploads = type(here.world.purgatory.uploads)()
    (listed,) = await keeper(here).listing()
    assert (listed.npub, listed.identifier) == (CONTRIBUTOR.npub, "repo")
    assert (listed.size, listed.problem) == (folder_bytes(path), None)
    assert standings(listed) == {
        event.id: "served",
        OTHER: "waiting",
        "refs/heads/main": "unexplained",
    }
    times = {each.name[-64:]: (each.at, each.ends_at) for each in listed.refs}
    assert times[event.id] == (event.created_at, None)
    assert times[OTHER] == (NOW, NOW + 1200)


async def test_b_12_11_what_cannot_be_read_is_listed_with_its_problem(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await contribute(here)
    (here.prs.path(HERE) / "config").write_bytes(b"[extensions]\n\tobjectformat = sha256\n")
    (here.prs.folder / "notes.git").mkdir()
    (here.prs.folder / "not a key").mkdir()
    (listed,) = await keeper(here).listing()
    assert listed.refs == ()
    assert "sha256" in (listed.problem or "")


@pytest.mark.parametrize("name", [f"{CONTRIBUTOR.npub}/repo", NAME, CONTRIBUTOR.npub])
async def test_b_12_11_a_purge_takes_out_repository_rows_and_pull_requests(
    here: Contributing, autojump_clock: MockClock, name: str
) -> None:
    event = await contribute(here)
    other = RepositoryId(STRANGER.pubkey, "repo")
    await here.push(STEPS, "6" * 64, other)

    told = await keeper(here).purge(name, execute=False)
    assert (told.executed, told.repositories, told.served, told.held, told.waiting) == (
        *(False, (NAME,), 1, 0, 1),
    )
    assert set(here.refs()) == {f"refs/nostr/{event.id}", f"refs/nostr/{OTHER}"}
    assert event.id in await here.world.served()

    told = await keeper(here).purge(name, execute=True)
    assert (told.executed, told.event_ids) == (True, (event.id,))
    assert not here.prs.path(HERE).exists()
    assert [*here.prs] == [other]
    assert event.id not in await here.world.served()
    assert [each.event_id for each in (await here.world.store.load()).uploads] == ["6" * 64]
    assert [each.event_id for each in here.world.purgatory.uploads] == ["6" * 64]
    with pytest.raises(ConfigurationError, match="nothing of"):
        await keeper(here).purge(name, execute=True)


async def test_b_12_11_a_pull_request_that_an_announced_repository_has_stays_there(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await here.world.announce(OWNER)
    event = await contribute(here)
    told = await keeper(here).purge(NAME, execute=True)
    assert (told.served, told.waiting) == (0, 1)
    assert event.id in await here.world.served()
    assert here.world.refs(OWNER) == {f"refs/nostr/{event.id}": STEPS[-1].oid}
    assert len(here.prs) == 0
    assert (await verify(here)).found == 0


async def test_b_12_11_a_purge_works_where_the_profile_is_off(
    here: Contributing, autojump_clock: MockClock
) -> None:
    event = await contribute(here)
    here.world.repositories.prs = None
    here.world.purgatory.uploads = type(here.world.purgatory.uploads)()
    told = await keeper(here).purge(NAME, execute=True)
    assert (told.served, told.waiting) == (1, 1)
    assert not here.prs.path(HERE).exists()
    assert event.id not in await here.world.served()
    assert (await here.world.store.load()).uploads == ()


async def test_b_12_11_what_names_nothing_is_a_sentence(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await contribute(here)
    for name, said in (("repo", "names nothing below"), (f"{NAME}x", "nothing of")):
        with pytest.raises(ConfigurationError, match=said):
            await keeper(here).purge(name, execute=True)
    assert len(here.refs()) == 2


@pytest.mark.parametrize("names", [(), ("repo",), (NAME,)])
async def test_b_12_11_what_is_whole_is_no_finding(
    here: Contributing, autojump_clock: MockClock, names: tuple[str, ...]
) -> None:
    await contribute(here)
    await here.push(STEPS, "6" * 64, RepositoryId(CONTRIBUTOR.pubkey, "second"))
    found = await verify(here, *names)
    assert (found.found, found.not_looked) == (0, ())
    assert found.repositories == (1 if names else 2)
    with pytest.raises(ConfigurationError, match="there is no repository"):
        await verify(here, f"{NAME}x")


async def test_b_12_11_what_waits_is_no_finding_where_the_profile_is_off(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await contribute(here)
    here.world.repositories.prs = None
    here.world.purgatory.uploads = type(here.world.purgatory.uploads)()
    assert (await verify(here)).found == 0


async def test_b_12_11_refs_that_no_event_explains_are_findings(
    here: Contributing, autojump_clock: MockClock
) -> None:
    event = await contribute(here)
    refs = {f"refs/nostr/{event.id}": STEPS[0].oid, "refs/heads/main": STEPS[0].oid}
    update_refs(here.prs.path(HERE), refs)
    found = await verify(here)
    assert [(each.where, each.what) for each in found.findings] == [
        *[(NAME, "refs")] * 2,
        (NAME, "absent"),
    ]
    assert "refs/heads/main belongs to no pull request" in found.findings[0].detail
    assert "names another commit" in found.findings[1].detail
    assert "purge --prs" in found.findings[0].remedy


async def test_b_12_11_missing_and_damaged_objects_are_findings(
    here: Contributing, autojump_clock: MockClock
) -> None:
    await contribute(here)
    path = here.prs.path(HERE)
    shutil.rmtree(path / "objects/pack")
    os.mkdir(path / "objects/pack")
    add_pack(path, [*MORE[0].objects, *MORE[1].objects, STEPS[1].commit])
    found = await verify(here, NAME)
    assert [(each.where, each.what) for each in found.findings] == [(NAME, "missing")]
    (pack,) = (path / "objects/pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[40] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(content)
    found = await verify(here, NAME)
    assert {each.what for each in found.findings} >= {"damaged"}


async def test_b_12_11_a_served_pull_request_that_nothing_has_is_a_finding(
    here: Contributing, autojump_clock: MockClock
) -> None:
    event = await contribute(here)
    shutil.rmtree(here.prs.path(HERE))
    detail = f"its pull request {event.id} is served, and its commit is not here"
    assert (await verify(here)).findings == (Flaw(NAME, "absent", detail),)
