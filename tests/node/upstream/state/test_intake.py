from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from purgatory_sync.node.upstream.state import intake as intake_module
from purgatory_sync.node.upstream.state.intake import OFFERS_AT_ONCE, Intake
from purgatory_sync.node.upstream.state.rejected_events import Refused, RejectedLimits
from purgatory_sync.nostr.event import Event
from purgatory_sync.testing.events import note
from purgatory_sync.testing.log_capture import capture_logs

from ..support import NOW, OWNER, Said, state_of

STATE = state_of(OWNER, "repo")
LACKING = Said(False, "invalid: no announcement", ("d:repo",))


class Offers:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.at_once = 0
        self.most_at_once = 0
        self.says: Callable[[Event], Awaitable[Said]] = self.accept

    async def accept(self, event: Event) -> Said:
        await trio.sleep(1)
        return Said()

    async def __call__(self, event: Event, origin: str) -> Said:
        assert origin == "sync"
        self.events.append(event)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.says(event)
        finally:
            self.at_once -= 1


@asynccontextmanager
async def intake(
    offers: Offers, ask_again: Callable[[Sequence[str]], None] = lambda ids: None
) -> AsyncIterator[Intake]:
    taking = Intake(offers, ask_again)
    async with trio.open_nursery() as nursery:
        await nursery.start(taking.run)
        yield taking
        nursery.cancel_scope.cancel()


def always(said: Said) -> Callable[[Event], Awaitable[Said]]:
    async def says(event: Event) -> Said:
        await trio.lowlevel.checkpoint()
        return said

    return says


async def test_an_event_is_offered_once(autojump_clock: MockClock) -> None:
    offers = Offers()
    async with intake(offers) as taking:
        await taking.take(STATE)
        await taking.take(STATE)
        await trio.sleep(2)
        await taking.take(STATE)
        await wait_all_tasks_blocked()
    assert offers.events == [STATE]


async def test_so_many_are_offered_at_once_and_the_rest_wait(autojump_clock: MockClock) -> None:
    offers = Offers()
    start = trio.current_time()
    async with intake(offers) as taking:
        for number in range(3 * OFFERS_AT_ONCE):
            await taking.take(note(OWNER, str(number)))
        assert trio.current_time() - start == 2
        await trio.sleep(1)
    assert offers.most_at_once == OFFERS_AT_ONCE
    assert len(offers.events) == 3 * OFFERS_AT_ONCE


async def test_b_2_8_refused_for_lack_of_something_is_judged_again_when_it_comes() -> None:
    offers = Offers()
    offers.says = always(LACKING)
    async with intake(offers) as taking:
        await taking.take(STATE)
        await wait_all_tasks_blocked()
        await taking.take(STATE)
        await wait_all_tasks_blocked()
        assert len(offers.events) == 1
        taking.brought(["d:other"])
        await wait_all_tasks_blocked()
        assert len(offers.events) == 1
        offers.says = always(Said())
        taking.brought(["d:repo"])
        await wait_all_tasks_blocked()
        assert len(offers.events) == 2
        taking.brought(["d:repo"])
        await wait_all_tasks_blocked()
        assert len(offers.events) == 2


