"""Pushes as stock clients make them: git and libgit2 against a node (B 4.3, 6.3-6.8)."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pygit2
import pytest
import trio
from dulwich import porcelain
from trio import to_thread

from purgatory_sync.settings import PushSettings
from purgatory_sync.testing import events

from .git_support import git
from .push_support import CONTRIBUTOR, DEV, MAIN, OWNER, Home, home_in

pytestmark = pytest.mark.real


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with home_in(tmp_path) as home:
        yield home


async def test_b_6_8_a_first_push_is_served_when_git_returns(home: Home) -> None:
    home.commit("a")
    event = await home.state(MAIN)
    assert not await home.relay.has(event.id)
    await home.push("main")
    assert await home.relay.has(event.id)
    await home.git("clone", "-q", home.url, home.tree / "copy")
    assert git("-C", home.tree / "copy", "rev-parse", "HEAD") == home.refs()[MAIN]
    assert "Everything up-to-date" in await home.push("main")


async def test_b_6_5_forced_deleted_and_tagged(home: Home) -> None:
    first = home.commit("a")
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    await home.push("main", "dev")
    git("-C", home.tree, "commit", "-q", "--amend", "-m", "other")
    git("-C", home.tree, "tag", "-a", "v1", "-m", "release")
    git("-C", home.tree, "tag", "light", first)
    event = await home.state(MAIN, "refs/tags/v1", "refs/tags/light")
    await home.push("--force", "--atomic", "--tags", "main", ":dev")
    assert await home.relay.has(event.id)
    assert set(home.refs()) == {MAIN, "refs/tags/v1", "refs/tags/light"}
    assert home.refs()[MAIN] == git("-C", home.tree, "rev-parse", "main") != first


async def test_b_3_2_a_state_that_only_deletes_takes_effect_before_the_push(home: Home) -> None:
    home.commit("a")
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    await home.push("main", "dev")
    await home.state(MAIN)
    assert set(home.refs()) == {MAIN}
    assert "remote ref does not exist" in await home.refused(":dev")


async def test_b_6_5_two_mebibytes_with_gits_probe(home: Home) -> None:
    home.commit("large", random.Random(1).randbytes(2 << 20))
    await home.state(MAIN)
    said = await home.git("-c", "http.postBuffer=65536", "push", "-v", home.url, "main")
    assert "POST git-receive-pack (chunked)" in said
    assert set(home.refs()) == {MAIN}
    assert not list((home.settings.git_data_path / ".tmp").iterdir())


async def test_b_6_5_from_a_shallow_clone(home: Home) -> None:
    for name in "abc":
        home.commit(name)
    await home.state(MAIN)
    await home.push("main")
    shallow = home.tree / "shallow"
    await home.git("clone", "-q", "--depth=1", home.url, shallow)
    home.tree = shallow
    home.commit("d")
    await home.state(MAIN)
    await home.push("main")
    assert home.refs()[MAIN] == git("-C", shallow, "rev-parse", "main")
    git("-C", home.bare, "fsck", "--strict", "--no-dangling")


async def test_b_6_5_a_cut_history_is_refused_with_what_to_do(home: Home, tmp_path: Path) -> None:
    home.commit("a")
    home.commit("b")
    cut = tmp_path / "cut"
    await home.git("clone", "-q", "--depth=1", f"file://{home.tree}", cut)
    home.tree = cut
    await home.state(MAIN)
    assert "git fetch --unshallow" in await home.refused("main")
    assert home.refs() == {}


async def test_b_6_6_git_prints_the_reason(home: Home) -> None:
    home.commit("a")
    said = await home.refused("main")
    assert "remote error: no state event (kind 30618)" in said
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    said = await home.refused("main")
    assert "refs/heads/dev is missing, the state says" in said
    assert "they belong into one push" in said
    assert home.refs() == {}
    await home.push("main", "dev")


async def test_b_6_6_git_prints_the_reason_of_a_large_push(home: Home) -> None:
    home.commit("large", random.Random(1).randbytes(3 << 20))
    assert "remote error: no state event" in await home.refused("main")


async def test_b_6_6_limits_are_answered_with_a_reason(tmp_path: Path) -> None:
    async with home_in(tmp_path, PushSettings(max_pack_bytes=100_000)) as home:
        home.commit("large", random.Random(1).randbytes(300_000))
        await home.state(MAIN)
        assert "the pack has more than 100000 bytes" in await home.refused("main")


async def test_b_4_3_a_pull_request_before_its_event(home: Home) -> None:
    tip = home.commit("a")
    event = events.pull_request(
        CONTRIBUTOR, [OWNER.coordinate("repo")], tip, created_at=home.tick()
    )
    name = f"refs/nostr/{event.id}"
    await home.push(f"main:{name}")
    assert home.refs() == {name: tip}
    home.commit("b")
    assert "cannot be changed" in await home.refused(f"+main:{name}")
    assert "cannot be deleted" in await home.refused(f":{name}")
    await home.state(MAIN)
    assert "instead of --mirror" in await home.refused("--mirror")
    await home.push("--prune", "+refs/heads/*", "+refs/tags/*")
    assert set(home.refs()) == {MAIN, name}
    assert (await home.relay.publish(event)) == (True, "")
    assert await home.relay.has(event.id)


async def test_b_6_5_push_options_signed_pushes_and_other_refs(home: Home) -> None:
    home.commit("a")
    await home.state(MAIN)
    await home.push("-o", "ci.skip", "--quiet", "main")
    assert "only branches, tags" in await home.refused("main:refs/notes/x")
    home.commit("b")
    assert "does not support --signed push" in await home.refused("--signed=true", "main")


async def test_b_6_7_two_pushes_at_once(home: Home, tmp_path: Path) -> None:
    home.commit("large", random.Random(1).randbytes(1 << 20))
    await home.state(MAIN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(home.push, "main")
        nursery.start_soon(home.push, "main")
    assert set(home.refs()) == {MAIN}


class Callbacks(pygit2.RemoteCallbacks):
    """What libgit2 tells of a push."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[str, str | None]] = []

    def push_update_reference(self, refname: str, message: str | None) -> None:
        self.answers.append((refname, message))


