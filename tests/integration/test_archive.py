"""GRASP-05: a node that copies another one's repositories, which do not list it (B 2.2 a, 2.9)."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import trio

from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

from .support import (
    ALICE,
    BOB,
    ENVIRONMENT,
    MAIN,
    clone_and_check,
    commit,
    git,
    make_tree,
    network,
    publish,
    repository_url,
    served,
)


async def nip11(node: NodeProcess) -> dict[str, object]:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(node.http_url, headers={"accept": "application/nostr+json"})
    said: dict[str, object] = json.loads(answer.text)
    return said


@pytest.mark.real
async def test_b_2_2_a_an_archive_copies_what_does_not_list_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        host = await net.node("host")
        # It follows that service by itself; it is told of no relay that knows anything.
        archive = await net.node("archive", {"NGIT_ARCHIVE_GRASP_SERVICES": host.address})
        url, mirror = (repository_url(node, ALICE) for node in (host, archive))
        announcement = net.announce(ALICE, host)
        state = net.state(ALICE, {MAIN: first})
        await publish(host, announcement, state)
        await git("-C", tree, "push", "-q", url, "main")
        await served(archive, announcement, state)
        assert await clone_and_check(mirror, tmp_path / "one") == {MAIN: first}

        second = await commit(tree, "second")
        newer = net.state(ALICE, {MAIN: second})
        request = events.pull_request(BOB, [ALICE.coordinate("repo")], second, created_at=net.now())
        await publish(host, newer, request)
        await git("-C", tree, "push", "-q", url, "main")
        await served(archive, newer, request)
        found = {MAIN: second, f"refs/nostr/{request.id}": second}
        assert await clone_and_check(mirror, tmp_path / "two") == found

        done = await trio.run_process(
            ["git", "-C", str(tree), "push", "-q", "--force", mirror, f"{first}:{MAIN}"],
            env=ENVIRONMENT,
            check=False,
            capture_stderr=True,
        )
        assert b"this is a read-only copy" in done.stderr
        assert done.returncode != 0
        assert await clone_and_check(mirror, tmp_path / "three") == found

        said = await nip11(archive)
        assert "GRASP-05" in said["supported_grasps"]  # type: ignore[operator]
        assert "What is only a copy takes no pushes." in str(said["repo_acceptance_criteria"])
        assert "curation" not in said
        said = await nip11(host)
        assert "GRASP-05" not in said["supported_grasps"]  # type: ignore[operator]
        assert "curation" not in said


@pytest.mark.real
async def test_b_2_2_a_what_is_archived_survives_a_restart(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        host = await net.node("host")
        archive = await net.node(
            "archive",
            {"NGIT_ARCHIVE_WHITELIST": f"{ALICE.npub}/repo"},
            follows=host.relay_url,
        )
        announcement, other = net.announce(ALICE, host), net.announce(BOB, host)
        state = net.state(ALICE, {MAIN: first})
        others = events.state(BOB, "repo", {MAIN: first}, head=MAIN, created_at=net.now())
        await publish(host, announcement, state, other, others)
        for owner in (ALICE, BOB):
            await git("-C", tree, "push", "-q", repository_url(host, owner), "main")
        await served(archive, announcement, state)
        await archive.stop()
        await archive.start()
        mirror = repository_url(archive, ALICE)
        assert await clone_and_check(mirror, tmp_path / "one") == {MAIN: first}

        second = await commit(tree, "second")
        newer = net.state(ALICE, {MAIN: second})
        await publish(host, newer)
        await git("-C", tree, "push", "-q", repository_url(host, ALICE), "main")
        await served(archive, newer)
        assert await clone_and_check(mirror, tmp_path / "two") == {MAIN: second}
        async with nostr_client(archive.relay_url) as client:
            assert not [each for each in (other, others) if await client.has(each.id)]
