"""Taking the place of a server that still runs (B 13.15): a second node plays the old one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import pytest
import trio

from purgatory_sync.cli import run_command
from purgatory_sync.nostr.event import Event
from purgatory_sync.store.opening import DATABASE
from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import NodeProcess, free_port

from .support import (
    ALICE,
    BOB,
    CAROL,
    MAIN,
    Network,
    clone_and_check,
    commit,
    git,
    make_tree,
    network,
    publish,
    repository_url,
    served,
)

pytestmark = pytest.mark.real

TAG = "refs/tags/v1"
NAMES = ("repo", "ü x")


@attrs.frozen
class Old:
    """The old server, what it serves, and which of that the new one refuses."""

    node: NodeProcess
    served: tuple[Event, ...]
    by_carol: Event
    change: Event

    @property
    def key(self) -> Path:
        return Path(self.node.log).parent / "data" / "relay" / "service.nsec"


async def old_server(net: Network) -> Old:
    """Two repositories with branch, tag and pull request, and a talk of three replies."""
    node, found = await net.node("old"), list[Event]()
    tree = net.folder / "tree"
    first = await make_tree(tree)
    await git("-C", tree, "tag", "v1")
    await git("-C", tree, "checkout", "-q", "-b", "change")
    await git("-C", tree, "commit", "-q", "--allow-empty", "-m", "second")
    tip = await git("-C", tree, "rev-parse", "HEAD")
    for name in NAMES:
        url = repository_url(node, ALICE, quote(name))
        announced = events.announcement(
            ALICE, name, clone=[url], relays=[node.relay_url], created_at=net.now()
        )
        state = net.state(ALICE, {MAIN: first, TAG: first}, name)
        change = events.pull_request(BOB, [ALICE.coordinate(name)], tip, created_at=net.now())
        await publish(node, announced, state, change)
        await git("-C", tree, "push", "-q", url, "main", "v1", f"{tip}:refs/nostr/{change.id}")
        found += [announced, state, change]
    talk = events.note(
        BOB, kind=1621, tags=[("a", str(ALICE.coordinate("repo")))], created_at=net.now()
    )
    said = [talk, *replies(talk, 3, net)]
    deleted = events.note(BOB, "no", kind=1111, tags=[("e", talk.id)], created_at=net.now())
    carol = events.note(
        CAROL, kind=1621, tags=[("a", str(ALICE.coordinate("repo")))], created_at=net.now()
    )
    request = events.deletion(BOB, ids=[deleted.id], created_at=net.now())
    await publish(node, *said, deleted, carol, request)
    return Old(node, (*found, *said, request), carol, change)


def replies(to: Event, count: int, net: Network) -> Iterable[Event]:
    for _ in range(count):
        to = events.note(ALICE, kind=1111, tags=[("e", to.id)], created_at=net.now())
        yield to


@attrs.frozen
class New:
    """The folders of the node that takes its place."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    async def adopt(self, old: Old, *more: str, git_url: str = "") -> tuple[int, Any]:
        """The exit code, and what was told: JSON, or the sentence on stderr."""
        arguments = ["adopt", "--relay", old.node.relay_url, "--git", git_url or old.node.http_url]
        arguments += ["--relay-data-path", str(self.folder / "data" / "relay"), "--json", *more]
        arguments += ["--git-data-path", str(self.folder / "data" / "git")]
        code = await trio.to_thread.run_sync(run_command, arguments)
        told = self.capsys.readouterr()
        return code, json.loads(told.out) if told.out else told.err

    def stored(self) -> dict[str, int]:
        """How often each served event is in the store; the service's own two are left out."""
        with closing(sqlite3.connect(self.folder / "data" / "relay" / DATABASE)) as there:
            told = "SELECT id, count(*) FROM event WHERE kind NOT IN (0, 10002) GROUP BY id"
            return dict(there.execute(told).fetchall())


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> New:
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NGIT_EVENT_BLACKLIST", CAROL.npub)
    return New(folder, capsys)


