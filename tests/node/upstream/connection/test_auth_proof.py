"""Relays that want to know who asks (NIP-42)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream import RelayStatus, Trouble, Upstream
from purgatory_sync.node.upstream.connection.auth_proof import MAX_PROOFS
from purgatory_sync.nostr.auth import MAX_CHALLENGE_CHARS, check_auth
from purgatory_sync.nostr.event import Event, convert_event
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Settings, SyncSettings
from purgatory_sync.testing.events import Author
from purgatory_sync.testing.mock_context import clock_at
from purgatory_sync.testing.relay_server import RelayServer

from ..support import NOW, OWNER, SERVICE, Engine, Network, listed, send, state_of
from ..test_real import loopback
from .test_reconciler import Here, NegRelay

HOST = "relay.example"
SELF = Author.from_seed(77)
ANNOUNCED, STATE = listed(OWNER, "repo"), state_of(OWNER, "repo")
REQUIRED = "auth-required: who are you?"


class Asking(NegRelay):
    """Answers nothing before AUTH.

    Attributes:
      challenges: makes the next challenge, or None for none; told how many there were.
      first: whether the challenge comes before anything is asked, or after the refusal.
      says: what is answered to a proof: OK or its reason; None: nothing.
      forgets: whether no client is let in, with any proof.
      proofs: the events that were sent.
    """

    def __init__(self, *events: Event) -> None:
        super().__init__(*events)
        self.challenges: Callable[[int], str | None] = lambda n: None if n else "challenge"
        self.first = True
        self.verdict: str | None = ""
        self.forgets = False
        self.proofs: list[Event] = []
        self.refusals = 0
        self._sent = 0
        self._inside: set[Socket] = set()

    async def talk(self, socket: Socket) -> None:
        if self.first:
            await self._challenge(socket)
        await super().talk(socket)

    async def _challenge(self, socket: Socket) -> None:
        if (challenge := self.challenges(self._sent)) is not None:
            self._sent += 1
            await send(socket, ["AUTH", challenge])

    async def _answer(self, socket: Socket, message: list[Any]) -> None:
        if message[0] == "AUTH":
            event = convert_event(message[1])
            self.proofs.append(event)
            if self.verdict == "" and not self.forgets:
                self._inside.add(socket)
            if self.verdict is not None:
                await send(socket, ["OK", event.id, self.verdict == "", self.verdict])
            return None
        if message[0] in ("CLOSE", "NEG-CLOSE") or socket in self._inside:
            return await super()._answer(socket, message)
        self.refusals += 1
        refusal = "NEG-ERR" if message[0].startswith("NEG") else "CLOSED"
        await send(socket, [refusal, message[1], REQUIRED])
        await self._challenge(socket)
        return None


@asynccontextmanager
async def following(
    relay: Asking, key: SecretKey | None = SELF.key, **sync: Any
) -> AsyncIterator[tuple[Upstream, Engine]]:
    settings = Settings(
        domain=SERVICE, sync=SyncSettings(bootstrap_relay_url=f"ws://{HOST}", **sync)
    )
    network, engine = Network(), Engine()
    async with trio.open_nursery() as nursery:
        await network.add(nursery, HOST, relay)
        clock = clock_at(NOW)
        upstream = Upstream(settings, network.gate(), engine.offer, clock=clock, local=Here())
        engine.upstream = upstream
        await nursery.start(upstream.run, key)
        yield upstream, engine
        nursery.cancel_scope.cancel()


def only(upstream: Upstream) -> RelayStatus:
    (look,) = upstream.looks()
    return look


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("disable_negentropy", [True, False])
async def test_what_was_refused_is_asked_again_when_the_relay_knows_us(
    autojump_clock: MockClock, first: bool, disable_negentropy: bool
) -> None:
    relay = Asking(ANNOUNCED, STATE)
    relay.first = first
    async with following(relay, disable_negentropy=disable_negentropy) as (upstream, engine):
        await trio.sleep(5)
        assert set(engine.events) == {ANNOUNCED, STATE}
        (proof,) = relay.proofs
        assert proof.pubkey == SELF.pubkey
        check_auth(proof, HOST, "challenge", NOW)
        await relay.publish(later := state_of(OWNER, "repo", created_at=NOW))
        await trio.sleep(0.1)
        assert later in engine.events
        look = only(upstream)
        assert (look.connected, look.trouble, look.reason) == (True, None, "")
        assert look.history == ("req" if disable_negentropy else "negentropy")


async def test_who_asks_for_nothing_is_told_nothing(autojump_clock: MockClock) -> None:
    relay = Asking(ANNOUNCED)
    async with following(relay) as (_, engine):
        relay._inside.update(relay._sockets)
        await trio.sleep(100)
    quiet = Asking(ANNOUNCED)

    async def answer(socket: Socket, message: list[Any]) -> None:
        await NegRelay._answer(quiet, socket, message)

    quiet._answer = answer  # type: ignore[method-assign]
    async with following(quiet) as (_, engine):
        await trio.sleep(100)
        assert engine.events == [ANNOUNCED]
    assert quiet.proofs == []


async def test_a_relay_that_refuses_our_proof_says_why_to_the_operator(
    autojump_clock: MockClock,
) -> None:
    relay = Asking(ANNOUNCED)
    relay.verdict = "restricted: pay first"
    async with following(relay) as (upstream, engine):
        await trio.sleep(20)
        look = only(upstream)
        assert (look.connected, look.trouble) == (True, Trouble.REFUSED)
        assert look.reason.endswith(": AUTH refused: restricted: pay first")
        assert engine.events == []
        await trio.sleep(3_000)
        assert only(upstream).reason == look.reason
        assert len(relay.proofs) == 1, "the same challenge is not answered twice"
        assert relay.refusals < 150
        assert only(upstream).connected


async def test_another_events_ok_answers_no_proof(autojump_clock: MockClock) -> None:
    relay = Asking(ANNOUNCED)
    relay.verdict = None
    async with following(relay) as (upstream, _):
        for _ in range(20):
            await trio.sleep(1)
            await relay.send(["OK", "0" * 64, True, ""])
        assert only(upstream).reason.endswith("AUTH refused: no answer")


async def test_a_proof_without_answer(autojump_clock: MockClock) -> None:
    relay = Asking(ANNOUNCED)
    relay.verdict = None
    async with following(relay) as (upstream, _):
        await trio.sleep(60)
        assert only(upstream).reason.endswith(": AUTH refused: no answer")


async def test_without_a_key_no_relay_is_told(autojump_clock: MockClock) -> None:
    relay = Asking(ANNOUNCED)
    async with following(relay, key=None) as (upstream, engine):
        await trio.sleep(100)
        assert (relay.proofs, engine.events) == ([], [])
        assert only(upstream).trouble is Trouble.REFUSED


async def test_a_relay_that_asks_without_end_is_left(autojump_clock: MockClock) -> None:
    relay = Asking(ANNOUNCED)
    relay.challenges = lambda n: f"challenge {n}"
    relay.forgets = True
    async with following(relay) as (upstream, _):
        await trio.sleep(300)
        look = only(upstream)
        assert (look.connected, look.trouble) == (False, Trouble.MISBEHAVED)
        assert look.reason == "it asks again and again who we are"
        assert len(relay.proofs) == MAX_PROOFS
        assert relay.refusals < 150


async def test_one_that_forgets_us_but_does_not_ask_again_is_asked_once_a_while(
    autojump_clock: MockClock,
) -> None:
    relay = Asking(ANNOUNCED)
    relay.forgets = True
    async with following(relay) as (upstream, _):
        await trio.sleep(1_000)
        assert len(relay.proofs) == 1
        assert relay.refusals < 60
        assert only(upstream).trouble is Trouble.REFUSED


@pytest.mark.parametrize("challenge", ["", "x" * (MAX_CHALLENGE_CHARS + 1), "x" * 500_000])
async def test_challenges_without_sense_are_not_signed(
    autojump_clock: MockClock, challenge: str
) -> None:
    relay = Asking(ANNOUNCED)
    relay.challenges = lambda n: None if n else challenge
    async with following(relay) as (upstream, _):
        await trio.sleep(30)
        assert relay.proofs == []
        assert only(upstream).reason.endswith(
            ": AUTH: a challenge that has not 1 to 512 characters"
        )


@pytest.mark.real
@pytest.mark.parametrize("known", [True, False])
async def test_a_real_relay_that_requires_it(known: bool) -> None:
    server, engine = RelayServer(lets_in=[SELF.pubkey] if known else []), Engine()
    await server.publish([ANNOUNCED, STATE])
    async with trio.open_nursery() as nursery:
        port = await nursery.start(server.serve)
        sync = SyncSettings(bootstrap_relay_url=f"ws://127.0.0.1:{port}")
        gate = Gate((ip_network("127.0.0.0/8"),), resolve=loopback)
        settings = Settings(domain=SERVICE, sync=sync)
        engine.upstream = upstream = Upstream(settings, gate, engine.offer, local=Here())
        await nursery.start(upstream.run, SELF.key)

        def is_settled() -> bool:
            if known:
                return set(engine.events) == {ANNOUNCED, STATE}
            return "AUTH refused: restricted: not known here" in only(upstream).reason

        with trio.fail_after(20):
            while not is_settled():  # noqa: ASYNC110
                await trio.sleep(0.01)
        assert bool(engine.events) is known
        nursery.cancel_scope.cancel()
