from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from purgatory_sync.errors import ConfigurationError
from purgatory_sync.node.http.websocket import Socket
from purgatory_sync.node.upstream import Trouble, bootstrap_url, supervisor
from purgatory_sync.node.upstream.connection import session, walks
from purgatory_sync.node.upstream.connection.listening import ANSWER_SECS
from purgatory_sync.node.upstream.connection.read_pace import ReadPace
from purgatory_sync.node.upstream.state import filters_wanted
from purgatory_sync.node.upstream.state.rejected_events import Refused, RejectedLimits
from purgatory_sync.node.upstream.state.walk_progress import FULL_EVERY_SECS
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.testing.events import announcement, note, pull_request
from purgatory_sync.testing.log_capture import capture_logs
from purgatory_sync.testing.mock_context import clock_at

from .support import (
    NOW,
    OTHER,
    OWNER,
    STRANGER,
    Said,
    ScriptedRelay,
    following,
    listed,
    send,
    state_of,
)

HOST = "relay.example"
start = partial(following, bootstrap=f"ws://{HOST}")

ANNOUNCED = listed(OWNER, "repo")
STATE = state_of(OWNER, "repo")
PR = pull_request(STRANGER, [OWNER.coordinate("repo")], "c" * 40, created_at=NOW - 40)


async def test_p10_announcements_and_states_are_offered_at_once(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED, STATE, note(OTHER))
    async with start({HOST: relay}) as (upstream, engine, _):
        await trio.sleep(0.1)
        assert set(engine.events) == {ANNOUNCED, STATE}
        await relay.publish(later := state_of(OWNER, "repo", created_at=NOW))
        await trio.sleep(0.1)
        assert len(engine.times(later)) == 1
        (look,) = upstream.looks()
        assert (look.url, look.connected) == (f"ws://{HOST}", True)
    assert engine.times(ANNOUNCED) == [0.0]


async def test_p10_history_comes_page_by_page(autojump_clock: MockClock) -> None:
    old = [listed(OWNER, f"r{n}", created_at=NOW - 100 - n) for n in range(40)]
    async with start({HOST: ScriptedRelay(*old, cap=7)}) as (_, engine, _):
        await trio.sleep(0.5)
        assert sorted(engine.events, key=lambda e: -e.created_at) == old
        assert len(engine.events) == 40


async def test_b_10_2_pull_requests_are_asked_for_by_reference(autojump_clock: MockClock) -> None:
    reply = note(OTHER, kind=1111, tags=[("E", PR.id)], created_at=NOW - 30)
    stranger = pull_request(STRANGER, [OTHER.coordinate("theirs")], "d" * 40)
    relay = ScriptedRelay(ANNOUNCED, PR, reply, stranger)
    async with start({HOST: relay}) as (upstream, engine, _):
        await trio.sleep(2)
        assert set(engine.events) == {ANNOUNCED, PR}
        upstream.served(PR)
        await trio.sleep(2)
        assert set(engine.events) == {ANNOUNCED, PR, reply}
        await relay.publish(live := note(OTHER, "x", kind=1111, tags=[("e", PR.id)]))
        await trio.sleep(0.1)
        assert live in engine.events
        assert len(engine.events) == 4


