"""A repository that waits for its first push: which branch a clone of it begins with (B 6.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.refs import HEADREF, Ref
from dulwich.repo import Repo
from trio import to_thread

from purgatory_sync.node.git_http.empty_repository import asks_for_unborn
from purgatory_sync.testing import events

from .git_support import git
from .push_support import MAIN, OWNER, Home, home_in

real = pytest.mark.real

TRUNK = "refs/heads/trunk"


async def hold(home: Home, branch: str, head: str | None) -> None:
    """A held state with one branch, whose commit is in the work tree only."""
    refs = {branch: git("-C", home.tree, "rev-parse", "HEAD")}
    await home.publish(events.state(OWNER, "repo", refs, created_at=home.tick(), head=head))


async def cloned(home: Home, copy: Path, *options: str) -> str:
    """The branch that a clone begins with."""
    await home.git(*options, "clone", "-q", home.url, copy)
    return git("-C", copy, "symbolic-ref", "HEAD")


@real
async def test_b_6_2_a_clone_begins_with_the_branch_of_the_held_state(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        home.commit("a")
        await hold(home, TRUNK, TRUNK)
        assert await cloned(home, tmp_path / "copy") == TRUNK
        # v0 has no words for it: the client takes its own default.
        v0 = await cloned(home, tmp_path / "v0", "-c", "protocol.version=0")
        assert v0 == "refs/heads/master"
        await home.push(f"HEAD:{TRUNK}")
        assert await cloned(home, tmp_path / "later") == TRUNK


@real
async def test_b_6_2_without_a_head_the_state_decides_as_at_its_release(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        home.commit("a")
        await hold(home, TRUNK, None)
        assert await cloned(home, tmp_path / "copy") == TRUNK


@real
async def test_b_6_2_without_a_state_a_clone_begins_with_main_and_pushes_it(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        copy = tmp_path / "copy"
        assert await cloned(home, copy) == MAIN
        home.tree = copy
        first = home.commit("a")
        await home.state(MAIN)
        await home.git("push", "-q", "origin", "main")
        assert home.refs() == {MAIN: first}


@real
async def test_b_6_2_pull_requests_alone_change_nothing(tmp_path: Path) -> None:
    async with home_in(tmp_path) as home:
        home.commit("a")
        await home.push(f"HEAD:refs/nostr/{'1' * 64}")
        assert await cloned(home, tmp_path / "copy") == MAIN
        refs = await home.git("ls-remote", home.url)
        assert "HEAD" not in refs


@real
async def test_b_6_2_dulwich_clones_and_pushes_main(tmp_path: Path) -> None:
    """Without `unborn` its clone fails; its HEAD is its own default all the same."""

    def clone_and_commit() -> None:
        quiet = porcelain.NoneStream()
        with porcelain.clone(home.url, str(copy), errstream=quiet) as repository:
            repository.refs.set_symbolic_ref(HEADREF, Ref(MAIN.encode()))
            (copy / "a").write_text("a")
            porcelain.add(repository, [str(copy / "a")])
            porcelain.commit(repository, message=b"first", author=b"a <a>", committer=b"a <a>")

    def push() -> None:
        with Repo(str(copy)) as repository:
            porcelain.push(repository, home.url, [MAIN], errstream=porcelain.NoneStream())

    async with home_in(tmp_path) as home:
        copy = tmp_path / "copy"
        await to_thread.run_sync(clone_and_commit)
        home.tree = copy
        await home.state(MAIN)
        await to_thread.run_sync(push)
        assert home.refs() == {MAIN: git("-C", copy, "rev-parse", "HEAD")}


@pytest.mark.parametrize(
    ("request_bytes", "asks"),
    [
        (b"0014command=ls-refs\n0001000bunborn\n0014ref-prefix HEAD\n0000", True),
        (b"0013command=ls-refs0001000aunborn0000", True),
        (b"0014command=ls-refs\n0001000bunborn\n0013ref-prefix HEA\n0000", True),
        (b"0014command=ls-refs\n0001000bunborn\n001bref-prefix refs/heads/\n0000", False),
        (b"0014command=ls-refs\n00010014ref-prefix HEAD\n0000", False),
        (b"0012command=fetch\n0001000bunborn\n0000", False),
        (b"0014command=ls-refs\n0001zzzz", False),
        (b"", False),
    ],
)
def test_b_6_2_who_wants_to_hear_of_an_unborn_head(request_bytes: bytes, asks: bool) -> None:
    assert asks_for_unborn(request_bytes) is asks
