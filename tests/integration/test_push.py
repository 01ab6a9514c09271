"""A state published to a node, then pushed by stock git: one thing with a hunt (B 6.7, 6.8)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from purgatory_sync.testing import events
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client

from .support import ALICE, BOB, MAIN, git


@pytest.mark.real
async def test_push_triggers_unified_processing(tmp_path: Path) -> None:
    node, tree = NodeProcess(tmp_path, {}), tmp_path / "tree"
    await git("init", "-q", "-b", "main", tree)
    await git("-C", tree, "commit", "-q", "--allow-empty", "-m", "first")
    await git("-C", tree, "checkout", "-q", "-b", "change")
    await git("-C", tree, "commit", "-q", "--allow-empty", "-m", "second")
    main, change = [await git("-C", tree, "rev-parse", name) for name in ("main", "change")]
    now = int(time.time())
    try:
        await node.start()
        url = f"{node.http_url}/{ALICE.npub}/repo.git"
        announcement = events.announcement(
            ALICE, "repo", clone=[url], relays=[node.relay_url], created_at=now
        )
        state = events.state(ALICE, "repo", {MAIN: main}, head=MAIN, created_at=now)
        request = events.pull_request(BOB, [ALICE.coordinate("repo")], change, created_at=now)
        waiting = (announcement, state, request)
        async with nostr_client(node.relay_url) as client:
            for event in waiting:
                accepted, message = await client.publish(event)
                assert accepted
                assert message.startswith("purgatory: ")
                assert not await client.has(event.id)
            await git("-C", tree, "push", "-q", url, "main", f"change:refs/nostr/{request.id}")
            assert [await client.has(event.id) for event in waiting] == [True, True, True]
        await git("clone", "-q", url, tmp_path / "copy")
        assert await git("-C", tmp_path / "copy", "rev-parse", "main") == main
        refs = await git("ls-remote", url, "refs/nostr/*")
        assert refs.split() == [change, f"refs/nostr/{request.id}"]
        await node.kill()
        await node.start()
        async with nostr_client(node.relay_url) as client:
            assert [await client.has(event.id) for event in waiting] == [True, True, True]
        assert await node.stop() == 0
        assert "Traceback" not in node.log.read_text()
    finally:
        await node.aclose()
