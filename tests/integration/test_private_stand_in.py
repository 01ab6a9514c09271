"""A private node with a stand-in for ngit-grasp 3.0.10 as its peer, as strict as that one is."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import attrs
import httpx
import pytest
import trio

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.listener import Listener
from purgatory_sync.node.http.server_stream import Gone
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.nostr.event import Event, decode_event, encode_event, verify_event
from purgatory_sync.nostr.http_auth.signed_access import access_event
from purgatory_sync.settings import ListenerSettings
from purgatory_sync.testing import events
from purgatory_sync.testing.doorkeeper import Doorkeeper
from purgatory_sync.testing.git_server import GitServer
from purgatory_sync.testing.node_process import NodeProcess, free_port
from purgatory_sync.testing.nostr_client import nostr_client
from purgatory_sync.testing.relay_server import RelayServer

from .support import ALICE, MAIN, Network, make_source, network
from .test_private import KEYS, git_as, start, token

NAME, PATH = "two words", f"/{ALICE.npub}/two%20words.git"
URL = "http://127.0.0.1:1/npub1x/r.git"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("git") is None, reason="the peer is git http-backend"),
]


def refusal(header: str, url: str, members: Collection[str], now: float) -> str:
    """Why the peer refuses a request of git below a repository's URL; empty when it does not."""
    if not header.startswith("Nostr "):
        return "another scheme"
    try:
        event = decode_event(b64decode(header.removeprefix("Nostr "), validate=True))
        verify_event(event)
    except (ValueError, InvalidEvent) as error:
        return f"no event in padded standard base64: {error}"
    if event.kind != 27235 or abs(event.created_at - now) > 60:
        return "another kind, or more than 60 s off"
    told = sorted(list(tag) for tag in event.tags if tag[0] in ("u", "method"))
    if told != [["method", "GET"], ["u", url]]:
        return f"{told} is not GET and the text of {url}"
    return "" if event.pubkey in members else "no member"


@attrs.define(eq=False)
class Door(Doorkeeper):
    """NIP-42 before everything; a stranger's proof ends the connection."""

    early: list[Any] = attrs.field(kw_only=True)

    async def receive(self) -> str | bytes:
        while not self._open:
            message = json.loads(await self.socket.receive())
            if message[0] != "AUTH":
                self.early.append(message)
                await self._say(["NOTICE", "auth-required: say who you are"])
                continue
            await self._judge(message[1])
            if not self._open:
                await self.close(1008, "restricted")
                raise Gone("no member")
        return await self.socket.receive()


class _Git(GitServer):
    async def answer(self, exchange: Exchange) -> None:
        await self._answer(exchange)


class StandIn(RelayServer):
    """Relay, git and NIP-11 at one port; its members are the owners of services it reads of."""

    def __init__(self, root: Path, pubkey: str) -> None:
        super().__init__()
        self.git, self.pubkey, self.address, self.names = _Git(root), pubkey, "", ""
        self.members: set[str] = set()
        self.documents = self.sockets = 0
        self.admitted: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.early: list[Any] = []
        self.asked_again = trio.Event()

    async def http(self, exchange: Exchange) -> None:
        if exchange.path == "/":
            self.documents += 1
            if self.documents > 1:
                self.asked_again.set()
            document = {"supported_grasps": ["GRASP-01", "GRASP-08"], "pubkey": self.pubkey}
            return await exchange.respond(200, json.dumps(document).encode(), "application/json")
        path, suffix, _ = exchange.path.rpartition(".git")
        url = f"http://{self.address}{path}{suffix}"
        header = exchange.headers.get("authorization", "")
        if why := refusal(header, url, self.members, time()):
            self.refused.append((exchange.path, why))
            return await exchange.respond(401)
        self.admitted.append(exchange.path)
        await self.git.answer(exchange)

    async def websocket(self, socket: Socket) -> None:
        self.sockets += 1
        self.members |= await self._owners()
        door = Door(socket, self.address, self.members, early=self.early)
        with suppress(Gone):
            await door.greet()
            await self._relay.serve(door)

    async def _owners(self) -> set[str]:
        """Who owns the service that the announcement names beside this one, by its NIP-11."""
        accept = {"Accept": "application/nostr+json"}
        async with httpx.AsyncClient(trust_env=False, timeout=30, headers=accept) as client:
            with suppress(httpx.TransportError):  # It starts: it comes again.
                told = (await client.get(f"http://{self.names}/")).json()
                return {told["pubkey"]} if "GRASP-08" in told["supported_grasps"] else set()
        return set()


