"""History by negentropy, where a relay offers it (NIP-77)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream import Upstream
from purgatory_sync.node.upstream.connection import reconciler
from purgatory_sync.node.upstream.connection.reconciler import MAX_NEEDED, PROBE, PROBE_SECS
from purgatory_sync.node.upstream.state.filters_wanted import EVERYTHING
from purgatory_sync.node.upstream.state.relay_limits import PAGE_EVENTS
from purgatory_sync.node.upstream.state.shared import Shared
from purgatory_sync.node.upstream.state.walk_progress import FULL_EVERY_SECS
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter, parse_filter
from purgatory_sync.nostr.reconciliation.inventory import Inventory
from purgatory_sync.nostr.reconciliation.negentropy import respond
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.settings import Settings, SyncSettings
from purgatory_sync.testing.mock_context import clock_at

from ..support import NOW, OWNER, SERVICE, Engine, Network, ScriptedRelay, listed, send, state_of

EVENTS = [listed(OWNER, f"repo{n}", created_at=NOW - 10_000 + n) for n in range(120)]


class NegRelay(ScriptedRelay):
    """Speaks negentropy too, unless `says` answers otherwise.

    Attributes:
      opened: the filters of NEG-OPEN.
      closed: how many sessions were closed.
      reconciles: so many of the newest events, and says nothing of the others.
      says: makes what is sent instead of NEG-MSG; None: nothing.
    """

    def __init__(self, *events: Event, cap: int = 500) -> None:
        super().__init__(*events, cap=cap)
        self.opened: list[Filter] = []
        self.closed = 0
        self.says: Callable[[str, Inventory, bytes], object] = answer
        self._sessions: dict[str, Inventory] = {}
        self.reconciles: int | None = None

    @property
    def asked(self) -> list[Filter]:
        """What was asked for by negentropy, probes left out."""
        return [each for each in self.opened if each != PROBE]

    async def _answer(self, socket: Socket, message: list[Any]) -> None:
        name, session, *rest = message
        if not name.startswith("NEG-"):
            return await super()._answer(socket, message)
        if name == "NEG-CLOSE":
            self.closed += 1
            return None
        if name == "NEG-OPEN":
            condition = parse_filter(rest.pop(0))
            self.opened.append(condition)
            found = [event for event in self.events if condition.matches(event)]
            found = sorted(found, key=lambda e: -e.created_at)
            found = found[: self.reconciles or condition.limit]
            self._sessions[session] = Inventory((e.created_at, e.id) for e in found)
        said = self.says(session, self._sessions[session], bytes.fromhex(rest[0]))
        if said is not None:
            await send(socket, said)

    def pages(self) -> list[Filter]:
        """What was asked for by REQ, live subscriptions left out."""
        return [each for _, filters in self.requests for each in filters if each.limit != 1]


def answer(session: str, inventory: Inventory, message: bytes) -> object:
    return ["NEG-MSG", session, respond(inventory, message, 60_000).hex()]


@attrs.define
class Here:
    """What is here already."""

    served: list[Event] = attrs.field(factory=list)
    held: list[Event] = attrs.field(factory=list)
    by_pages: dict[str, float] = attrs.field(factory=dict)

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        await trio.lowlevel.checkpoint()
        found = [event for event in self.served if condition.matches(event)]
        return Inventory((event.created_at, event.id) for event in found[:limit])

    def holds(self, event_id: str) -> bool:
        return any(event.id == event_id for event in self.held)

    def pages_until(self, url: str) -> float:
        return self.by_pages.get(url, 0.0)

    def ask_by_pages(self, url: str, until: float) -> None:
        self.by_pages[url] = until


@asynccontextmanager
async def following(relay: NegRelay, here: Here, **sync: Any) -> AsyncIterator[Engine]:
    settings = Settings(
        domain=SERVICE, sync=SyncSettings(bootstrap_relay_url="ws://relay.example", **sync)
    )
    network, engine = Network(), Engine()
    async with trio.open_nursery() as nursery:
        await network.add(nursery, "relay.example", relay)
        clock = clock_at(NOW)
        engine.upstream = Upstream(settings, network.gate(), engine.offer, clock=clock, local=here)
        await nursery.start(engine.upstream.run)
        yield engine
        nursery.cancel_scope.cancel()


async def test_only_what_is_lacking_is_fetched(autojump_clock: trio.testing.MockClock) -> None:
    relay = NegRelay(*EVENTS)
    here = Here(served=EVENTS[:100], held=EVENTS[100:110])
    async with following(relay, here) as engine:
        await trio.sleep(5)
        assert engine.events[0] == EVENTS[-1], "the live subscription brings the newest"
        assert set(engine.events) == set(EVENTS[110:])
        assert {each.kinds for each in relay.asked[:2]} == {each.kinds for each in EVERYTHING}
        by_ids = [each.ids for each in relay.pages() if each.ids]
        assert by_ids == [frozenset(event.id for event in EVENTS[110:])]
        assert relay.closed == len(relay.opened)
        assert engine.upstream is not None
        assert engine.upstream._shared is not None
        assert engine.upstream._shared.items == 0


async def test_more_than_a_page_and_relays_that_yield_less(
    autojump_clock: trio.testing.MockClock,
) -> None:
    many = [state_of(OWNER, f"repo{n}", created_at=NOW - n) for n in range(PAGE_EVENTS + 100)]
    relay = NegRelay(*many, cap=300)
    with blocking_in_place():
        await _all_of_them_come(relay, many)


async def _all_of_them_come(relay: NegRelay, many: list[Event]) -> None:
    async with following(relay, Here()) as engine:
        engine.identifiers.update(f"repo{n}" for n in range(len(many)))
        await trio.sleep(5)
        assert set(engine.events) == set(many)
        assert [len(each.ids) for each in relay.pages() if each.ids] == [500, 200, 100]


async def test_gaps_after_a_reconnect_are_filled_by_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    relay, here = NegRelay(*EVENTS), Here(served=EVENTS)
    missed = listed(OWNER, "missed", created_at=NOW + 50)
    async with following(relay, here) as engine:
        await trio.sleep(100)
        asked, pages = len(relay.asked), len(relay.pages())
        relay.events.append(missed)
        await relay.hang_up()
        await trio.sleep(100)
        assert engine.events[-1] == missed
        again = relay.asked[asked:]
        assert {each.since for each in again if each.kinds} == {None}
        assert {each.ids for each in relay.pages()[pages:]} <= {frozenset({missed.id})}


async def test_b_10_2_a_reconciliation_is_not_believed_to_be_the_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    relay = NegRelay(*EVENTS, cap=30)
    relay.reconciles = 20
    async with following(relay, Here(served=EVENTS[100:])) as engine:
        await trio.sleep(10)
        assert set(engine.events) >= set(EVENTS[:100])


async def test_b_10_2_after_a_reconnect_what_was_published_late_is_found(
    autojump_clock: trio.testing.MockClock,
) -> None:
    relay = NegRelay(*EVENTS)
    late = listed(OWNER, "late", created_at=NOW - 90_000)
    async with following(relay, Here(served=EVENTS)) as engine:
        await trio.sleep(100)
        relay.events.append(late)
        await relay.hang_up()
        pages = len(relay.pages())
        await trio.sleep(100)
        assert late in engine.events
        assert len(relay.pages()) - pages <= 3, "nothing else is lacking"


async def test_gaps_of_a_subscription_that_the_relay_closed_are_filled_by_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    relay, here = NegRelay(*EVENTS), Here(served=EVENTS)
    missed = [listed(OWNER, f"missed{n}", created_at=NOW + n) for n in range(5)]
    async with following(relay, here) as engine:
        await trio.sleep(100)
        await relay.close("live")
        relay.events += missed
        await trio.sleep(100)
        assert set(missed) <= set(engine.events)
        assert [each.limit for each in relay.asked if each.kinds] == [None] * 4
        assert all(each.ids or each.until for each in relay.pages())


def notice(_session: str, _inventory: Inventory, _message: bytes) -> object:
    return ["NOTICE", "ERROR: bad msg: unknown cmd"]


def refuse(session: str, _inventory: Inventory, _message: bytes) -> object:
    return ["NEG-ERR", session, "blocked: negentropy is disabled"]


def close(session: str, _inventory: Inventory, _message: bytes) -> object:
    return ["CLOSED", session, "unsupported: message"]


def silent(_session: str, _inventory: Inventory, _message: bytes) -> object:
    return None


@pytest.mark.parametrize(
    ("says", "secs"), [(notice, 0.5), (refuse, 0.5), (close, 0.5), (silent, PROBE_SECS + 0.5)]
)
async def test_a_relay_that_does_not_offer_it_is_asked_by_pages_for_a_day(
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
    says: Any,
    secs: float,
) -> None:
    # A real day has too many pings for a test.
    assert FULL_EVERY_SECS == 86_400
    monkeypatch.setattr(reconciler, "FULL_EVERY_SECS", 300)
    relay = NegRelay(*EVENTS)
    relay.says = says
    async with following(relay, Here()) as engine:
        await trio.sleep(secs)
        assert set(engine.events) == set(EVENTS)
        assert relay.opened == [PROBE]
        await relay.hang_up()
        await trio.sleep(60)
        assert len(relay.connections) == 2
        assert relay.opened == [PROBE]
        await trio.sleep(300)
        relay.says = answer
        await relay.hang_up()
        await trio.sleep(60)
        assert relay.opened[:2] == [PROBE, PROBE]
        assert relay.asked


async def test_a_relay_that_hangs_up_over_it_is_asked_by_pages_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Rude(NegRelay):
        async def _answer(self, socket: Socket, message: list[Any]) -> None:
            if message[0] == "NEG-OPEN":
                self.opened.append(PROBE)
                return await socket.close(1002, "what?")
            return await super()._answer(socket, message)

    relay = Rude(*EVENTS)
    async with following(relay, Here()) as engine:
        await trio.sleep(60)
        assert (relay.opened, len(relay.connections)) == ([PROBE], 2)
        assert set(engine.events) == set(EVENTS)


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_b_10_2_a_relay_that_does_not_offer_it_is_known_after_a_restart(
    autojump_clock: trio.testing.MockClock, hangs_up: bool
) -> None:
    relay, here = NegRelay(*EVENTS), Here()
    relay.says = lambda *_: None
    async with following(relay, here):
        await trio.sleep(PROBE_SECS / 2)
        if hangs_up:
            await relay.hang_up()
        assert here.by_pages == {}, "it is not clear yet: we may be the one who ends"
        await trio.sleep(60)
        assert relay.opened == [PROBE]
    ((url, until),) = here.by_pages.items()
    assert (url, int(until)) == ("ws://relay.example", NOW + FULL_EVERY_SECS)
    again = NegRelay(*EVENTS)
    async with following(again, here) as engine:
        await trio.sleep(60)
        assert again.opened == []
        assert set(engine.events) == set(EVENTS)
    here.by_pages[url] = NOW - 1.0
    async with following(relay := NegRelay(*EVENTS), here):
        await trio.sleep(60)
        assert relay.asked, "a day later it is tried again"


async def test_a_welcome_is_no_refusal(autojump_clock: trio.testing.MockClock) -> None:
    relay = NegRelay(*EVENTS)
    relay.says = lambda *asked: None if relay.opened == [PROBE] else answer(*asked)
    async with following(relay, Here()):
        await trio.sleep(1)
        await relay.send(["NOTICE", "welcome, have fun"])
        await relay.send(["NEG-MSG", "neg1", "61"])
        await trio.sleep(1)
        assert relay.asked


async def test_operators_can_turn_it_off(autojump_clock: trio.testing.MockClock) -> None:
    relay = NegRelay(*EVENTS)
    async with following(relay, Here(), disable_negentropy=True) as engine:
        await trio.sleep(5)
        assert set(engine.events) == set(EVENTS)
        assert relay.opened == []


def probed(says: Callable[[str, Inventory, bytes], object]) -> Any:
    """Answers the first message as one should, and then so."""
    first = iter([True])
    return lambda *asked: answer(*asked) if next(first, False) else says(*asked)


def endless(session: str, _inventory: Inventory, message: bytes) -> object:
    """Something else each time, so that it never ends."""
    return ["NEG-MSG", session, "61000001" + bytes(16).hex()]


def broken(session: str, _inventory: Inventory, _message: bytes) -> object:
    return ["NEG-MSG", session, "610000ff"]


def no_hex(session: str, _inventory: Inventory, _message: bytes) -> object:
    return ["NEG-MSG", session, "hello"]


@pytest.mark.parametrize("says", [refuse, broken, no_hex, silent])
async def test_a_relay_that_answers_badly_is_asked_by_pages(
    autojump_clock: trio.testing.MockClock, says: Any
) -> None:
    relay = NegRelay(*EVENTS)
    relay.says = probed(says)
    async with following(relay, Here()) as engine:
        await trio.sleep(100)
        assert set(engine.events) == set(EVENTS)
        assert len(relay.connections) == 1
        assert relay.closed == len(relay.opened)


async def test_what_is_too_much_is_asked_for_by_pages(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "MAX_NEEDED", 100)
    relay = NegRelay(*EVENTS)
    async with following(relay, Here()) as engine:
        await trio.sleep(5)
        assert set(engine.events) == set(EVENTS)
        assert all(each.ids is None for each in relay.pages())
    monkeypatch.setattr(reconciler, "MAX_ITEMS", 50)
    relay = NegRelay(*EVENTS)
    async with following(relay, Here(served=EVENTS[:60])) as engine:
        await trio.sleep(5)
        assert set(engine.events) == set(EVENTS)
        assert frozenset({30617}) not in [each.kinds for each in relay.asked]


async def test_where_all_relays_leave_no_room_pages_are_asked_for(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Shared] = []

    def keep(local: Here, knows: Callable[[str], bool]) -> Shared:
        made.append(Shared(local, knows))
        return made[-1]

    monkeypatch.setattr("purgatory_sync.node.upstream.supervisor.Shared", keep)
    monkeypatch.setattr(reconciler, "MAX_ALL_ITEMS", 100)
    relay = NegRelay(*EVENTS)
    async with following(relay, Here(served=EVENTS[:100])) as engine:
        made[0].items = 1
        await trio.sleep(5)
        assert set(engine.events) == set(EVENTS)
        assert frozenset({30617}) not in [each.kinds for each in relay.asked]
        made[0].items = 0
        await relay.hang_up()
        await trio.sleep(20)
        assert EVERYTHING[0].kinds in [each.kinds for each in relay.asked]
        assert made[0].items == 0


async def test_ids_of_no_event_cost_bounded_work(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def claims(session: str, _inventory: Inventory, _message: bytes) -> object:
        ids = b"".join(n.to_bytes(32, "big") for n in range(1_000))
        return ["NEG-MSG", session, "61000002" + "8768" + ids.hex()]

    assert MAX_NEEDED == 20_000
    relay = NegRelay(EVENTS[0])
    relay.says = probed(claims)
    with blocking_in_place():
        await _pages_end(relay)


async def _pages_end(relay: NegRelay) -> None:
    async with following(relay, Here()):
        await trio.sleep(100)
        pages = len(relay.pages())
        assert 2 <= pages <= 2 * len(relay.asked)
        await trio.sleep(200)
        assert len(relay.pages()) == pages