async def libgit2(home: Home, *refspecs: str) -> list[tuple[str, str | None]]:
    def push() -> list[tuple[str, str | None]]:
        callbacks = Callbacks()
        remote: Any = pygit2.Repository(str(home.tree)).remotes.create_anonymous(home.url)
        remote.push(list(refspecs), callbacks=callbacks)
        return sorted(callbacks.answers)

    return await to_thread.run_sync(push)


async def test_b_6_6_libgit2_pushes_deletes_and_is_refused(home: Home) -> None:
    home.commit("a")
    home.commit("large", random.Random(1).randbytes(2 << 20))
    git("-C", home.tree, "branch", "dev")
    await home.state(MAIN, DEV)
    assert await libgit2(home, MAIN, DEV) == [(DEV, None), (MAIN, None)]
    git("-C", home.tree, "tag", "v1")
    event = await home.state(MAIN, "refs/tags/v1")
    assert await home.relay.has(event.id)
    assert set(home.refs()) == {MAIN, "refs/tags/v1"}
    home.commit("b")
    git("-C", home.tree, "tag", "v2")
    await home.state(MAIN, "refs/tags/v2")
    answers = await libgit2(home, f"+{MAIN}", "refs/tags/v2", ":refs/tags/v1")
    assert answers == [(MAIN, None), ("refs/tags/v1", None), ("refs/tags/v2", None)]
    assert set(home.refs()) == {MAIN, "refs/tags/v2"}
    home.commit("c")
    with pytest.raises(pygit2.GitError, match="refs/heads/main would be"):
        await libgit2(home, MAIN)


async def test_b_6_6_dulwich_pushes_and_is_refused(home: Home) -> None:
    home.commit("a")
    await home.state(MAIN)

    def push() -> None:
        with BytesIO() as out:
            porcelain.push(str(home.tree), home.url, [MAIN], outstream=out, errstream=out)

    await to_thread.run_sync(push)
    assert home.refs() == {MAIN: git("-C", home.tree, "rev-parse", "main")}
    home.commit("b")
    with pytest.raises(Exception, match="refs/heads/main would be"):
        await to_thread.run_sync(push)


async def test_b_6_7_gits_receive_pack_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper, said = tmp_path / "bin" / "git", tmp_path / "said"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{said}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    async with home_in(tmp_path) as home:
        home.commit("large", random.Random(1).randbytes(3 << 20))
        git("-C", home.tree, "branch", "dev")
        await home.state(MAIN, DEV)
        await home.push("main", "dev")
        git("-C", home.tree, "commit", "-q", "--amend", "-m", "other")
        git("-C", home.tree, "tag", "v1")
        await home.state(MAIN, "refs/tags/v1")
        await home.push("--force", "main", "v1", ":dev")
        home.commit("b")
        await home.refused("main")
        await home.git("clone", "-q", home.url, tmp_path / "copy")
    words = set(said.read_text().split())
    assert words >= {"index-pack", "upload-pack"}
    assert not words & {"receive-pack", "unpack-objects", "update-ref", "symbolic-ref", "fetch"}


async def test_b_6_2_stock_git_fetches_what_is_new_deepens_and_fills_in(
    home: Home, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        home.commit(name)
    await home.state(MAIN)
    await home.push("main")
    whole, shallow, partial = (tmp_path / name for name in ("whole", "shallow", "partial"))
    await home.git("clone", "-q", home.url, whole)
    await home.git("clone", "-q", "--depth=1", home.url, shallow)
    await home.git("clone", "-q", "--filter=blob:none", "--no-checkout", home.url, partial)
    git("-C", home.tree, "tag", "-a", "v1", "-m", "release")
    tip = home.commit("c")
    await home.state(MAIN, "refs/tags/v1")
    await home.push("main", "v1")
    for copy in (whole, shallow, partial):
        await home.git("-C", copy, "fetch", "-q", "--tags")
        assert git("-C", copy, "rev-parse", "origin/main") == tip
        assert git("-C", copy, "cat-file", "-t", "v1") == "tag"
    assert git("-C", shallow, "rev-list", "--count", "origin/main") == "2"
    await home.git("-C", shallow, "fetch", "-q", "--unshallow")
    assert git("-C", shallow, "rev-list", "--count", "origin/main") == "3"
    await home.git("-C", partial, "checkout", "-q", "origin/main")
    assert (partial / "c").read_bytes() == b"hello\n"
    await home.state(MAIN)
    await home.git("-C", whole, "fetch", "-q", "--prune", "--prune-tags", "origin")
    assert git("-C", whole, "tag") == ""