async def test_b_2_8_what_it_lacked_came_while_it_was_being_judged(
    autojump_clock: MockClock,
) -> None:
    offers = Offers()

    async def slowly_without(event: Event) -> Said:
        await trio.sleep(1)
        return LACKING

    offers.says = slowly_without
    async with intake(offers) as taking:
        await taking.take(STATE)
        await trio.sleep(0.5)
        taking.brought(["d:repo"])
        offers.says = offers.accept
        await trio.sleep(5)
        assert offers.events == [STATE, STATE]
        taking.brought(["d:repo"])
        await trio.sleep(5)
        assert len(offers.events) == 2


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        (Said(False, "invalid: signature does not fit"), 1),
        (Said(False, "rate-limited: too many events wait", transient=True), 2),
        (Said(False, "error: could not be stored", transient=True), 2),
        (Said(False, "invalid: created_at is more than 15 minutes ahead", transient=True), 2),
        (Said(False, "error: in other words, and for ever"), 1),
    ],
)
async def test_final_refusals_are_remembered_passing_ones_are_not(said: Said, offered: int) -> None:
    offers = Offers()
    offers.says = always(said)
    async with intake(offers) as taking:
        for _ in range(2):
            await taking.take(STATE)
            await wait_all_tasks_blocked()
        taking.brought(["d:repo"])
        await wait_all_tasks_blocked()
    assert len(offers.events) == offered


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (Said(), False),
        (LACKING, True),
        (Said(False, "blocked: events of this author are not taken here"), True),
        (Said(False, "invalid: deleted by its author"), True),
        (Said(False, "invalid: signature does not fit", forged=True), False),
        (Said(False, "error: could not be stored", transient=True), False),
    ],
)
async def test_b_10_2_what_was_refused_for_good_is_known_by_its_id(said: Said, known: bool) -> None:
    offers = Offers()
    offers.says = always(said)
    async with intake(offers) as taking:
        await taking.take(STATE)
        await wait_all_tasks_blocked()
        assert taking.knows(STATE.id) is known


async def test_an_offer_that_fails_occupies_nothing() -> None:
    offers = Offers()

    async def fail(event: Event) -> Said:
        raise RuntimeError("a bug")

    offers.says = fail
    async with intake(offers) as taking:
        with capture_logs() as logs:
            for number in range(2 * OFFERS_AT_ONCE):
                await taking.take(note(OWNER, str(number)))
            await wait_all_tasks_blocked()
        assert {each["log_level"] for each in logs} == {"error"}
        offers.says = always(Said())
        await taking.take(STATE)
        await taking.take(note(OWNER, "0"))
        await wait_all_tasks_blocked()
    assert offers.events[-2:] == [STATE, note(OWNER, "0")]


async def test_b_10_2_what_left_memory_is_asked_for_again() -> None:
    offers, asked = Offers(), list[Sequence[str]]()
    offers.says = always(LACKING)
    async with intake(offers, asked.append) as taking:
        taking._refused = Refused(RejectedLimits(whole=1))
        other = state_of(OWNER, "other")
        await taking.take(STATE)
        await wait_all_tasks_blocked()
        await taking.take(other)
        await wait_all_tasks_blocked()
        taking.brought(["d:repo"])
        assert asked == [[STATE.id]]
        await wait_all_tasks_blocked()
        offers.events.clear()
        await taking.take(STATE)
        await wait_all_tasks_blocked()
        assert offers.events == [STATE]


async def test_what_one_announcement_stirs_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_ASKED_AGAIN", 3)
    monkeypatch.setattr(intake_module, "MAX_RECENT_KEYS", 4)
    offers, asked = Offers(), list[Sequence[str]]()
    offers.says = always(LACKING)
    async with intake(offers, asked.append) as taking:
        taking._refused = Refused(RejectedLimits(whole=0))
        for number in range(5):
            await taking.take(state_of(OWNER, "repo", created_at=NOW + number))
        await wait_all_tasks_blocked()
        for number in range(10):
            taking.brought([f"d:{number}", "d:repo"])
        assert [len(each) for each in asked] == [3]
        assert list(taking._brought) == ["d:7", "d:8", "d:9", "d:repo"]


async def test_a_taker_that_is_cancelled_while_waiting_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    offers = Offers()
    async with intake(offers) as taking:
        for number in range(OFFERS_AT_ONCE):
            await taking.take(note(OWNER, str(number)))
        with trio.move_on_after(0.5):
            await taking.take(STATE)
        await trio.sleep(2)
        await taking.take(STATE)
        await trio.sleep(2)
    assert offers.events.count(STATE) == 1
