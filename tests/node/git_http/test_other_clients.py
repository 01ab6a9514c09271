"""Clients beside git: libgit2 and dulwich clone, fetch, push and delete (B 6.1-6.6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pygit2
import pytest
from dulwich import porcelain
from dulwich.repo import Repo
from trio import to_thread

from .git_support import git
from .push_support import DEV, MAIN, Home, home_in

pytestmark = pytest.mark.real
TAG = "refs/tags/v1"


class GitClient(Protocol):
    """What people do with a git library; it blocks."""

    def clone(self, url: str, path: Path) -> None: ...

    def fetch(self, path: Path, url: str) -> None: ...

    def push(self, path: Path, url: str, *refspecs: str) -> None: ...


class Libgit2:
    def clone(self, url: str, path: Path) -> None:
        pygit2.clone_repository(url, str(path))

    def fetch(self, path: Path, url: str) -> None:
        remote: Any = pygit2.Repository(str(path)).remotes.create_anonymous(url)
        remote.fetch(["+refs/heads/*:refs/remotes/origin/*"])

    def push(self, path: Path, url: str, *refspecs: str) -> None:
        remote: Any = pygit2.Repository(str(path)).remotes.create_anonymous(url)
        remote.push(list(refspecs))


class Dulwich:
    def clone(self, url: str, path: Path) -> None:
        porcelain.clone(url, str(path), errstream=porcelain.NoneStream()).close()

    def fetch(self, path: Path, url: str) -> None:
        with Repo(str(path)) as repository:
            porcelain.fetch(repository, url, errstream=porcelain.NoneStream(), quiet=True)

    def push(self, path: Path, url: str, *refspecs: str) -> None:
        with Repo(str(path)) as repository:
            porcelain.push(repository, url, list(refspecs), errstream=porcelain.NoneStream())


CLIENTS = [pytest.param(Libgit2(), id="libgit2"), pytest.param(Dulwich(), id="dulwich")]


async def run(function: Callable[..., None], *arguments: str | Path) -> None:
    await to_thread.run_sync(lambda: function(*arguments))


@pytest.mark.parametrize("client", CLIENTS)
async def test_b_6_5_clone_fetch_push_delete(tmp_path: Path, client: GitClient) -> None:
    async with home_in(tmp_path) as home:
        await _use(home, client, tmp_path / "copy")


async def _use(home: Home, client: GitClient, copy: Path) -> None:
    first = home.commit("a")
    git("-C", home.tree, "branch", "dev")
    git("-C", home.tree, "tag", "v1")
    event = await home.state(MAIN, DEV, TAG)
    await run(client.push, home.tree, home.url, MAIN, DEV, TAG)
    assert await home.relay.has(event.id)
    assert home.refs() == {MAIN: first, DEV: first, TAG: first}

    await run(client.clone, home.url, copy)
    assert git("-C", copy, "rev-parse", "HEAD") == first

    second = home.commit("b")
    await home.state(MAIN)
    await run(client.push, home.tree, home.url, MAIN, f":{DEV}", f":{TAG}")
    assert home.refs() == {MAIN: second}

    await run(client.fetch, copy, home.url)
    assert git("-C", copy, "cat-file", "-t", second) == "commit"
    git("-C", copy, "fsck", "--full", "--strict")

    home.commit("c")
    with pytest.raises(Exception, match="refs/heads/main"):
        await run(client.push, home.tree, home.url, MAIN)


async def test_b_6_2_libgit2_clones_an_empty_repository(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        await run(Libgit2().clone, home.url, tmp_path / "copy")
        assert git("-C", tmp_path / "copy", "for-each-ref") == ""
