"""How a whole node stands with the relays that it follows: page, metrics, the operator's socket."""

from __future__ import annotations

import json
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from purgatory_sync.node.operator.control import SOCKET
from purgatory_sync.settings import HuntSettings, RelaySettings, SyncSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.nostr_client import nostr_client
from purgatory_sync.testing.relay_server import RelayServer

from ..test_node import ALICE, announcement, running, settings_in

pytestmark = pytest.mark.real

SELF = Author.from_seed(77)
INSIDE = "ws://[fd00::7]:7777"


async def status(folder: Path) -> Any:
    async with await trio.open_unix_socket(str(folder / "relay" / SOCKET)) as stream:
        await stream.send_all(b'{"do": "status"}\n')
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await stream.receive_some()
    return json.loads(answer)["result"]


@pytest.mark.parametrize("known", [True, False])
async def test_b_10_3_the_public_sees_how_relays_are_and_the_operator_sees_why(
    tmp_path: Path, known: bool
) -> None:
    server = RelayServer(lets_in=[SELF.pubkey] if known else [])
    await server.publish([events.announcement(SELF, "elsewhere", created_at=int(time.time()))])
    async with trio.open_nursery() as nursery:
        url = f"ws://127.0.0.1:{await nursery.start(server.serve)}"
        settings = attrs.evolve(
            settings_in(tmp_path),
            relay=RelaySettings(owner_nsec=SELF.key.nsec),
            hunt=HuntSettings(allow_addresses=(ip_network("127.0.0.0/8"),)),
            sync=SyncSettings(bootstrap_relay_url=url),
        )
        async with running(settings) as address, httpx.AsyncClient(trust_env=False) as http:
            offered = announcement(address)
            tags = [*offered.tags, ("relays", INSIDE)]
            async with nostr_client(f"ws://{address}") as client:
                await client.publish(ALICE.sign(offered.kind, "", tags, offered.created_at))
            relays: dict[str, Any] = {}
            while not (relays.get(INSIDE, {}).get("trouble") and _is_settled(relays[url], known)):
                await trio.sleep(0.1)
                relays = {each["url"]: each for each in (await status(tmp_path))["relays"]}
            assert relays[INSIDE]["trouble"] == "forbidden"
            assert "not public" in relays[INSIDE]["reason"]
            assert (relays[url]["found"], relays[url]["failures"]) == ("operator", 0)
            if known:
                assert (relays[url]["refused"], relays[url]["history"]) == (1, "negentropy")
            else:
                assert "AUTH refused: restricted: not known here" in relays[url]["reason"]
            await trio.sleep(2.1)  # it is not looked up more often
            (shown,) = (await http.get(f"http://{address}/purgatory.json")).json()["relays"]
            assert (shown["url"], shown["trouble"]) == (url, None if known else "refused")
            page = (await http.get(f"http://{address}/purgatory")).text
            assert url in page
            metrics = (await http.get(f"http://{address}/metrics")).text
            assert 'purgatory_relays{state="connected"} 1.0' in metrics
            assert 'purgatory_relays{state="lost"} 0.0' in metrics
            for secret in ("fd00", "not public", "not known here", "forbidden"):
                assert secret not in page + metrics + json.dumps(shown)
        nursery.cancel_scope.cancel()


def _is_settled(relay: dict[str, Any], known: bool) -> bool:
    return bool(relay["refused"]) if known else "AUTH refused" in relay["reason"]