async def start(net: Network, new: New, old: Old) -> NodeProcess:
    """The new node under the name of the old one."""
    settings = {"NGIT_DOMAIN": old.node.address, "NGIT_EVENT_BLACKLIST": CAROL.npub}
    node = NodeProcess(new.folder, settings)
    await node.start()
    return node


async def pubkey(node: NodeProcess) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        headers = {"Accept": "application/nostr+json"}
        answer = await client.get(node.http_url, headers=headers)
        return str(answer.json()["pubkey"])


async def test_b_13_15_everything_is_here_afterwards_and_the_key_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: New
) -> None:
    async with network(tmp_path) as net:
        old = await old_server(net)
        monkeypatch.setenv("NGIT_DOMAIN", old.node.address)
        code, told = await new.adopt(old, "--key-file", str(old.key))
        assert code == 1
        assert [each["event_id"] for each in told["refused"]] == [old.by_carol.id]
        assert told["refused"][0]["reason"].startswith("blocked: ")
        assert (told["held"], told["differences"], told["not_compared"]) == ([], [], [])
        assert (told["repositories"], told["key_there"]) == (len(NAMES), told["key_here"])
        kinds = {each["kind"]: each for each in told["kinds"]}
        assert {kind: each["there"] for kind, each in kinds.items()} == {
            0: 1, 5: 1, 1111: 3, 1618: 2, 1621: 2, 10002: 1, 30617: 2, 30618: 2,
        }  # fmt: skip
        assert (kinds[1621]["served"], kinds[1621]["refused"]) == (1, 1)
        before = new.stored()
        code, again = await new.adopt(old)
        assert (code, again) == (1, told)
        assert new.stored() == before == {each.id: 1 for each in old.served}
        node = await start(net, new, old)
        try:
            await served(node, *old.served)
            assert await pubkey(node) == await pubkey(old.node)
            for number, name in enumerate(NAMES):
                url = repository_url(node, ALICE, quote(name))
                there = await clone_and_check(url, tmp_path / f"copy{number}")
                assert {MAIN, TAG} <= there.keys()
                assert any(ref.startswith("refs/nostr/") for ref in there)
        finally:
            await node.aclose()


async def test_b_13_15_begun_again_it_goes_on_where_git_data_did_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: New
) -> None:
    async with network(tmp_path) as net:
        old = await old_server(net)
        monkeypatch.setenv("NGIT_DOMAIN", old.node.address)
        monkeypatch.delenv("NGIT_EVENT_BLACKLIST")
        monkeypatch.setenv("NGIT_SYNC_DISABLE_NEGENTROPY", "true")
        away = f"http://127.0.0.1:{free_port()}"
        key = ("--key-file", str(old.key))
        code, told = await new.adopt(old, *key, git_url=away)
        assert code == 1
        waiting = {each["event_id"]: each["reason"] for each in told["held"]}
        assert waiting.keys() == {
            each.id for each in old.served if each.kind in (30617, 30618, 1618)
        }
        assert away in waiting[old.change.id]
        code, told = await new.adopt(old)
        assert (code, told["held"], told["refused"], told["differences"]) == (0, [], [], [])
        assert new.stored() == {each.id: 1 for each in (*old.served, old.by_carol)}


async def test_b_13_15_another_key_or_a_silent_relay_ends_it_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: New
) -> None:
    async with network(tmp_path) as net:
        node = await net.node("old")
        old = Old(node, (), events.note(BOB), events.note(BOB))
        code, told = await new.adopt(old)
        assert (code, "set NGIT_DOMAIN" in told) == (2, True)
        monkeypatch.setenv("NGIT_DOMAIN", node.address)
        code, told = await new.adopt(old)
        assert (code, "--key-file" in told) == (2, True)
        code, told = await new.adopt(old, "--key-file", str(tmp_path / "none"))
        assert (code, "cannot be read" in told) == (2, True)
        assert not (new.folder / "data").exists()
        code, told = await new.adopt(old, "--new-identity")
        assert (code, told["key_there"] != told["key_here"]) == (1, True)
        await node.kill()
        code, told = await new.adopt(old)
        assert (code, "begin the command again" in told) == (3, True)


