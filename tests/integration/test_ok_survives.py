"""Mission N1 with a real node: what was answered OK is held again after any kill."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
import trio

from purgatory_sync.nostr.event import Event
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import RelayFailed, nostr_client

KILLS = int(os.environ.get("KILLS", "5"))
CLIENTS = 3
LONGEST_LIFE_SECS = 0.6


async def publish_until_killed(node: NodeProcess, author: Author, accepted: list[Event]) -> None:
    """Send announcements and states one after another; keep what was answered OK true."""
    number = len(accepted)
    try:
        async with nostr_client(node.relay_url) as client:
            while True:
                number += 1
                identifier = f"r{number}"
                announcement = events.announcement(
                    author,
                    identifier,
                    clone=[f"{node.http_url}/{author.npub}/{identifier}.git"],
                    relays=[node.relay_url],
                )
                state = events.state(author, identifier, {"refs/heads/main": f"{number:040x}"})
                for event in (announcement, state):
                    ok, message = await client.publish(event)
                    if ok:
                        assert message.startswith(("purgatory: ", "duplicate: "))
                        accepted.append(event)
    except (RelayFailed, OSError, EOFError):
        return


@pytest.mark.real
async def test_n1_an_ok_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    node = NodeProcess(tmp_path, {"NGIT_LOG_LEVEL": "warning", "NGIT_RELAY_EVENTS_PER_MINUTE": "0"})
    accepted: list[list[Event]] = [[] for _ in range(CLIENTS)]
    try:
        for _ in range(KILLS):
            await node.start()
            async with trio.open_nursery() as nursery:
                for number, kept in enumerate(accepted):
                    author = Author.from_seed(number + 1)
                    nursery.start_soon(publish_until_killed, node, author, kept)
                await trio.sleep(chance.uniform(0.05, LONGEST_LIFE_SECS))
                await node.kill()
        await node.start()
        assert sum(map(len, accepted)) > KILLS
        async with nostr_client(node.relay_url) as client:
            for event in [event for kept in accepted for event in kept]:
                assert await client.publish(event) == (
                    True,
                    "duplicate: already held, waiting for git data",
                )
        assert "Traceback" not in node.log.read_text()
    finally:
        await node.aclose()