async def test_b_10_2_only_new_values_are_walked_and_live_filters_carry_all(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        upstream.announced(ANNOUNCED)
        await trio.sleep(3)
        upstream.announced(listed(OTHER, "second"))
        upstream.announced(listed(OTHER, "third"))
        await trio.sleep(3)
        one = str(OWNER.coordinate("repo"))
        both = frozenset(str(OTHER.coordinate(name)) for name in ("second", "third"))
        assert relay.asked_for("a") == [frozenset({one}), both]
        upstream.served(PR)
        await trio.sleep(3)
        live = [r for _, r in relay.requests if r[0].limit == 1 and "a" in r[0].tags]
        assert live == [
            [Filter(tags={letter: values}, limit=1) for letter in "aAq"]
            for values in (frozenset({one}), both | {one})
        ]


async def test_b_10_2_values_go_in_batches(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        for number in range(1001):
            upstream.served(note(OTHER, str(number)))
        await trio.sleep(3)
        for number in range(1001, 1011):
            upstream.served(note(OTHER, str(number)))
        await trio.sleep(3)
        asked = relay.asked_for("e")
        assert sum(map(len, asked)) == len(frozenset[str]().union(*asked)) == 1011
        live = [r[0] for _, r in relay.requests if r[0].limit == 1 and "e" in r[0].tags]
        sizes = [len(each.tags["e"]) for each in live]
        last, full = sizes[0], sizes[1]
        assert sizes == [last, full, last + 10]
        assert full + last == 1001


async def test_b_2_8_a_state_that_came_first_is_judged_again(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(STATE)
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(1)
        assert engine.events == [STATE]
        await relay.publish(ANNOUNCED)
        await trio.sleep(0.1)
        assert engine.events == [STATE, ANNOUNCED, STATE]


async def test_b_2_8_a_reply_is_judged_again_when_its_root_is_served(
    autojump_clock: MockClock,
) -> None:
    reply = note(OTHER, kind=1111, tags=[("A", str(OWNER.coordinate("repo"))), ("E", PR.id)])
    async with start({HOST: ScriptedRelay(reply)}) as (upstream, engine, _):

        async def refuse(event: Event) -> Said:
            await trio.lowlevel.checkpoint()
            return Said(False, "invalid: must reference", (f"e:{PR.id}",))

        engine.judge = refuse
        upstream.announced(ANNOUNCED)
        await trio.sleep(3)
        assert engine.events == [reply]
        upstream.served(STATE)
        await trio.sleep(3)
        assert engine.events == [reply]
        upstream.served(PR)
        await trio.sleep(0.1)
        assert engine.events == [reply, reply]


async def test_b_2_8_judge_again_by_identifier(autojump_clock: MockClock) -> None:
    async with start({HOST: ScriptedRelay(STATE)}) as (upstream, engine, _):
        await trio.sleep(1)
        upstream._intake.brought(["d:other"])
        await trio.sleep(1)
        assert engine.events == [STATE]
        upstream._intake.brought(["d:repo"])
        await trio.sleep(1)
        assert engine.events == [STATE, STATE]


async def test_b_10_2_what_is_known_by_id_only_is_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    other = state_of(OTHER, "other", created_at=NOW - 60)
    relay, second = ScriptedRelay(STATE, other), ScriptedRelay(STATE)
    async with start({HOST: relay, "second.example": second}) as (upstream, engine, _):
        upstream.follow(["ws://second.example"])
        upstream._intake._refused = Refused(RejectedLimits(whole=0))
        await trio.sleep(3)
        assert set(engine.events) == {STATE, other}
        engine.identifiers |= {"repo", "other"}
        engine.offered.clear()
        await relay.hang_up()
        await trio.sleep(20)
        assert engine.events == []
        upstream._intake.brought(["d:repo"])
        await trio.sleep(1)
        for each in (relay, second):
            asked = [f.ids for _, filters in each.requests for f in filters if f.ids]
            assert asked == [frozenset({STATE.id})]
        assert engine.events == [STATE]


async def test_b_10_2_what_is_known_by_id_only_is_asked_of_relays_that_are_named_again(
    autojump_clock: MockClock,
) -> None:
    old = state_of(OWNER, "repo", created_at=NOW - 10_000)
    relay = ScriptedRelay(old, state_of(OTHER, "newest of all"))
    names = listed(OTHER, "names", f"ws://{HOST}")
    async with start({HOST: relay}, bootstrap=None) as (upstream, engine, _):
        upstream._intake._refused = Refused(RejectedLimits(whole=0))
        upstream.announced(names)
        await trio.sleep(5)
        upstream.withdrawn([names.id])
        await trio.sleep(5)
        assert upstream.looks() == ()
        engine.identifiers.add("repo")
        upstream._intake.brought(["d:repo"])
        engine.offered.clear()
        upstream.announced(names)
        await trio.sleep(20)
        assert old in engine.events


@pytest.mark.parametrize("mute", [False, True])
async def test_b_10_2_what_is_known_by_id_only_is_asked_of_relays_that_are_away(
    autojump_clock: MockClock, mute: bool
) -> None:
    old = state_of(OWNER, "repo", created_at=NOW - 10_000)
    relay = ScriptedRelay(old, state_of(OTHER, "newest of all"))
    async with start({HOST: relay}) as (upstream, engine, _):
        upstream._intake._refused = Refused(RejectedLimits(whole=0))
        await trio.sleep(3)
        engine.identifiers.add("repo")
        engine.offered.clear()
        if mute:  # it is asked, and gone before it has answered
            relay.closes = "past"
            upstream._intake.brought(["d:repo"])
            await trio.sleep(1)
            relay.closes = None
            await relay.hang_up()
        else:
            await relay.hang_up()
            await trio.sleep(1)
            assert not upstream.looks()[0].connected
            upstream._intake.brought(["d:repo"])
        await trio.sleep(20)
        assert old in engine.events


async def test_relays_of_announcements_are_followed_while_they_are_named(
    autojump_clock: MockClock,
) -> None:
    second = ScriptedRelay(STATE)
    names = listed(OWNER, "repo", "ws://second.example", "ws://third.example")
    async with start(
        {HOST: ScriptedRelay(names), "second.example": second, "third.example": None}
    ) as (
        upstream,
        engine,
        network,
    ):
        await trio.sleep(3)
        assert STATE in engine.events
        hosts = {host for _, host in network.attempts}
        assert hosts == {HOST, "second.example", "third.example"}
        assert {s.url: s.connected for s in upstream.looks()} == {
            f"ws://{HOST}": True,
            "ws://second.example": True,
            "ws://third.example": False,
        }
        upstream.withdrawn([names.id])
        await trio.sleep(3)
        assert [s.url for s in upstream.looks()] == [f"ws://{HOST}"]
        assert second._sockets == {}


async def test_b_10_2_who_leaves_and_comes_again_is_not_asked_more_often(
    autojump_clock: MockClock,
) -> None:
    fine = ScriptedRelay()
    hosts = {HOST: ScriptedRelay(), "fine.example": fine, "dead.example": None}
    async with start(hosts) as (upstream, _, network):
        for number in range(20):  # an author announces and deletes, again and again
            names = listed(OWNER, f"r{number}", "ws://fine.example", "ws://dead.example")
            upstream.announced(names)
            await trio.sleep(1.5)
            upstream.withdrawn([names.id])
            await trio.sleep(1.5)
        attempts = [round(at) for at, host in network.attempts if host == "dead.example"]
        assert len(attempts) <= 5  # the first asks for its NIP-11 document (B 16.12)
        gaps = [after - before for before, after in pairwise(fine.connections)]
        assert len(gaps) >= 3
        assert min(gaps) >= 5
        upstream.announced(listed(OWNER, "stays", "ws://fine.example"))
        await trio.sleep(10)
        assert [each.connected for each in upstream.looks()] == [True, True]


async def test_so_many_are_known_that_are_named_no_more(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MAX_LEFT", 2)
    hosts = {HOST: ScriptedRelay(), **{f"r{n}.example": None for n in range(4)}}
    async with start(hosts) as (upstream, _, _):
        for number in range(4):
            upstream.announced(names := listed(OWNER, "r", f"ws://r{number}.example"))
            await trio.sleep(3)
            upstream.withdrawn([names.id])
            await trio.sleep(3)
        assert list(upstream._left) == ["ws://r2.example", "ws://r3.example"]


async def test_b_10_2_who_comes_again_after_the_clock_was_set_back_is_asked_within_the_hour(
    autojump_clock: MockClock,
) -> None:
    fine = ScriptedRelay()
    async with start({HOST: ScriptedRelay(), "fine.example": fine}) as (upstream, _, _):
        names = listed(OWNER, "repo", "ws://fine.example")
        upstream.announced(names)
        await trio.sleep(3)
        upstream.withdrawn([names.id])
        await trio.sleep(3)
        upstream._clock = clock_at(NOW - 86_400)
        upstream.announced(listed(OWNER, "again", "ws://fine.example"))
        await trio.sleep(3_610)
        assert len(fine.connections) == 2


async def test_b_10_2_a_new_connection_asks_for_nothing_that_left(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        upstream.announced(ANNOUNCED)
        upstream.announced(other := listed(OTHER, "second"))
        await trio.sleep(3)
        upstream.withdrawn([other.id])
        await trio.sleep(3)
        relay.requests.clear()
        await relay.hang_up()
        await trio.sleep(10)
        asked = [f.tags["a"] for _, filters in relay.requests for f in filters if "a" in f.tags]
        assert set(asked) == {frozenset({str(OWNER.coordinate("repo"))})}


async def test_reconnects_after_5_s_doubling_to_an_hour(autojump_clock: MockClock) -> None:
    async with start({HOST: None}) as (upstream, _, network):
        await trio.sleep(5000)
        (look,) = upstream.looks()
        assert look.failures == len(network.attempts)
        assert look.reason == "refused"
        await trio.sleep(10_000)
    times = [at for at, _ in network.attempts]
    gaps = [round(b - a) for a, b in pairwise(times)]
    assert gaps == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]


async def test_a_relay_that_hangs_up_at_once_is_not_hammered(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    relay.refuses_until = 100.0
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(200)
        assert [round(at) for at in relay.connections] == [0, 5, 15, 35, 75, 155]
        await relay.hang_up()
        await trio.sleep(100)
        assert len(relay.connections) == 6
        (look,) = upstream.looks()
        assert look.failures == 6
        assert look.retry_at is not None


async def test_after_a_steady_connection_backing_off_begins_anew(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (_, _, _):
        for _ in range(3):
            await trio.sleep(100)
            await relay.hang_up()
        await trio.sleep(100)
    assert [round(at) for at in relay.connections] == [0, 105, 205, 305]


async def test_a_new_connection_begins_where_the_old_one_ended(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(100)
        await relay.hang_up()
        missed = state_of(OWNER, "repo", created_at=NOW + 101)
        relay.events.append(missed)
        relay.requests.clear()
        await trio.sleep(100)
        walks = [f for _, filters in relay.requests for f in filters if f.limit != 1]
        assert {f.since for f in walks} == {NOW + 100 - 3600}
        assert {letter for f in walks for letter in f.tags} == {*"aAqeE"}
        assert engine.events == [ANNOUNCED, missed]


async def test_what_a_relay_did_not_answer_in_time_is_no_past_for_the_next_connection(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(100)
        relay.closes = "past"
        await relay.close("live")
        missed = listed(OWNER, "repo", created_at=NOW + 100)
        relay.events += [missed, *(listed(OTHER, f"r{n}", created_at=NOW + 200) for n in range(5))]
        await trio.sleep(10_000)
        assert missed not in engine.events
        relay.closes = None
        await relay.hang_up()
        await trio.sleep(100)
        assert missed in engine.events


async def test_a_relay_is_listened_to_before_its_past_is_walked(
    autojump_clock: MockClock,
) -> None:
    """What is published between the two would be seen by neither."""
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        for number in range(600):  # of two batches
            upstream.announced(listed(OWNER, f"r{number}"))
        await trio.sleep(5)
        for _ in range(2):
            seen: set[str] = set()
            for _, filters in relay.requests:
                for each in filters:
                    values = each.tags.get("a", {str(each.kinds)} if each.kinds else set())
                    if each.limit == 1:
                        seen |= values
                    assert seen >= values
            assert len(seen) == 602
            await relay.hang_up()
            relay.requests.clear()
            await trio.sleep(20)


async def test_history_that_was_cut_short_is_walked_again(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    relay.closes = "past"
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(10)
        relay.events.append(listed(OWNER, "second"))
        relay.closes = None
        await trio.sleep(60)
        assert len(engine.events) == 2


async def test_b_10_5_a_live_subscription_that_the_relay_refuses_is_polled_and_tried_later(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    relay.closes = "live"
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(10)
        relay.closes = None
        missed = [listed(OWNER, name, created_at=NOW + 1) for name in ("repo", "second")]
        relay.events += missed
        await trio.sleep(600)
        assert sorted(engine.events, key=lambda e: e.id) == sorted(missed, key=lambda e: e.id)
        await trio.sleep(3_600)
        await relay.publish(STATE)
        await trio.sleep(1)
        assert engine.events[2:] == [STATE]


async def test_a_subscription_that_stood_long_is_opened_again_soon(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (_, _, _):
        for _ in range(8):
            await trio.sleep(4_000)
            relay.requests.clear()
            await relay.close("live")
            await trio.sleep(65)
            assert [f[0].limit for _, f in relay.requests].count(1) == 1


async def test_a_relay_that_closes_without_end_is_asked_once_a_while(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (_, _, _):
        await trio.sleep(1)
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(500):
            await relay.send(["CLOSED", "live", "error: no"])
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living - before <= 5
        relay.requests.clear()
        await trio.sleep(100)
        live = [filters for _, filters in relay.requests if filters[0].limit == 1]
        assert len(live) == 1


async def test_a_relay_slower_than_what_it_is_asked_is_left(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walks, "MAX_WALKS", 12)
    monkeypatch.setattr(walks, "LITTLE_BY_LITTLE", 2)
    relay = ScriptedRelay()
    relay.mute = True
    async with start({HOST: relay}) as (upstream, _, _):
        number = 0
        while upstream.looks()[0].reason != "too slow":
            assert number < 20
            upstream.announced(listed(OWNER, f"r{number}"))
            number += 1
            await trio.sleep(2)
        relay.mute = False
        await trio.sleep(60)
        assert len(relay.connections) > 1
        assert upstream.looks()[0].connected


async def test_b_10_2_however_much_is_wanted_a_new_connection_asks_for_all_of_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An author who announces to thousands must not part us from all relays."""
    monkeypatch.setattr(filters_wanted, "MAX_VALUES", 1)
    monkeypatch.setattr(walks, "MAX_WALKS", 10)
    monkeypatch.setattr(walks, "LITTLE_BY_LITTLE", 5)
    relay = ScriptedRelay()
    relay.mute = True
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(ANSWER_SECS + 3)
        for number in range(10):
            upstream.announced(listed(OWNER, f"r{number}"))
        await trio.sleep(5)
        assert upstream.looks()[0].reason == "too slow"
        relay.mute = False
        for _ in range(2):
            relay.requests.clear()
            await trio.sleep(20)
            assert upstream.looks()[0].connected
            assert len(relay.asked_for("a")) >= 10
            await trio.sleep(100)
            session = upstream._relays[f"ws://{HOST}"].session
            assert session is not None
            assert session._walks.behind_since is None
            await relay.hang_up()


async def test_a_malformed_event_now_and_then_ends_nothing(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(1)
        for _ in range(300):
            await relay.send(["EVENT", "live", {}])
            await relay.send(["NOTICE", "sorry"])
        await trio.sleep(1)
        assert upstream.looks()[0].connected


async def test_closed_behind_eose_is_no_refusal(autojump_clock: MockClock) -> None:
    class Closing(ScriptedRelay):
        async def _answer(self, socket: Socket, message: list[Any]) -> None:
            await super()._answer(socket, message)
            if message[0] == "REQ" and message[1].startswith("past"):
                await send(socket, ["CLOSED", message[1], ""])

    relay = Closing(*(listed(OTHER, f"r{n}", created_at=NOW - n) for n in range(20)), cap=4)
    async with start({HOST: relay}) as (upstream, engine, _):
        await trio.sleep(10)
        assert len(engine.events) == 20
        assert upstream.looks()[0].trouble is None


async def test_a_relay_without_eose_holds_up_nothing_else(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED, STATE, PR)
    relay.mute = True
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(300)
        assert set(engine.events) == {ANNOUNCED, STATE, PR}


async def test_only_what_was_asked_for_is_offered(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    theirs = pull_request(STRANGER, [OTHER.coordinate("theirs")], "d" * 40)
    relay.lie = [note(OTHER, "spam"), theirs, msgspec.structs.replace(theirs, kind=1621)]
    async with start({HOST: relay}) as (_, engine, _):
        await trio.sleep(0.5)
        assert engine.events == [ANNOUNCED]
        await relay.send(["EVENT", "unknown", STATE])
        await relay.send(["EVENT", "live", note(OTHER, "spam")])
        await trio.sleep(0.5)
        assert engine.events == [ANNOUNCED]
        await relay.send(["EVENT", "live", STATE])
        await trio.sleep(0.2)
        assert engine.events == [ANNOUNCED, STATE]


async def test_refused_events_are_not_offered_for_each_page(autojump_clock: MockClock) -> None:
    elsewhere = [announcement(OTHER, f"r{n}", created_at=NOW - n) for n in range(20)]
    async with start({HOST: ScriptedRelay(*elsewhere, cap=5)}) as (_, engine, _):
        await trio.sleep(1)
        assert len(engine.events) == 20


async def test_a_flood_is_read_at_a_bounded_pace(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ReadPace", partial(ReadPace, per_sec=2, burst=10))
    async with start({HOST: (relay := ScriptedRelay())}) as (_, engine, _):
        await trio.sleep(100)
        many = [listed(OWNER, f"r{n}", created_at=NOW - n) for n in range(50)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.publish, *many)
            await trio.sleep(0.1)
            assert len(engine.events) == 10
            await trio.sleep(10)
            assert 15 < len(engine.events) <= 30, "answers to what is asked meanwhile count, too"
            nursery.cancel_scope.cancel()


async def test_malformed_messages_end_the_connection_not_the_node(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(5)  # until it has answered what it was asked
        for number in range(100):
            await relay.send({"nonsense": number})
        await trio.sleep(1)
        assert len(relay.connections) == 1
        await relay.send([])
        await trio.sleep(1)
        (look,) = upstream.looks()
        assert (look.connected, look.reason) == (False, "it speaks no NIP-01")
        await trio.sleep(10)
        assert len(relay.connections) == 2


async def test_a_message_that_is_too_large_ends_the_connection(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay()
    async with start({HOST: relay}) as (upstream, _, _):
        await trio.sleep(1)
        await relay.send(["NOTICE", "x" * 1_200_000])
        await trio.sleep(1)
        (look,) = upstream.looks()
        assert not look.connected
        assert "1009" in look.reason


async def test_n3_a_slow_store_does_not_look_like_a_silent_relay(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(*(listed(OWNER, f"r{n}", created_at=NOW - n) for n in range(250)))
    async with start({HOST: relay}) as (_, engine, _):
        engine.delay = 12.0
        with capture_logs() as logs:
            await trio.sleep(200)
        assert len(engine.events) == 250
        assert [each["event"] for each in logs] == ["relay connected"]


async def test_n3_a_connection_lost_over_a_slow_store_is_not_the_last(
    autojump_clock: MockClock,
) -> None:
    """The reader of websockets, closed while it is paused, would wait for ever."""
    relay = ScriptedRelay(*(listed(OWNER, f"r{n}", created_at=NOW - n) for n in range(250)))
    async with start({HOST: relay}) as (_, engine, _):
        engine.delay = 100.0
        await trio.sleep(600)
        assert len(engine.events) == 250
        assert len(relay.connections) > 1


@pytest.mark.parametrize("url", ["ws://inside.example", "ws://127.0.0.1:9", "ws://[::1]:9"])
async def test_j_relays_inside_the_operators_network_are_refused(
    autojump_clock: MockClock, url: str
) -> None:
    async with following({HOST: ScriptedRelay()}, bootstrap=url) as (upstream, _, network):
        await trio.sleep(1)
        (look,) = upstream.looks()
        assert "not public" in look.reason
        assert network.attempts == []


async def test_d_relays_inside_that_announcements_name_are_never_dialled_unless_allowed(
    autojump_clock: MockClock,
) -> None:
    inside = ("ws://inside.example", "ws://192.168.0.7", "ws://[fd00::7]", "ws://0x7f000001")
    async with following({HOST: ScriptedRelay()}, bootstrap=None) as (upstream, _, network):
        upstream.announced(listed(OWNER, "repo", *inside, f"ws://{HOST}"))
        await trio.sleep(100)
        looks = {each.url: each for each in upstream.looks()}
        assert len(looks) == len(inside), "0x7f000001 is no address in a usual form"
        assert [each.url for each in looks.values() if each.connected] == [f"ws://{HOST}"]
        for url, look in looks.items():
            if url != f"ws://{HOST}":
                assert (look.trouble, look.never_shown) == (Trouble.FORBIDDEN, True)
        assert {host for _, host in network.attempts} == {HOST}


async def test_our_own_address_is_never_connected(autojump_clock: MockClock) -> None:
    async with following({}, bootstrap="wss://grasp.example") as (upstream, _, network):
        upstream.announced(listed(OWNER, "repo", "ws://127.0.0.1:7334"))
        await trio.sleep(5)
        assert (upstream.looks(), network.attempts) == ((), [])


async def test_events_of_earlier_days_count_before_it_runs(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(PR)
    async with start({HOST: relay}) as (upstream, engine, _):
        upstream.served(ANNOUNCED)
        await trio.sleep(0.1)
        assert engine.events == [PR]


async def test_stopping_is_quick(autojump_clock: MockClock) -> None:
    relay = ScriptedRelay(ANNOUNCED)
    async with start({HOST: relay}) as _:
        await trio.sleep(1)
        before = trio.current_time()
    assert trio.current_time() - before < 5


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("relay.example", "wss://relay.example"),
        ("relay.example:7777/x", "wss://relay.example:7777/x"),
        ("ws://127.0.0.1:7777", "ws://127.0.0.1:7777"),
    ],
)
def test_the_bootstrap_relay_may_lack_a_scheme(text: str, url: str) -> None:
    assert bootstrap_url(text) == url


@pytest.mark.parametrize("text", ["https://relay.example", "wss://a:b@relay.example", "a b"])
def test_a_bad_bootstrap_relay_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="NGIT_SYNC_BOOTSTRAP_RELAY_URL"):
        bootstrap_url(text)


async def test_b_10_2_all_of_history_is_walked_once_a_day_on_a_connection_that_stands(
    autojump_clock: MockClock,
) -> None:
    relay = ScriptedRelay(ANNOUNCED, STATE)
    async with start({HOST: relay}) as (_, engine, _):
        usual = engine.judge

        async def no_room(event: Event) -> Said:
            return (
                Said(False, "rate-limited: purgatory is full", transient=True)
                if event == STATE
                else Said()
            )

        engine.judge = no_room
        await trio.sleep(3600)
        engine.judge = usual
        relay.events.append(late := state_of(OWNER, "repo", created_at=NOW - 10**7))
        await trio.sleep(FULL_EVERY_SECS - 3601)
        assert max(engine.times(STATE)) < 60
        await trio.sleep(60)
        assert max(engine.times(STATE)) >= FULL_EVERY_SECS
        assert late in engine.events
        assert engine.events.count(ANNOUNCED) == 1
        assert len(relay.connections) == 1
        asked = len(relay.requests)
        await relay.hang_up()
        await trio.sleep(60)
        assert all(
            each.since
            for _, filters in relay.requests[asked:]
            for each in filters
            if each.limit != 1
        )