async def test_b_13_15_differing_refs_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: New
) -> None:
    async with network(tmp_path) as net:
        old = await old_server(net)
        monkeypatch.setenv("NGIT_DOMAIN", old.node.address)
        monkeypatch.delenv("NGIT_EVENT_BLACKLIST")
        there = old.key.parents[1] / "git" / ALICE.npub / "repo.git"
        tip = await git("-C", there, "rev-parse", MAIN)
        await git("-C", there, "update-ref", "refs/heads/old", tip)
        await git("-C", there, "update-ref", f"refs/nostr/{'a' * 64}", tip)
        code, told = await new.adopt(old, "--key-file", str(old.key))
        assert code == 1
        assert {each["ref"]: each["here"] for each in told["differences"]} == {
            "refs/heads/old": None,
            f"refs/nostr/{'a' * 64}": None,
        }
        why = {each["ref"]: each["why"] for each in told["differences"]}
        assert why["refs/heads/old"].startswith("here it is as the newest state")
        assert "no pull request of this id" in why[f"refs/nostr/{'a' * 64}"]
        damaged = new.folder / "data" / "git" / ALICE.npub / "repo.git" / "config"
        damaged.write_text("[extensions]\n\tobjectformat = sha256\n")
        code, told = await new.adopt(old)
        assert code == 1
        (failure,) = told["not_compared"]
        assert "has objectformat sha256" in failure


async def third_layout(root: Path, tree: Path) -> None:
    """As ngit-grasp 3 lays repositories out: views that borrow from their family by a full path."""
    family = root / ".grasp" / "families" / "sha1" / "repo.git"
    view, fork = root / ALICE.npub / "repo.git", root / "prs" / BOB.npub / "repo.git"
    for path in (family, view, fork):
        await git("init", "-q", "--bare", "-b", "main", path)
    await git("-C", tree, "push", "-q", family, "main", "change")
    for path, name in ((view, "main"), (fork, "change")):
        (path / "objects" / "info" / "alternates").write_text(f"{family}/objects\n")
        oid = await git("-C", tree, "rev-parse", name)
        await git("-C", path, "update-ref", f"refs/heads/{name}", oid)


async def test_b_13_15_git_of_any_layout_and_contributors_repositories_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: New
) -> None:
    """`git http-backend` over a folder of ngit-grasp, and a relay that has no NIP-11 document."""
    service = "git.example.org"
    async with network(tmp_path) as net:
        server, tree = await net.git_server("127.0.0.1"), tmp_path / "tree"
        first = await make_tree(tree)
        await git("-C", tree, "checkout", "-q", "-b", "change")
        tip = await commit(tree, "second")
        await third_layout(tmp_path / "127.0.0.1", tree)
        url, fork = (
            f"https://{service}/{path}/repo.git" for path in (ALICE.npub, f"prs/{BOB.npub}")
        )
        announced = events.announcement(ALICE, "repo", clone=[url], relays=[f"wss://{service}"])
        state = events.state(ALICE, "repo", {MAIN: first}, head=MAIN)
        change = events.pull_request(BOB, [ALICE.coordinate("repo")], tip, clone=[fork])
        await net.relay.publish([announced, state, change])
        monkeypatch.setenv("NGIT_DOMAIN", service)
        arguments = ["adopt", "--relay", net.relay_url, "--git", server.url("")]
        code = await trio.to_thread.run_sync(run_command, arguments)
        told = new.capsys.readouterr().out
        # Where the pull request was pushed, its ref is not in the repository it addresses.
        assert (code, told.count("refs/nostr/")) == (1, 1)
        assert f"refs/nostr/{change.id}: there absent, here {tip}" in told
        assert "the old server names no key" in told
        assert new.stored() == {each.id: 1 for each in (announced, state, change)}


def test_b_13_15_the_old_server_is_named_by_urls_of_relay_and_git(new: New) -> None:
    assert run_command(["adopt", "--relay", "http://a", "--git", "http://a"]) == 2
    assert "--relay: " in new.capsys.readouterr().err
    assert run_command(["adopt", "--relay", "ws://a", "--git", "ftp://a"]) == 2
    assert "--git: " in new.capsys.readouterr().err