@asynccontextmanager
async def stand_in(root: Path, pubkey: str) -> AsyncIterator[StandIn]:
    peer = StandIn(root, pubkey)
    listener = Listener(peer.http, peer.websocket, ListenerSettings(), 1 << 20)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(listener.serve, "127.0.0.1", 0, trio.Event()))
        peer.address, peer.names = f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"
        yield peer
        nursery.cancel_scope.cancel()


async def told_of(net: Network, peer: StandIn) -> tuple[NodeProcess, Event, Event]:
    """A private node with that peer; an announcement that names both, and a state, at the peer."""
    tip = await make_source(peer.git.root / ALICE.npub / f"{NAME}.git", "a")
    both = (peer.names, peer.address)
    clone, relays = [f"http://{each}{PATH}" for each in both], [f"ws://{each}" for each in both]
    announced = events.announcement(ALICE, NAME, clone=clone, relays=relays, created_at=net.now())
    state = net.state(ALICE, {MAIN: tip}, NAME)
    await peer.publish([announced, state])
    named = f"http://{peer.address} {KEYS[1].npub}"
    more = {"NGIT_BIND_ADDRESS": peer.names, "NGIT_PRIVATE_PEERS": named}
    again = {"NGIT_SYNC_BASE_BACKOFF_SECS": "1"}
    return await start(net, "here", KEYS[0], **more, **again), announced, state


def test_b_16_11_the_stand_in_is_as_strict_as_the_peer() -> None:
    def judged(scheme: str = "Nostr", url: str = URL, age: int = 0, end: str = "") -> str:
        event = encode_event(access_event(KEYS[0], url, 1000 - age))
        # Spaces behind the JSON bring it to a length whose base64 ends in `=`.
        text = b64encode(event + b" " * (1 + -len(event) % 3)).decode()
        return refusal(f"{scheme} {text.rstrip(end or None)}", URL, {KEYS[0].pubkey}, 1000)

    assert judged() == judged(age=60) == judged(age=-60) == ""
    assert all([judged("nostr"), judged("Basic"), judged(end="="), judged(age=61), judged(age=-61)])
    assert all(judged(url=url) for url in (f"{URL}/", URL.upper(), URL.replace("r.", "%72.")))


async def test_b_16_11_a_strict_peer_gives_events_and_git_data(tmp_path: Path) -> None:
    async with (
        network(tmp_path, secs=240) as net,
        stand_in(tmp_path / "peer", KEYS[1].pubkey) as peer,
    ):
        node, announced, state = await told_of(net, peer)
        async with nostr_client(node.relay_url) as client:
            await client.prove(ALICE.key, node.relay_url)
            with trio.move_on_after(60) as waiting:
                await client.wait_for(announced.id)
                await client.wait_for(state.id)
        assert not waiting.cancelled_caught, node.failed(f"{peer.refused}, {peer.early}")
        url, copy = f"{node.http_url}{PATH}", tmp_path / "copy"
        cloned = await git_as(f"Nostr {token(ALICE, url)}", "clone", "--mirror", url, copy)
        assert not cloned.returncode, cloned.stderr
        assert any(path == f"{PATH}/git-upload-pack" for path in peer.admitted)
        assert (peer.refused, peer.early, peer.members) == ([], [], {KEYS[0].pubkey})


async def test_b_16_11_a_peer_of_another_key_is_not_talked_to(tmp_path: Path) -> None:
    async with (
        network(tmp_path, secs=240) as net,
        stand_in(tmp_path / "peer", KEYS[0].pubkey) as peer,
    ):
        await told_of(net, peer)
        with trio.fail_after(60):
            await peer.asked_again.wait()
        assert (peer.sockets, peer.admitted, peer.refused) == (0, [], [])
