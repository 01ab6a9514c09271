"""A real node whose lists change: SIGHUP, and clients behind a proxy (B 5.5)."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest
import trio

from purgatory_sync.testing.node_process import NodeProcess

pytestmark = pytest.mark.real


async def logged(node: NodeProcess, words: str) -> None:
    with trio.fail_after(30):
        while words not in node.log.read_text():  # noqa: ASYNC110 - another process writes it
            await trio.sleep(0.05)


async def test_b_5_5_files_are_read_again_at_sighup(tmp_path: Path) -> None:
    file = tmp_path / "blocked"
    file.write_text("# no client yet\n")
    settings = {
        "NGIT_BLOCKED_ADDRESSES_FILE": str(file),
        "NGIT_TRUSTED_PROXY_CIDRS": "127.0.0.0/8",
    }
    node = NodeProcess(tmp_path, settings)
    try:
        await node.start()

        async def status(client: str) -> int:
            headers = {"x-forwarded-for": client}
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                return (await http.get(f"{node.http_url}/", headers=headers)).status_code

        assert await status("192.0.2.7") == 200
        file.write_text("192.0.2.0/24\nno address\n")
        node.signal(signal.SIGHUP)
        await logged(node, "lists not read again")
        assert "line 2" in node.log.read_text()
        assert await status("192.0.2.7") == 200
        file.write_text("192.0.2.0/24\n")
        node.signal(signal.SIGHUP)
        await logged(node, "lists read again")
        assert await status("192.0.2.7") == 403
        assert await status("192.0.3.7") == 200
        assert await node.stop() == 0
    finally:
        await node.aclose()
