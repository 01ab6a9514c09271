"""Events of a relay, objects of git servers, and a real node between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from purgatory_sync.testing import events, faults
from purgatory_sync.testing.nostr_client import nostr_client

from .support import (
    ALICE,
    BOB,
    DEV,
    MAIN,
    clone_and_check,
    git,
    grow,
    heads_and_tags,
    make_source,
    network,
    publish,
    repository_url,
    served,
    until,
)

pytestmark = pytest.mark.real
HOST, OTHER_HOST = "127.0.0.2", "127.0.0.3"
SOURCE, FORK = "source.git", "fork.git"


async def test_state_event_syncs_from_remote(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        server, node = await net.git_server(HOST), await net.node("node")
        tip = await make_source(server.root / SOURCE, "a")
        server.fail(SOURCE, faults.hang())
        announcement = net.announce(ALICE, node, clone=(server.url(SOURCE),))
        state = net.state(ALICE, {MAIN: tip})
        await net.relay.publish([announcement, state])
        async with nostr_client(node.relay_url) as client:
            while await node.metric('purgatory_held{kind="state"}') < 1:  # noqa: ASYNC110
                await trio.sleep(0.05)
            assert not await client.has(state.id)
            assert not await client.has(announcement.id)
        server.heal()
        await served(node, announcement, state)
        url = repository_url(node, ALICE)
        assert await clone_and_check(url, tmp_path / "copy") == {MAIN: tip}
        assert await git("ls-remote", "--symref", url, "HEAD") == f"ref: {MAIN}\tHEAD\n{tip}\tHEAD"


async def test_pr_event_syncs_from_remote(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        server, fork = await net.git_server(HOST), await net.git_server(OTHER_HOST)
        node = await net.node("node")
        tip = await make_source(server.root / SOURCE, "a")
        await git("clone", "-q", "--bare", server.root / SOURCE, fork.root / FORK)
        change = await grow(fork.root / FORK, "change")
        announcement = net.announce(ALICE, node, clone=(server.url(SOURCE),))
        await net.relay.publish([announcement, net.state(ALICE, {MAIN: tip})])
        await served(node, announcement)
        request = events.pull_request(
            BOB,
            [ALICE.coordinate("repo")],
            change,
            clone=[fork.url(FORK)],
            created_at=net.now(),
        )
        await net.relay.publish([request])
        await served(node, request)
        url = repository_url(node, ALICE)
        found = await clone_and_check(url, tmp_path / "copy")
        assert found == {MAIN: tip, f"refs/nostr/{request.id}": change}


async def test_concurrent_state_and_pr_sync(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        server, fork = await net.git_server(HOST), await net.git_server(OTHER_HOST)
        node = await net.node("node")
        await make_source(server.root / SOURCE, "a")
        await git("clone", "-q", "--bare", server.root / SOURCE, fork.root / FORK)
        tip = await grow(server.root / SOURCE, "b")
        change = await grow(fork.root / FORK, "change")
        request = events.pull_request(
            BOB,
            [ALICE.coordinate("repo")],
            change,
            clone=[fork.url(FORK)],
            created_at=net.now(),
        )
        announcement = net.announce(ALICE, node, clone=(server.url(SOURCE),))
        state = net.state(ALICE, {MAIN: tip})
        await net.relay.publish([announcement, state, request])
        await served(node, announcement, state, request)
        found = await clone_and_check(repository_url(node, ALICE), tmp_path / "copy")
        assert found == {MAIN: tip, f"refs/nostr/{request.id}": change}
        # One URL is asked once by either hunt: no two look at the same server side by side.
        for each in (server, fork):
            assert sum(r.path.endswith("git-upload-pack") for r in each.requests) <= 4


async def test_partial_oid_aggregation_from_multiple_servers(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, other = await net.git_server(HOST), await net.git_server(OTHER_HOST)
        node = await net.node("node")
        main = await make_source(one.root / SOURCE, "a")
        dev = await make_source(other.root / SOURCE, "b", branch="dev")
        announcement = net.announce(ALICE, node, clone=(one.url(SOURCE), other.url(SOURCE)))
        state = net.state(ALICE, {MAIN: main, DEV: dev})
        await net.relay.publish([announcement, state])
        await served(node, announcement, state)
        found = await clone_and_check(repository_url(node, ALICE), tmp_path / "copy")
        assert found == {MAIN: main, DEV: dev}
        assert one.requests
        assert other.requests


async def test_two_owners_whose_servers_have_half_each(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        one, other = await net.git_server(HOST), await net.git_server(OTHER_HOST)
        node = await net.node("node")
        main = await make_source(one.root / SOURCE, "a")
        dev = await make_source(other.root / SOURCE, "b", branch="dev")
        alices = net.announce(ALICE, node, clone=(one.url(SOURCE),), maintainers=(BOB,))
        bobs = net.announce(BOB, node, clone=(other.url(SOURCE),), maintainers=(ALICE,))
        state = net.state(ALICE, {MAIN: main, DEV: dev})
        await net.relay.publish([alices, bobs, state])
        await served(node, alices, bobs, state)
        for owner in (ALICE, BOB):
            copy = tmp_path / f"copy-{owner.pubkey}"
            assert await clone_and_check(repository_url(node, owner), copy) == {
                MAIN: main,
                DEV: dev,
            }


async def test_a_co_maintainer_who_only_announces(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        server, node = await net.git_server(HOST), await net.node("node")
        tip = await make_source(server.root / SOURCE, "a")
        alices = net.announce(ALICE, node, clone=(server.url(SOURCE),), maintainers=(BOB,))
        state = net.state(ALICE, {MAIN: tip})
        await net.relay.publish([alices, state])
        await served(node, state)
        asked = len(server.requests)
        bobs = net.announce(BOB, node, maintainers=(ALICE,))
        assert await publish(node, bobs) == [""]
        await served(node, bobs)
        found = await clone_and_check(repository_url(node, BOB), tmp_path / "copy")
        assert found == {MAIN: tip}
        assert len(server.requests) == asked


async def test_a_state_that_comes_before_its_announcement(tmp_path: Path) -> None:
    async with network(tmp_path) as net:
        server, node = (
            await net.git_server(HOST),
            await net.node("node", {"NGIT_LOG_LEVEL": "debug"}),
        )
        tip = await make_source(server.root / SOURCE, "a")
        announcement = net.announce(ALICE, node, clone=(server.url(SOURCE),))
        state = net.state(ALICE, {MAIN: tip})
        await net.relay.publish([state])
        await until(lambda: f'"event_id": "{state.id}"' in node.log.read_text())
        assert "no announcement exists" in node.log.read_text()
        await net.relay.publish([announcement])
        await served(node, announcement, state)
        assert await heads_and_tags(repository_url(node, ALICE)) == {MAIN: tip}
