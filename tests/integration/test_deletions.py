"""What its author deletes on one node is deleted on the other (NIP-09; B 5, B 10.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

from .support import (
    ALICE,
    BOB,
    MAIN,
    Network,
    git,
    make_tree,
    network,
    publish,
    repository_url,
    served,
)

pytestmark = pytest.mark.real


async def gone(node: NodeProcess, *awaited: Event) -> None:
    async with nostr_client(node.relay_url) as client:
        for event in awaited:
            with trio.move_on_after(30) as waiting:
                while await client.has(event.id):  # noqa: ASYNC110
                    await trio.sleep(0.1)
            if waiting.cancelled_caught:
                raise node.failed(f"kind {event.kind} is served still")


async def rounds(
    net: Network, here: NodeProcess, there: NodeProcess, tree: Path
) -> list[list[Event]]:
    """Three times one event of each kind, served by both nodes; the last ones first."""
    tip = await git("-C", tree, "rev-parse", "HEAD")
    made = []
    for name in ("one", "two", "three"):
        at = ALICE.coordinate(name)
        announced = net.announce(ALICE, here, there, identifier=name)
        state = net.state(ALICE, {MAIN: tip}, name)
        await publish(here, announced, state)
        await git("-C", tree, "push", "-q", repository_url(here, ALICE, name), "main")
        request = events.pull_request(BOB, [at], tip, created_at=net.now())
        issue = BOB.sign(1621, "issue", [("a", str(at))], net.now())
        comment = BOB.sign(1111, "comment", [("E", issue.id), ("e", issue.id)], net.now())
        status = BOB.sign(1632, "", [("e", issue.id)], net.now())
        others = [request, issue, comment, status]
        await publish(here, *others)
        await served(there, announced, state, *others)
        made.append([announced, state, *others])
    grasps = BOB.sign(10317, "", [("g", here.relay_url)], net.now())
    await publish(here, grasps)
    await served(there, grasps)
    return [*made, [grasps]]


def deletions(net: Network, targets: list[Event]) -> list[Event]:
    """By `e` each, replies before what they reply to."""
    authors = {ALICE.pubkey: ALICE, BOB.pubkey: BOB}
    return [authors[each.pubkey].sign(5, "", [("e", each.id)], net.now()) for each in targets[::-1]]


async def test_b_5_deletions_reach_other_nodes(tmp_path: Path) -> None:
    await make_tree(tree := tmp_path / "tree")
    async with network(tmp_path) as net:
        here = await net.node("here")
        there = await net.node("there", follows=here.relay_url)
        live, reconnected, restarted, lists = await rounds(net, here, there, tree)

        await publish(here, *deletions(net, live))
        of_lists = BOB.sign(5, "", [("a", f"10317:{BOB.pubkey}:")], net.now())
        await publish(here, of_lists)
        await gone(there, *live, *lists)

        await here.stop()
        await here.start()
        await publish(here, *deletions(net, reconnected))
        await gone(there, *reconnected)

        await there.stop()
        await publish(here, *deletions(net, restarted))
        await there.start()
        await gone(there, *restarted)
