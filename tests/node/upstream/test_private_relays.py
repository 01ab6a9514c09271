"""A public node follows no private service; a private one follows its peers only."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from purgatory_sync.engine.private_peers import Peer, PrivatePeers
from purgatory_sync.errors import Forbidden, NotThePeer
from purgatory_sync.nostr.http_auth.header import event_of_header
from purgatory_sync.testing import clock_at
from purgatory_sync.testing.events import Author
from purgatory_sync.urls import parse_web_url

from .support import NOW, ScriptedRelay, following, listed

ALICE, PEER = Author.from_seed(1), Author.from_seed(9)
PRIVATE = {"supported_grasps": ["GRASP-01", "grasp-08"], "pubkey": PEER.pubkey}
DAY = 86_400


async def test_b_16_12_no_socket_to_a_private_service_and_asked_again_after_a_day(
    autojump_clock: trio.testing.MockClock,
) -> None:
    private, public = ScriptedRelay(), ScriptedRelay()
    private.document, public.document = PRIVATE, {"supported_grasps": ["GRASP-01"]}
    relays = {"private.example": private, "public.example": public}
    async with following(dict(relays), bootstrap=None) as (upstream, _, _):
        named = ("ws://private.example", "ws://public.example")
        upstream.announced(listed(ALICE, "r", *named))
        await trio.sleep(DAY - 3600)
        assert private.connections == []
        assert len(private.documents) == 1
        assert public.connections
        private.document = {"supported_grasps": ["GRASP-01"]}
        await trio.sleep(2 * 3600)
        assert private.connections


async def test_b_16_12_without_a_document_it_is_a_relay_like_any_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    relay = ScriptedRelay()
    async with following({"relay.example": relay}, bootstrap=None) as (upstream, _, _):
        upstream.announced(listed(ALICE, "r", "ws://relay.example"))
        await trio.sleep(60)
        assert relay.connections


def peers_of(url: str = "http://peer.example") -> PrivatePeers:
    return PrivatePeers([Peer(url, PEER.pubkey)], clock_at(NOW))


async def test_b_16_11_only_peers_are_followed_and_only_by_their_word(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer, other = ScriptedRelay(), ScriptedRelay()
    peer.document = other.document = PRIVATE
    peers = peers_of()
    relays = {"peer.example": peer, "other.example": other}
    async with following(dict(relays), bootstrap=None, peers=peers) as (upstream, _, _):
        peers.use_key(ALICE.key)
        upstream.announced(listed(ALICE, "r", "ws://other.example", "ws://peer.example"))
        await trio.sleep(60)
        assert peer.connections
        assert other.connections == other.documents == []
        # It asks for no proof, and so it is asked for nothing.
        assert peer.requests == []
        url = parse_web_url("http://peer.example/npub1x/r.git")
        event = event_of_header(peers.authorization(url))
        assert [*map(list, event.tags)] == [["u", url.text], ["method", "GET"]]


async def test_b_16_11_no_socket_and_no_proof_where_the_key_is_another_or_it_is_public(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for document in (
        {**PRIVATE, "pubkey": ALICE.pubkey},
        {**PRIVATE, "supported_grasps": ["GRASP-01"]},
        {},
        None,
    ):
        peer, peers = ScriptedRelay(), peers_of()
        peer.document = document
        async with following({"peer.example": peer}, bootstrap=None, peers=peers):
            peers.use_key(ALICE.key)
            await trio.sleep(60)
            assert peer.documents
            assert peer.connections == []
            with pytest.raises(NotThePeer):
                peers.authorization(parse_web_url("http://peer.example/npub1x/r.git"))


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/npub1x/r.git",
        "https://peer.example/npub1x/r.git",
        "http://peer.example:444/npub1x/r.git",
    ],
)
async def test_b_16_11_nothing_is_signed_for_others(
    autojump_clock: trio.testing.MockClock, url: str
) -> None:
    peers = peers_of()
    peers.use_key(ALICE.key)
    peers.confirm(peers.peers[0], confirmed=True)
    with pytest.raises(Forbidden):
        peers.authorization(parse_web_url(url))
