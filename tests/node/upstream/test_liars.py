"""Relays that lie or are broken: bounded work, dropped with a reason that the operator sees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.node.http.server_stream import Gone
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream import RelayStatus, Trouble, Upstream
from purgatory_sync.node.upstream.connection import history, session, walks
from purgatory_sync.node.upstream.connection.listening import ANSWER_SECS
from purgatory_sync.node.upstream.connection.misbehaviour import ALLOWED, Patience, Wrong
from purgatory_sync.node.upstream.connection.read_pace import ReadPace
from purgatory_sync.node.upstream.connection.walks import PAGE_SECS, SILENCE_SECS
from purgatory_sync.node.upstream.state.relay_limits import PAGE_EVENTS, RETRY_SECS
from purgatory_sync.node.upstream.supervisor import MISBEHAVED_SECS
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.reconciliation.inventory import Inventory
from purgatory_sync.policy.rules.limits import AHEAD
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.testing.events import announcement

from .connection import test_reconciler
from .connection.test_reconciler import EVENTS, Here, NegRelay, answer, endless, probed
from .support import NOW, OTHER, OWNER, Engine, Said, ScriptedRelay, following, listed, send

HOST = "relay.example"
start = partial(following, bootstrap=f"ws://{HOST}")
ANNOUNCED = listed(OWNER, "repo")


async def dropped(upstream: Upstream, secs: float) -> RelayStatus:
    """How it stands with the relay, once it was dropped for what it did."""
    with trio.fail_after(secs):
        while True:
            (look,) = upstream.looks()
            if not look.connected and look.trouble is not None:
                break
            await trio.sleep(0.5)
    assert look.trouble is Trouble.MISBEHAVED
    assert look.retry_at is not None
    return look


async def flood(relay: ScriptedRelay, messages: Iterable[object]) -> None:
    """Send until it is over, with any effect."""
    with suppress(Gone):
        for message in messages:
            await relay.send(message)


@pytest.mark.parametrize("wrong", Wrong)
def test_sound_relays_do_some_wrong_too(wrong: Wrong) -> None:
    once, for_each = ALLOWED[wrong]
    patience = Patience()
    assert not patience.ends(wrong, once)
    assert patience.ends(wrong)
    patience.good = 1_000
    assert not patience.ends(wrong, round(1_000 * for_each) - 1)
    assert patience.ends(wrong)


async def test_forged_events_are_counted_and_the_relay_is_left(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, engine, _):

        async def judge(event: Event) -> Said:
            await trio.lowlevel.checkpoint()
            return Said(False, "invalid: signature does not fit", forged=True)

        engine.judge = judge
        await trio.sleep(1)
        lies = [msgspec.structs.replace(ANNOUNCED, sig=f"{n:0128x}") for n in range(150)]
        for event in (*lies[:100], *lies[:100]):
            await relay.send(["EVENT", "live", event])
        await trio.sleep(1)
        assert upstream.looks()[0].connected
        assert len(engine.events) == 100
        await flood(relay, [["EVENT", "live", event] for event in lies])
        look = await dropped(upstream, 10)
        assert look.reason == "it sends events that are not what their ids and signatures say"
        assert look.refused <= 150


async def test_events_that_were_not_asked_for(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ALLOWED[Wrong.UNASKED] == (5_000, 1)
    monkeypatch.setitem(ALLOWED, Wrong.UNASKED, (100, 1))
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, engine, _):
        await trio.sleep(1)
        spam = [OTHER.sign(1, str(n), [], NOW) for n in range(5)]
        lies = [["EVENT", name, each] for name in ("live", "past1", "?", "neg1") for each in spam]
        await flood(relay, lies * 5)
        await trio.sleep(10)
        assert upstream.looks()[0].connected
        await flood(relay, lies)
        look = await dropped(upstream, 10)
        assert look.reason == "it sends events that were not asked for"
        assert engine.events == []
        assert (look.received, look.accepted, look.refused) == (0, 0, 0)


@pytest.mark.parametrize("ahead", [0, 10**9])
async def test_the_same_events_for_ever(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    assert ALLOWED[Wrong.REPEATED] == (10_000, 10)
    monkeypatch.setitem(ALLOWED, Wrong.REPEATED, (100, 10))
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, engine, _):

        async def judge(event: Event) -> Said:
            await trio.lowlevel.checkpoint()
            return Said(False, f"{AHEAD}…", transient=True) if ahead else Said()

        engine.judge = judge
        few = [listed(OWNER, f"r{n}", created_at=NOW + ahead) for n in range(5)]
        await trio.sleep(1)
        await flood(relay, [["EVENT", "live", each] for each in few] * 31)
        await trio.sleep(1)
        assert upstream.looks()[0].connected
        await flood(relay, [["EVENT", "live", each] for each in few])
        look = await dropped(upstream, 10)
        assert look.reason == "it sends the same events again and again"
        assert len(engine.events) <= (160 if ahead else 5)


async def test_repeating_what_is_good_buys_no_forgeries(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(1)
        await flood(relay, [["EVENT", "live", ANNOUNCED]] * 5_000)
        await trio.sleep(10)
        (session,) = [each.session for each in upstream._relays.values()]
        assert session is not None
        assert session._line.patience.good == 1


async def test_words_that_mean_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ALLOWED[Wrong.NOISE] == (10_000, 1)
    monkeypatch.setitem(ALLOWED, Wrong.NOISE, (100, 1))
    noise = [
        ["NOTICE", "x"],
        ["EOSE", "unknown"],
        ["EOSE", "live"],
        ["OK", "0" * 64, True, ""],
        ["CLOSED", "unknown", "x"],
        ["NEG-MSG", "unknown", "61"],
        ["AUTH", "challenge"],
        ["nonsense"],
        {},
        ["EVENT", "live", {}],
        ["COUNT", "x", {"count": 1}],
    ]
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(1)
        await flood(relay, noise * 9)
        await trio.sleep(1)
        assert upstream.looks()[0].connected
        await flood(relay, noise)
        look = await dropped(upstream, 60)
        assert look.reason == "it sends messages that mean nothing"


async def test_a_relay_that_is_left_in_the_middle_of_a_flood_is_asked_again_later(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALLOWED, Wrong.NOISE, (100, 1))
    monkeypatch.setattr(session, "ReadPace", partial(ReadPace, per_sec=100, burst=10))
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, relay, [["NOTICE", "x" * 1_000]] * 1_000)
            await dropped(upstream, 10)
            nursery.cancel_scope.cancel()
        await trio.sleep(MISBEHAVED_SECS + 5)
        assert len(relay.connections) == 2
        assert upstream.looks()[0].connected


class Inventive(ScriptedRelay):
    """Has an older event for every question."""

    async def _answer(self, socket: Socket, message: list[Any]) -> None:
        name, subscription, *rest = message
        if name == "REQ":
            for each in rest:
                assert isinstance(each, dict)
                until = each.get("until", NOW)
                if 30617 in each.get("kinds", ()):
                    event = listed(OTHER, "endless", created_at=until - 1)
                    await send(socket, ["EVENT", subscription, event])
            await send(socket, ["EOSE", subscription])


async def test_history_without_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.MAX_PAGES * PAGE_EVENTS == 500_000
    monkeypatch.setattr(history, "MAX_PAGES", 30)
    async with start({HOST: Inventive()}) as (upstream, engine, _):
        look = await dropped(upstream, 10)
        assert look.reason == "its history has no end"
        assert len(engine.events) <= 31


async def test_a_page_without_end(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert history.OVERFULL_PAGES == 100
    monkeypatch.setattr(history, "OVERFULL_PAGES", 0)
    monkeypatch.setattr(session, "EVERYTHING", (Filter(kinds=frozenset({30617})),))
    async with start({HOST: ScriptedRelay(ANNOUNCED)}) as (upstream, _, _):
        look = await dropped(upstream, 10)
        assert look.reason == "it sends a page without end"


async def test_no_eose(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    relay.mute = True
    async with start({HOST: relay}) as (upstream, engine, _):
        await trio.sleep(ANSWER_SECS + SILENCE_SECS + 1)
        (look,) = upstream.looks()
        assert (look.connected, look.trouble) == (True, Trouble.TIMEOUT)
        assert look.reason == "history: a page was not answered to its end"
        look = await dropped(upstream, 1_000)
        assert look.reason == "a page was not answered to its end, again and again"
        assert engine.events == [ANNOUNCED]
        assert len([1 for _, filters in relay.requests if filters[0].limit != 1]) <= 12


async def test_one_event_every_29_seconds_is_no_answer(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(socket: Socket, subscription: str) -> None:
        with suppress(Gone):
            for number in range(10_000):
                event = announcement(OTHER, f"r{number}", created_at=NOW - number)
                await send(socket, ["EVENT", subscription, event])
                await trio.sleep(29)

    class Dripping(ScriptedRelay):
        async def _answer(self, socket: Socket, message: list[Any]) -> None:
            if message[0] == "REQ" and message[1].startswith("past"):
                nursery.start_soon(drip, socket, message[1])

    monkeypatch.setattr(session, "EVERYTHING", (Filter(kinds=frozenset({30617})),))
    assert PAGE_SECS == 600
    async with trio.open_nursery() as nursery, start({HOST: Dripping()}) as (upstream, _, _):
        await trio.sleep(ANSWER_SECS + PAGE_SECS - 5)
        assert upstream.looks()[0].trouble is None
        await trio.sleep(10)
        assert upstream.looks()[0].reason == "history: a page was not answered to its end"
        nursery.cancel_scope.cancel()


async def test_a_relay_that_lied_is_left_longer_each_time(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        for expected in (MISBEHAVED_SECS, MISBEHAVED_SECS):
            await trio.sleep(1)
            connections = len(relay.connections)
            await trio.sleep(100)
            upstream._relays[f"ws://{HOST}"].session._line.wrong(  # type: ignore[union-attr]
                Wrong.FORGED, 101
            )
            before = trio.current_time()
            while len(relay.connections) == connections:  # noqa: ASYNC110
                await trio.sleep(1)
            assert trio.current_time() - before == pytest.approx(expected, abs=5)
        assert upstream.looks()[0].failures == 2, "100 s of lies are no steady connection"


@asynccontextmanager
async def reconciling(relay: NegRelay) -> AsyncIterator[tuple[Upstream, Engine]]:
    async with test_reconciler.following(relay, Here()) as engine:
        assert engine.upstream is not None
        yield engine.upstream, engine


async def test_negentropy_without_end(autojump_clock: MockClock) -> None:
    relay = NegRelay(*EVENTS)
    relay.says = probed(endless)
    async with reconciling(relay) as (upstream, engine):
        look = await dropped(upstream, 100)
        assert look.reason == "its negentropy has rounds without end"
        await trio.sleep(MISBEHAVED_SECS + 10)
        assert set(engine.events) == set(EVENTS), "pages bring what it has, for a day"
        assert len(relay.opened) <= 6
        assert upstream.looks()[0].history == "req"


async def test_rounds_that_take_for_ever(autojump_clock: MockClock) -> None:
    async def later(socket: Socket, message: object) -> None:
        await trio.sleep(29)
        with suppress(Gone):
            await send(socket, message)

    class Slow(NegRelay):
        async def _answer(self, socket: Socket, message: list[Any]) -> None:
            if message[0] != "NEG-MSG":
                return await super()._answer(socket, message)
            nursery.start_soon(later, socket, endless(message[1], Inventory(), b""))
            return None

    relay = Slow(*EVENTS)
    async with trio.open_nursery() as nursery, reconciling(relay) as (upstream, _):
        relay.says = probed(endless)
        look = await dropped(upstream, 700)
        assert look.reason == "its negentropy has rounds without end"
        nursery.cancel_scope.cancel()


async def test_ids_that_it_does_not_deliver(autojump_clock: MockClock) -> None:
    def claims(session: str, _inventory: object, _message: bytes) -> object:
        ids = b"".join(n.to_bytes(32, "big") for n in range(1_000))
        return ["NEG-MSG", session, "61000002" + "8768" + ids.hex()]

    relay = NegRelay(EVENTS[0])
    relay.says = probed(claims)
    with blocking_in_place():
        async with reconciling(relay) as (upstream, engine):
            look = await dropped(upstream, 100)
            assert look.reason == "it names ids that it does not deliver"
            asked = len(relay.asked)
            await trio.sleep(MISBEHAVED_SECS + 10)
            assert len(relay.asked) == asked, "for a day it is asked by pages"
            assert engine.events == [EVENTS[0]]


async def test_a_relay_that_answers_badly_says_so_in_its_health(
    autojump_clock: MockClock,
) -> None:
    relay = NegRelay(*EVENTS)
    relay.says = probed(lambda name, *_: ["NEG-MSG", name, "610000ff"])
    async with reconciling(relay) as (upstream, engine):
        await trio.sleep(10)
        (look,) = upstream.looks()
        assert (look.connected, look.history) == (True, "req")
        assert look.reason.startswith("negentropy: ")
        assert set(engine.events) == set(EVENTS)


async def test_b_10_2_what_was_refused_is_not_fetched_again(autojump_clock: MockClock) -> None:
    relay = NegRelay(*EVENTS)
    relay.says = answer
    async with reconciling(relay) as (upstream, engine):

        async def refuse(event: Event) -> Said:
            await trio.lowlevel.checkpoint()
            return Said(False, "invalid: not listed", (f"d:{event.first('d')}",))

        engine.judge = refuse
        await trio.sleep(70)
        assert set(engine.events) == set(EVENTS)
        before = [each for each in relay.pages() if each.ids]
        assert before != []
        await relay.hang_up()
        await trio.sleep(1)
        upstream._relays["ws://relay.example"].record.progress.full_at = None
        asked = len(relay.asked)
        await trio.sleep(70)
        assert [each.since for each in relay.asked[asked:]] == [None, None]
        assert [each for each in relay.pages() if each.ids] == before
        assert len(engine.events) == len(EVENTS)


def test_the_times() -> None:
    assert (walks.SILENCE_SECS, RETRY_SECS, MISBEHAVED_SECS) == (30, 60, 600)
