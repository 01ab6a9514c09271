"""One repository for others: what is in an export, who is refused, what stays (B 13.12)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import trio
from dulwich.objects import Blob, Commit, Tree

from purgatory_sync.engine.keeping import export_events
from purgatory_sync.engine.keeping.exporting import Exported, Exporter
from purgatory_sync.errors import ConfigurationError, RepositoryError
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.git.maintenance import repository_export
from purgatory_sync.nostr.address import RepositoryId
from purgatory_sync.nostr.event import Event
from purgatory_sync.settings import Settings
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import add_pack, history, oid_of
from ...world import NOW, World

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("git") is None, reason="git writes exports"),
]
OWNER, FRIEND, OTHER = Author.from_seed(1), Author.from_seed(2), Author.from_seed(3)
MAIN = "refs/heads/main"
STEPS, UNSERVED = history(2), history(1, "unserved")


def exporter(world: World, folder: Path) -> Exporter:
    settings = Settings(git_data_path=folder / "git", relay_data_path=folder / "relay")
    return Exporter(world.store, world.core, world.releaser, settings)


async def export(world: World, folder: Path, name: str, *, as_bundle: bool = False) -> Exported:
    made = exporter(world, folder).export(name, folder / "out", as_bundle=as_bundle)
    with trio.fail_after(60):
        return await made


async def accept(world: World, event: Event) -> Event:
    answer = await world.offer(event)
    assert answer.accepted, answer.message
    return event


async def serve(world: World, owner: Author = OWNER) -> list[Event]:
    """A repository with data: its announcement and its state."""
    announced = await world.announce(owner, created_at=NOW - 100)
    world.give(owner, STEPS)
    state = events.state(owner, "repo", {MAIN: STEPS[1].oid}, created_at=NOW - 50)
    return [announced, await accept(world, state)]


async def talk(world: World) -> list[Event]:
    """An issue and a reply to it that names the issue only; the reply is the older one."""
    address = f"30617:{OWNER.pubkey}:repo"
    issue = events.note(FRIEND, kind=1621, tags=[("a", address)], created_at=NOW - 10)
    reply = events.note(OTHER, kind=1111, tags=[("E", issue.id)], created_at=NOW - 20)
    return [await accept(world, issue), await accept(world, reply)]


def lines(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / "events.jsonl").read_text().splitlines()]


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def left(folder: Path) -> set[str]:
    """What an export may have left behind."""
    return set(os.listdir(folder)) | {f"tmp/{each}" for each in os.listdir(folder / "git/.tmp")}


async def test_b_13_12_an_export_is_a_clone_and_the_events_in_their_order(
    world: World, tmp_path: Path
) -> None:
    served = await serve(world)
    await serve(world, OTHER)
    served += await talk(world)
    path = world.path(OWNER)
    add_pack(path, UNSERVED[0].objects)
    (path / "refs/nostr").mkdir()
    (path / "refs/nostr" / ("7" * 64)).write_text(f"{UNSERVED[0].oid}\n")

    made = await export(world, tmp_path, f"{OWNER.npub}/repo")

    assert (made.refs, made.events, made.git) == (1, 4, "repository.git")
    assert lines(tmp_path / "out") == [each.id for each in served]
    bare = tmp_path / "out/repository.git"
    assert list_refs(bare) == {MAIN: STEPS[1].oid}
    assert git("-C", str(bare), "fsck", "--strict") == ""
    found = git("-C", str(bare), "cat-file", "--batch-check", "--batch-all-objects").split()
    assert oid_of(UNSERVED[0].blob) not in found
    assert str(tmp_path) not in (bare / "config").read_text()
    assert left(tmp_path) == {"git", "out"}
    assert world.refs(OWNER)[f"refs/nostr/{'7' * 64}"] == UNSERVED[0].oid  # as it was


async def test_b_13_12_pull_requests_and_members_states_belong_to_it(
    world: World, tmp_path: Path
) -> None:
    announced = await world.announce_group(OWNER, FRIEND)
    world.give(OWNER, STEPS)
    refs = {MAIN: STEPS[0].oid}
    state = await accept(world, events.state(FRIEND, "repo", refs, created_at=NOW - 50))
    mine = RepositoryId(OWNER.pubkey, "repo")
    request = events.pull_request(OTHER, [mine], STEPS[1].oid, created_at=NOW - 10)
    await accept(world, request)

    made = await export(world, tmp_path, f"{OWNER.npub}/repo")

    found = lines(tmp_path / "out")
    assert {announced.id} <= set(found[:2])
    assert found[2:] == [state.id, request.id]
    bare = list_refs(tmp_path / "out/repository.git")
    assert bare == {MAIN: STEPS[0].oid, f"refs/nostr/{request.id}": STEPS[1].oid}
    assert made.refs == 2


async def test_b_13_12_a_bundle_has_the_same(world: World, tmp_path: Path) -> None:
    await serve(world)

    made = await export(world, tmp_path, "repo", as_bundle=True)

    assert made.git == "repository.bundle"
    assert set(os.listdir(tmp_path / "out")) == {"repository.bundle", "events.jsonl"}
    git("clone", "-q", "--mirror", str(tmp_path / "out/repository.bundle"), str(tmp_path / "c"))
    assert list_refs(tmp_path / "c") == {MAIN: STEPS[1].oid}


async def test_b_13_12_what_is_absent_held_private_or_unclear_is_a_sentence(
    world: World, tmp_path: Path
) -> None:
    await serve(world)
    await serve(world, OTHER)
    await world.announce(FRIEND, "waits")
    tags = [("d", "p"), ("private",)]  # an older version may have let it in
    private = events.note(FRIEND, kind=30617, tags=tags, created_at=NOW - 100)
    await world.core.ledger.apply(Change(save=[private]))
    for name, sentence in (
        ("nothing", "no repository nothing is served here"),
        (f"{FRIEND.npub}/repo", "is served here: `list` shows those that are"),
        (f"{FRIEND.npub}/waits", "is only held, it waits for its data"),
        ("waits", "is only held, it waits for its data"),
        (f"{FRIEND.npub}/p", "is private: it is not handed on"),
        ("repo", f"several repositories are called repo: name one: {OWNER.npub}/repo, "),
        ("npub1x/repo", "names no repository: write npub1…/identifier"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            await export(world, tmp_path, name)
        assert sentence in str(raised.value)
        assert left(tmp_path) == {"git"}


async def test_b_13_12_the_folder_is_new_and_outside_of_the_nodes_data(
    world: World, tmp_path: Path
) -> None:
    await serve(world)
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "git")
    for folder, sentence in (
        (tmp_path / "link/x", "lies inside the node's data"),
        (tmp_path / "there/../git/x", "lies inside the node's data"),
        (tmp_path / "there", "is there already: name a folder that does not exist"),
        (tmp_path / "git/x", "lies inside the node's data"),
        (Path("x"), "from the root on"),
        (tmp_path / "git/.owner/x", "lies inside the node's data"),
        (Path("/proc/nothing/x"), "/proc/nothing cannot be used"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            await exporter(world, tmp_path).export("repo", folder)
    assert left(tmp_path) == {"git", "link", "there"}
    assert not (tmp_path / "git/x").exists()


@pytest.mark.parametrize("as_bundle", [False, True])
async def test_b_13_12_a_disk_that_refuses_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_bundle: bool
) -> None:
    await serve(world)
    noise, tree = Blob.from_string(os.urandom(1 << 16)), Tree()
    tree.add(b"noise", 0o100644, noise.id)
    commit = STEPS[0].commit.copy()
    assert isinstance(commit, Commit)
    commit.tree = tree.id
    add_pack(world.path(OWNER), [noise, tree, commit])
    await accept(world, events.state(OWNER, "repo", {MAIN: oid_of(commit)}, created_at=NOW - 5))
    monkeypatch.setattr(repository_export, "_room_for", lambda source: 0)  # ulimit -f
    with pytest.raises(
        RepositoryError, match=r"git could not write the export: [^:].*nothing was left"
    ):
        await export(world, tmp_path, "repo", as_bundle=as_bundle)
    assert left(tmp_path) == {"git"}


async def test_b_13_12_cancelled_it_leaves_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve(world)
    with trio.CancelScope() as scope:
        await exporter(world, tmp_path).export(
            "repo",
            tmp_path / "new/folders/out",
            tell=lambda said: scope.cancel() if said == "events" else None,
        )
    assert scope.cancelled_caught
    assert left(tmp_path) == {"git"}


async def test_b_13_12_many_events_come_whole(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_events, "READ_AT_ONCE", 2)
    monkeypatch.setattr(export_events, "NAMED_AT_ONCE", 1)
    served = await serve(world)
    served += await talk(world)
    await export(world, tmp_path, "repo")
    assert lines(tmp_path / "out") == [each.id for each in served]
