"""What README promises of two nodes: pushed to one, it appears on the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.testing import events

from .support import (
    ALICE,
    BOB,
    DEV,
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


@pytest.mark.real
async def test_what_is_pushed_to_one_node_appears_on_the_other(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        here = await net.node("here")
        there = await net.node("there", follows=here.relay_url)
        url, mirror = (repository_url(node, ALICE) for node in (here, there))
        announcement = net.announce(ALICE, here, there)
        state = net.state(ALICE, {MAIN: first})
        await publish(here, announcement, state)
        await git("-C", tree, "push", "-q", url, "main")
        await served(there, announcement, state)
        assert await clone_and_check(mirror, tmp_path / "one") == {MAIN: first}

        second = await commit(tree, "second")
        newer = net.state(ALICE, {DEV: second, MAIN: second})
        request = events.pull_request(BOB, [ALICE.coordinate("repo")], second, created_at=net.now())
        await publish(here, newer, request)
        await git("-C", tree, "push", "-q", url, "main", "main:dev")
        await served(there, newer, request)
        found = await clone_and_check(mirror, tmp_path / "two")
        assert found == {MAIN: second, DEV: second, f"refs/nostr/{request.id}": second}
