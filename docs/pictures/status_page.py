"""Takes status-page.png from a running node: `python -m docs.pictures.status_page`.

It needs Chromium. The node is a real one on loopback; it holds a pull request and a state whose
git server refuses connections.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import trio

from purgatory_sync.testing.events import Author, announcement, pull_request, state
from purgatory_sync.testing.node_process import NodeProcess
from purgatory_sync.testing.nostr_client import nostr_client
from tests.node.pages.chromium import chromium

SETTINGS = {"NGIT_HUNT_ALLOW_ADDRESSES": "127.0.0.0/8", "NGIT_SYNC_DEFAULT_DELAY_SECS": "1"}


async def shoot() -> bytes:
    """The page as PNG, at 900 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder), SETTINGS)
        await node.start()
        try:
            await fill(node)
            async with chromium(Path(folder) / "browser") as tab:
                await tab.go(f"{node.http_url}/purgatory", width=900, dark=False)
                return await tab.screenshot()
        finally:
            await node.aclose()


async def fill(node: NodeProcess) -> None:
    """Publish what is held for a while."""
    owner, other = Author.from_seed(1), Author.from_seed(2)
    now, gone = int(time.time()), "http://127.0.0.1:9/lost.git"
    async with nostr_client(node.relay_url) as client:
        for each in (
            announcement(
                owner,
                "example",
                clone=[f"{node.http_url}/{owner.npub}/example.git", gone],
                relays=[node.relay_url],
                created_at=now,
            ),
            state(owner, "example", {"refs/heads/main": "1" * 40}, created_at=now),
            pull_request(
                other, [owner.coordinate("example")], "2" * 40, clone=[gone], created_at=now
            ),
        ):
            await client.publish(each)
    await trio.sleep(4)


if __name__ == "__main__":
    Path(__file__).with_name("status-page.png").write_bytes(trio.run(shoot))
