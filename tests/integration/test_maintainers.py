"""Who is invited, accepts, is removed and comes back: two nodes, stock git (B 3.7, 3.8)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from purgatory_sync.testing.nostr_client import nostr_client

from .support import (
    ALICE,
    BOB,
    MAIN,
    clone_and_check,
    commit,
    git,
    heads_and_tags,
    make_tree,
    network,
    publish,
    repository_url,
    served,
)

pytestmark = pytest.mark.real


async def refs_become(urls: list[str], refs: dict[str, str]) -> None:
    """Return when stock clients are told these refs at all URLs."""
    found: dict[str, str] = {}
    for url in urls:
        for _ in range(75):
            if (found := await heads_and_tags(url)) == refs:
                break
            await trio.sleep(0.2)
        assert found == refs, url


async def test_an_invitation_is_nothing_an_acceptance_is_and_a_removal_holds(
    tmp_path: Path,
) -> None:
    tree = tmp_path / "tree"
    first = await make_tree(tree)
    async with network(tmp_path) as net:
        here = await net.node("here")
        there = await net.node("there", follows=here.relay_url)
        alices = [repository_url(node, ALICE) for node in (here, there)]
        bobs = [repository_url(node, BOB) for node in (here, there)]
        invites = net.announce(ALICE, here, there, maintainers=(BOB,))
        state = net.state(ALICE, {MAIN: first})
        await publish(here, invites, state)
        await git("-C", tree, "push", "-q", alices[0], "main")
        await served(there, invites, state)

        second = await commit(tree, "second")
        theirs = net.state(BOB, {MAIN: second})
        for node in (here, there):
            async with nostr_client(node.relay_url) as client:
                accepted, words = await client.publish(theirs)
            assert not accepted
            assert words.startswith("restricted: author not authorized for this repository: ")
            assert f"you are invited by {ALICE.npub}: publish your own announcement" in words
        for url in alices:
            with pytest.raises(subprocess.CalledProcessError):
                await git("-C", tree, "push", "-q", url, "main")
        await refs_become(alices, {MAIN: first})

        accepts = net.announce(BOB, here, there, maintainers=(ALICE,))
        await publish(here, accepts, theirs)
        await git("-C", tree, "push", "-q", alices[0], "main")
        await served(there, accepts, theirs)
        await refs_become([*alices, *bobs], {MAIN: second})

        alone = net.announce(ALICE, here, there)
        await publish(here, alone)
        await served(there, alone)
        await refs_become(alices, {MAIN: first})
        await refs_become(bobs, {MAIN: second})
        third = await commit(tree, "third")
        with pytest.raises(subprocess.CalledProcessError):
            await git("-C", tree, "push", "-q", alices[0], "main")
        await here.stop()
        await here.start()
        alices = [repository_url(node, ALICE) for node in (here, there)]
        await refs_become(alices, {MAIN: first})

        again = net.announce(ALICE, here, there, maintainers=(BOB,))
        await publish(here, again)
        await refs_become(alices[:1], {MAIN: second})
        newest = net.state(BOB, {MAIN: third})
        await publish(here, newest)
        await git("-C", tree, "push", "-q", alices[0], "main")
        assert await clone_and_check(alices[0], tmp_path / "copy") == {MAIN: third}
