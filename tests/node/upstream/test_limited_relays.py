"""Relays with limits, told in NIP-11, CLOSED, NOTICE, or not at all (B 10.5)."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream.connection.session import POLL_SECS
from purgatory_sync.node.upstream.state.refusals import Meaning, meaning_of
from purgatory_sync.node.upstream.state.relay_limits import InvalidDocument, RelayLimits
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter, parse_filter
from purgatory_sync.testing.events import Author

from .connection.test_reconciler import EVENTS, Here, NegRelay
from .connection.test_reconciler import following as reconciling
from .support import NOW, OTHER, OWNER, Said, ScriptedRelay, following, listed, send

HOST = "relay.example"
start = partial(following, bootstrap=f"ws://{HOST}")
ALL_SECS = 900


class Limited(ScriptedRelay):
    """Takes so many subscriptions, values and filters; looks events up by their tags.

    Attributes:
      says: how it refuses: CLOSED, NOTICE, "silence", or "strfry" (answers what is stored first).
      refused: how often each form of a question was refused.
      most: the most subscriptions that were open on a connection.
    """

    def __init__(self, says: str, subscriptions: int = 10, values: int = 256) -> None:
        super().__init__()
        self.says, self.subscriptions, self.values = says, subscriptions, values
        self.document: dict[str, Any] | None = None
        self.refused: Counter[str] = Counter()
        self.most = 0
        self._by_tag: defaultdict[tuple[str, str], list[Event]] = defaultdict(list)
        self._by_kind: defaultdict[int, list[Event]] = defaultdict(list)

    def add(self, *events: Event) -> None:
        for event in events:
            self._by_kind[event.kind].append(event)
            for tag in event.tags:
                if len(tag[0]) == 1:
                    self._by_tag[tag[0], tag[1]].append(event)

    async def publish(self, *events: Event) -> None:
        self.add(*events)
        known, self.events = self.events, []
        await super().publish(*events)
        self.events = known

    async def http(self, exchange: Exchange) -> None:
        if self.document is None:
            return await exchange.respond(404, b"")
        await exchange.respond(200, json.dumps(self.document).encode())

    def form_refused(self, filters: list[Filter]) -> str | None:
        for each in filters:
            if any(len(values) > self.values for values in each.tags.values()):
                return "too many values in a tag"
        return None

    async def _answer(self, socket: Socket, message: list[Any]) -> None:
        if message[0] == "CLOSE":
            self._sockets[socket].pop(message[1], None)
            return
        if message[0] != "REQ":
            return await send(socket, ["NOTICE", "ERROR: bad msg: negentropy disabled"])
        name, filters = message[1], [parse_filter(each) for each in message[2:]]
        self.requests.append((trio.current_time(), filters))
        form = json.dumps([each.to_json() for each in filters])
        if (reason := self.form_refused(filters)) is not None:
            self.refused[form] += 1
            return await self._refuse(socket, name, reason)
        open_ones = self._sockets[socket]
        too_many = name not in open_ones and len(open_ones) >= self.subscriptions
        if too_many and self.says != "strfry":
            self.refused[form] += 1
            return await self._refuse(socket, name, "too many concurrent REQs")
        for event in self._found(filters):
            await send(socket, ["EVENT", name, event])
        await send(socket, ["EOSE", name])
        if too_many:
            return await send(socket, ["NOTICE", "ERROR: too many concurrent REQs"])
        open_ones[name] = filters
        self.most = max(self.most, len(open_ones))

    async def _refuse(self, socket: Socket, name: str, reason: str) -> None:
        if self.says == "CLOSED":
            await send(socket, ["CLOSED", name, f"error: {reason}"])
        elif self.says != "silence":
            await send(socket, ["NOTICE", f"ERROR: {reason}"])

    def _found(self, filters: Any) -> list[Event]:
        found: dict[str, Event] = {}
        for each in filters:
            if each.tags:
                ((letter, values),) = each.tags.items()
                of_tag = (e for value in values for e in self._by_tag.get((letter, value), ()))
            else:
                of_tag = (e for kind in each.kinds or () for e in self._by_kind[kind])
            matching = sorted((e for e in of_tag if each.matches(e)), key=lambda e: -e.created_at)
            limit = min(500, 500 if each.limit is None else each.limit)
            found |= {e.id: e for e in matching[:limit]}
        return list(found.values())


def much(number: int) -> tuple[list[Event], list[Event]]:
    """So many repositories, issues and pull requests; the roots apart."""
    repositories, roots = [], []
    for n in range(number // 3):
        owner = (OWNER, OTHER)[n % 2]
        at = owner.coordinate(f"r{n}")
        repositories.append(listed(owner, f"r{n}", created_at=NOW - 100_000 + n))
        for kind in (1621, 1618):
            event = unsigned(kind, [("a", str(at))], NOW - 90_000 + n)
            roots.append(event)
    return repositories, roots


def unsigned(kind: int, tags: list[tuple[str, ...]], created_at: int) -> Event:
    """The engine of these tests asks for no signature, and to sign takes a while."""
    unsigned.number += 1  # type: ignore[attr-defined]
    number = unsigned.number  # type: ignore[attr-defined]
    author = Author.from_seed(9)
    return Event(f"{number:064x}", author.pubkey, created_at, kind, tuple(tags), "", "0" * 128)


unsigned.number = 1  # type: ignore[attr-defined]


def serve_all(engine: Any) -> None:
    """The engine serves all that comes."""

    async def judge(event: Event) -> Said:
        await trio.lowlevel.checkpoint()
        engine.upstream.served(event)
        return Said()

    engine.judge = judge


@pytest.mark.parametrize("says", ["NIP-11", "CLOSED", "NOTICE", "silence", "strfry"])
async def test_b_10_5_all_of_a_relay_with_few_subscriptions_comes_in_time(
    autojump_clock: MockClock, says: str
) -> None:
    """10 subscriptions, 256 values, 500 events a REQ, no negentropy; ten thousand events."""
    number = 10_000 if says == "NIP-11" else 2_000
    relay = Limited("CLOSED" if says == "NIP-11" else says)
    if says == "NIP-11":
        relay.document = {"limitation": {"max_subscriptions": 10, "max_limit": 500}}
    repositories, roots = much(number)
    relay.add(*repositories, *roots)
    async with start({HOST: relay}) as (upstream, engine, _):
        serve_all(engine)
        await trio.sleep(ALL_SECS)
        assert {e.id for e in engine.events} == {e.id for e in (*repositories, *roots)}
        new = [listed(OWNER, "new", created_at=NOW + 1000)]
        for root in roots[:: len(roots) // 24]:
            new.append(unsigned(1111, [("E", root.id), ("e", root.id)], NOW + 1000))
        for repository in repositories[:: len(repositories) // 24]:
            at = f"{kinds.ANNOUNCEMENT}:{repository.pubkey}:{repository.first('d')}"
            new.append(unsigned(1621, [("a", at)], NOW + 1000))
        await relay.publish(*new)
        await trio.sleep(ALL_SECS)
        assert {e.id for e in new} <= {e.id for e in engine.events}
        assert all(times == 1 for times in relay.refused.values()), relay.refused.most_common(3)
        assert len(relay.refused) <= (10 if says == "NIP-11" else 40)
        assert relay.most <= 10
        (look,) = upstream.looks()
        assert look.connected
    assert POLL_SECS < ALL_SECS


class OneQuestion(Limited):
    """Refuses what a function says, by CLOSED."""

    def __init__(self, refuse: Callable[[list[Filter]], str | None]) -> None:
        super().__init__("CLOSED", subscriptions=50, values=10_000)
        self.asks = refuse

    def form_refused(self, filters: list[Filter]) -> str | None:
        return self.asks(filters)

    async def _refuse(self, socket: Socket, name: str, reason: str) -> None:
        await send(socket, ["CLOSED", name, reason])


async def test_b_10_5_where_kinds_are_wanted_they_are_named(autojump_clock: MockClock) -> None:
    def refuse(filters: list[Filter]) -> str | None:
        named = all(f.kinds and 1 not in f.kinds for f in filters)
        return None if named else "blocked: an author must be specified to get their kind:1 notes"

    relay = OneQuestion(refuse)
    repository = listed(OWNER, "r", created_at=NOW - 10)
    issue = unsigned(1621, [("a", str(OWNER.coordinate("r")))], NOW - 5)
    relay.add(repository, issue)
    async with start({HOST: relay}) as (upstream, engine, _):
        serve_all(engine)
        await trio.sleep(60)
        assert set(engine.events) == {repository, issue}
        await relay.publish(comment := unsigned(1111, [("E", issue.id)], NOW))
        await trio.sleep(1)
        assert comment in engine.events
        assert set(relay.refused.values()) == {1}
        (look,) = upstream.looks()
        assert look.not_followed == (
            "kinds that NIP-34 does not know: it wants kinds in each question",
        )


async def test_b_10_5_a_policy_is_tried_once_a_day_by_one_question(
    autojump_clock: MockClock,
) -> None:
    def refuse(filters: list[Filter]) -> str | None:
        return "restricted: members only" if any(f.tags for f in filters) else None

    relay = OneQuestion(refuse)
    repositories, _ = much(300)
    relay.add(*repositories)
    async with start({HOST: relay}) as (upstream, engine, _):
        serve_all(engine)
        await trio.sleep(86_000)
        first = sum(relay.refused.values())
        assert first <= 120
        (look,) = upstream.looks()
        assert [each for each in look.not_followed if each.endswith(": refused")]
        for day in range(1, 6):
            await trio.sleep(86_400)
            assert sum(relay.refused.values()) - first <= day * 40, day
        relay.asks = lambda _: None
        issue = unsigned(1621, [("a", str(OWNER.coordinate("r0")))], NOW - 5)
        relay.add(issue)
        await trio.sleep(86_400)
        assert issue in engine.events
        assert upstream.looks()[0].not_followed == ()


async def test_b_10_5_a_relay_that_is_asked_too_much_rests_as_a_whole(
    autojump_clock: MockClock,
) -> None:
    asked: list[float] = []

    def refuse(filters: list[Filter]) -> str | None:
        now = trio.current_time()
        asked.append(now)
        lately = sum(now - at < 60 for at in asked)
        return "rate-limited: slow down" if lately > 70 else None

    relay = OneQuestion(refuse)
    relay.values = 10_000
    relay.document = {"limitation": {"max_message_length": 1500}}
    repositories, roots = much(300)
    relay.add(*repositories, *roots)
    async with start({HOST: relay}) as (_, engine, _):
        serve_all(engine)
        await trio.sleep(7_200)
        assert {e.id for e in engine.events} == {e.id for e in (*repositories, *roots)}
        assert sum(relay.refused.values()) <= 40
        rests = [b - a for a, b in pairwise(asked) if b - a >= 60]
        assert rests
        assert sum(relay.refused.values()) / len(asked) < 0.1


async def test_b_10_5_a_relay_without_a_place_for_any_question_is_left_in_peace(
    autojump_clock: MockClock,
) -> None:
    """It takes live subscriptions, and says of each question that there are too many."""
    patience = 500

    class Full(Limited):
        async def _answer(self, socket: Socket, message: list[Any]) -> None:
            if message[0] == "REQ" and message[1].startswith("past"):
                self.refused["past"] += 1
                if self.refused["past"] >= patience:
                    await trio.sleep_forever()
                return await self._refuse(socket, message[1], "too many concurrent REQs")
            await super()._answer(socket, message)

    relay = Full("CLOSED")
    async with start({HOST: relay}) as (upstream, engine, _):
        serve_all(engine)
        await trio.sleep(ALL_SECS)
        assert 0 < relay.refused["past"] <= 40
        assert "too many" in (upstream.looks()[0].reason or "")


def test_b_10_5_what_a_relay_tells_of_its_limits() -> None:
    limits = RelayLimits()
    limits.told(b'{"limitation": {"max_subscriptions": 10, "max_filters": 1, "max_limit": 100}}')
    assert (limits.live, limits.walks, limits.filters, limits.page) == (9, 1, 1, 100)
    for nothing in (
        b"[]",
        b"{}",
        b'{"limitation": {"max_subscriptions": "many", "max_limit": -1}}',
    ):
        other = RelayLimits()
        other.told(nothing)
        assert (other.subscriptions, other.page) == (20, 500)
    with pytest.raises(InvalidDocument):
        limits.told(b"<html>")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ERROR: too many concurrent REQs", Meaning.PLACES),
        ("error: maximum concurrent subscription count reached", Meaning.PLACES),
        ("Too many subscriptions: Number of subscriptions must be less than 10", Meaning.PLACES),
        ("rate-limited: you are noting too much", Meaning.RATE),
        ("blocked: an author must be specified to get their kind:1 notes", Meaning.KINDS),
        ("blocked: no", Meaning.POLICY),
        ("auth-required: who are you", Meaning.PROOF),
        ("error: filter item too large", Meaning.FORM),
    ],
)
def test_b_10_5_what_words_of_refusal_mean(text: str, meaning: Meaning) -> None:
    assert meaning_of(text) is meaning


async def test_b_10_5_ids_that_were_named_are_asked_for_again(autojump_clock: MockClock) -> None:
    class Hiding(NegRelay):
        hides = True

        def _found(self, filters: Any) -> list[Event]:
            found = super()._found(filters)
            return [e for e in found if not (self.hides and any(f.ids for f in filters))]

    relay = Hiding(*EVENTS)
    async with reconciling(relay, Here()) as engine:
        await trio.sleep(20)
        relay.hides = False
        await trio.sleep(9)
        assert not set(engine.events) >= set(EVENTS)
        await trio.sleep(5)
        assert set(engine.events) == set(EVENTS)


async def test_b_10_5_relays_are_dialled_one_after_the_other(autojump_clock: MockClock) -> None:
    relays = {f"r{n}.example": ScriptedRelay() for n in range(20)}
    async with following({**relays}, bootstrap=None) as (upstream, _, _):
        upstream.follow([f"ws://{name}" for name in relays])
        await trio.sleep(30)
        times = sorted(at for relay in relays.values() for at in relay.connections)
        assert len(times) == 20
        assert all(b - a >= 0.249 for a, b in pairwise(times))


async def test_b_10_5_who_refuses_all_that_is_asked_does_no_good_work(
    autojump_clock: MockClock,
) -> None:
    relay = OneQuestion(lambda _: "blocked: no")
    async with start({HOST: relay}) as (upstream, _, _):
        for _ in range(3):
            await trio.sleep(100)
            await relay.hang_up()
            await trio.sleep(40)
        assert upstream.looks()[0].failures == 3
