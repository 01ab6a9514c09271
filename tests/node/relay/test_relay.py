"""NIP-01 as clients see it."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio
import trio.testing
from websockets.trio.client import connect

from purgatory_sync.node.relay import client_messages
from purgatory_sync.node.relay.outbox import MAX_MESSAGES
from purgatory_sync.node.relay.relay import (
    LAST_WORDS_SECS,
    MAX_CHARS_IN_LOOP,
    MAX_INVALID_IN_A_ROW,
    PAGE_BYTES,
    Relay,
)
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.log_capture import capture_logs

from ..support import read_until, served, text_frame, upgraded
from .relay_support import MemoryBackend, in_place, make_event, plain, talking


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


async def test_publish_ask_and_hear_what_is_new(autojump_clock: trio.testing.MockClock) -> None:
    backend = MemoryBackend()
    first, second = make_event(1), make_event(2)
    async with talking(backend) as alice, talking(backend) as bob:
        alice.say("EVENT", plain(first))
        assert await alice.hear() == ["OK", first.id, True, ""]
        bob.say("REQ", "s", {"kinds": [1]})
        assert await bob.hear() == ["EVENT", "s", plain(first)]
        assert await bob.hear() == ["EOSE", "s"]
        alice.say("EVENT", plain(second))
        assert await alice.hear() == ["OK", second.id, True, ""]
        assert await bob.hear() == ["EVENT", "s", plain(second)]
        bob.say("CLOSE", "s")
        bob.say("CLOSE", "never opened")
        await trio.sleep(1)
        backend.serve(make_event(3))
        await trio.sleep(1)
        assert bob.heard_nothing_more()
        assert alice.heard_nothing_more()


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (666, "blocked: not here"),
        (667, "error: the relay failed to judge this event: send it again later"),
    ],
)
async def test_refused_events(autojump_clock: trio.testing.MockClock, kind: int, why: str) -> None:
    event = make_event(1, kind=kind)
    with capture_logs():
        async with talking(MemoryBackend()) as client:
            client.say("EVENT", plain(event))
            assert await client.hear() == ["OK", event.id, False, why]


async def test_nonsense_is_answered_and_the_connection_lives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(MemoryBackend()) as client:
        for raw in ("{", b"\x00", "[1]", '["EVENT",{}]'):
            client.say_raw(raw)
            name, sentence = await client.hear()
            assert name == "NOTICE"
            assert sentence.startswith("invalid: ")
        client.say("REQ", "s", {})
        assert await client.hear() == ["EOSE", "s"]


async def test_nothing_but_nonsense_is_closed_at_last(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with talking(MemoryBackend()) as client:
        for _ in range(MAX_INVALID_IN_A_ROW - 1):
            client.say_raw("{")
        client.say("CLOSE", "s")
        for _ in range(MAX_INVALID_IN_A_ROW - 1):
            client.say_raw("{")
        await trio.sleep(1)
        assert client.closed is None
        client.say_raw("{")
        await trio.sleep(1)
        assert client.closed == (1008, "too many malformed messages")


async def test_b_10_1_subscriptions_are_limited_and_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    async with talking(backend, RelaySettings(max_subscriptions=2)) as client:
        for name in ("a", "b"):
            client.say("REQ", name, {})
            assert await client.hear() == ["EOSE", name]
        client.say("REQ", "c", {})
        why = "rate-limited: at most 2 subscriptions a connection: close one first"
        assert await client.hear() == ["CLOSED", "c", why]
        client.say("REQ", "b", {"kinds": [2]})
        assert await client.hear() == ["EOSE", "b"]
        assert len(backend.subscriptions) == 2
        backend.serve(make_event(1))
        assert (await client.hear())[1] == "a"
        backend.serve(make_event(2, kind=2))
        assert {(await client.hear())[1] for _ in range(2)} == {"a", "b"}


async def test_b_10_1_limit_reaches_the_backend(autojump_clock: trio.testing.MockClock) -> None:
    backend = MemoryBackend()
    for number in range(5):
        backend.serve(make_event(number))
    async with talking(backend, RelaySettings(max_limit=3)) as client:
        client.say("REQ", "s", {})
        heard = [(await client.hear())[0] for _ in range(4)]
    assert heard == ["EVENT", "EVENT", "EVENT", "EOSE"]


async def test_b_10_1_nip_45_count_is_not_bounded_by_the_limit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    for number in range(5):
        backend.serve(make_event(number, kind=number % 2))
    async with talking(backend, RelaySettings(max_limit=3)) as client:
        client.say("COUNT", "n", {"kinds": [0], "limit": 1}, {"kinds": [1]})
        assert await client.hear() == ["COUNT", "n", {"count": 5}]
        client.say("COUNT", "none", {"kinds": [7]})
        assert await client.hear() == ["COUNT", "none", {"count": 0}]
        assert len(backend.subscriptions) == 0


async def test_b_10_1_nip_45_what_is_not_counted_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with capture_logs():
        async with talking(MemoryBackend(), RelaySettings(max_filters=1)) as client:
            client.say("COUNT", "n", {}, {})
            why = "invalid: 1 to 1 filters are asked for at once: split it"
            assert await client.hear() == ["CLOSED", "n", why]
            client.say("COUNT", "n", {"kinds": [667]})
            why = "error: the relay failed to look this up: ask again later"
            assert await client.hear() == ["CLOSED", "n", why]


async def test_b_10_1_so_many_events_a_minute_on_each_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    settings = RelaySettings(events_per_minute=2)
    first, second, third = (make_event(number) for number in range(3))
    async with talking(backend, settings) as hasty, talking(backend, settings) as other:
        hasty.say("EVENT", plain(first))
        assert (await hasty.hear())[2]
        await trio.sleep(10)
        hasty.say("EVENT", plain(second))
        assert (await hasty.hear())[2]
        await trio.sleep(20.5)
        hasty.say("EVENT", plain(third))
        why = "rate-limited: at most 2 events a minute: wait 30 s"
        assert await hasty.hear() == ["OK", third.id, False, why]
        assert backend.events == [second, first]
        other.say("EVENT", plain(third))
        assert (await other.hear())[2]
        await trio.sleep(30)
        hasty.say("EVENT", plain(first))
        assert (await hasty.hear())[2]


async def test_b_10_1_no_limit_of_events_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    async with talking(MemoryBackend(), RelaySettings(events_per_minute=0)) as client:
        for _ in range(700):
            client.say("EVENT", plain(make_event(1)))
            assert (await client.hear())[2]


@pytest.mark.parametrize("question", ["REQ", "COUNT"])
@pytest.mark.parametrize("wanted", [{"kinds": "none"}, {"kinds": [667]}])
async def test_nip_01_what_is_called_closed_is_closed(
    autojump_clock: trio.testing.MockClock, question: str, wanted: dict[str, object]
) -> None:
    backend = MemoryBackend()
    with capture_logs():
        async with talking(backend) as client:
            client.say("REQ", "s", {})
            assert await client.hear() == ["EOSE", "s"]
            client.say(question, "s", wanted)
            assert (await client.hear())[:2] == ["CLOSED", "s"]
            assert len(backend.subscriptions) == 0
            backend.serve(make_event(1))
            await trio.sleep(1)
            assert client.heard_nothing_more()


async def test_query_that_fails_closes_the_subscription(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    with capture_logs():
        async with talking(backend) as client:
            client.say("REQ", "s", {"kinds": [667]})
            why = "error: the relay failed to look this up: ask again later"
            assert await client.hear() == ["CLOSED", "s", why]
            assert len(backend.subscriptions) == 0


async def test_b_10_1_questions_that_are_too_much_work_are_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    with capture_logs() as logs:
        async with talking(backend) as client:
            for question in ("REQ", "COUNT"):
                client.say(question, "s", {"kinds": [668]})
                assert await client.hear() == ["CLOSED", "s", "error: this is too much"]
            client.say("NEG-OPEN", "n", {"kinds": [668]}, "61")
            why = "blocked: this query is too big: narrow it"
            assert await client.hear() == ["NEG-ERR", "n", why]
            assert len(backend.subscriptions) == 0
    assert logs == []


@pytest.mark.parametrize("moment", ["before_query", "after_query"])
async def test_event_served_during_the_query_comes_once(
    autojump_clock: trio.testing.MockClock, moment: str
) -> None:
    backend = MemoryBackend()
    backend.serve(make_event(1))

    async def serve() -> None:
        backend.serve(make_event(2))
        await trio.sleep(1)

    setattr(backend, moment, serve)
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        heard = [await client.hear() for _ in range(3)]
        await trio.sleep(1)
        assert client.heard_nothing_more()
    ids = [message[2]["id"] for message in heard if message[0] == "EVENT"]
    assert sorted(ids) == sorted([make_event(1).id, make_event(2).id])


async def test_slow_client_gets_all_stored_events_at_its_pace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.events = [make_event(number) for number in range(300)]
    async with talking(backend, room=0) as client:
        client.say("REQ", "s", {})
        for number in range(300):
            await trio.sleep(1)
            assert (await client.hear())[2]["tags"] == [["t", str(number)]]
        assert await client.hear() == ["EOSE", "s"]


async def test_client_that_does_not_read_is_dropped_and_delays_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    event = make_event(1)
    async with talking(backend, room=0) as stuck, talking(backend) as brisk:
        for client in (stuck, brisk):
            client.say("REQ", "s", {})
            assert await client.hear() == ["EOSE", "s"]
        for _ in range(MAX_MESSAGES + 100):
            backend.serve(event)
            assert (await brisk.hear())[0] == "EVENT"
        await trio.sleep(1)
        heard = []
        with trio.move_on_after(1):
            while True:
                heard.append((await stuck.hear())[0])
        assert set(heard) == {"EVENT"}  # what was on its way
        assert len(heard) < 100
        assert stuck.closed == (1008, "too slow: reconnect and ask again for what is new")
        assert len(backend.subscriptions) == 1


async def test_client_that_never_reads_again_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    async with talking(backend, room=0) as stuck:
        stuck.say("REQ", "s", {})
        await stuck.hear()
        for number in range(MAX_MESSAGES + 100):
            backend.serve(make_event(number))
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert len(backend.subscriptions) == 0
        await trio.sleep(LAST_WORDS_SECS - 0.1)
        assert stuck.closed is None
        await trio.sleep(0.2)
        assert stuck.closed == (1008, "too slow: reconnect and ask again for what is new")


async def test_big_stored_events_are_read_few_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.events = [make_event(number, content="x" * 100_000) for number in range(50)]
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        heard = [(await client.hear())[0] for _ in range(51)]
    assert heard == ["EVENT"] * 50 + ["EOSE"]
    assert sum(backend.loaded) == 50
    assert max(backend.loaded) <= PAGE_BYTES // 100_000


async def test_small_stored_events_are_read_many_at_a_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.events = [make_event(number) for number in range(300)]
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        assert [(await client.hear())[0] for _ in range(301)][-1] == "EOSE"
    assert backend.loaded == [8, 292]


async def test_question_of_a_client_that_was_dropped_ends_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()

    ended: list[float] = []

    async def last_long() -> None:
        for number in range(MAX_MESSAGES + 100):
            backend.serve(make_event(number))
        try:
            await trio.sleep(3600)
        finally:
            ended.append(trio.current_time())

    async with talking(backend, room=0) as client:
        client.say("REQ", "never read", {})
        await trio.sleep(1)
        backend.before_query = last_long
        client.say("REQ", "s", {})
        await trio.sleep(5)
        assert ended == [1]
        assert client.closed == (1008, "too slow: reconnect and ask again for what is new")


@pytest.mark.parametrize(
    "question", [["REQ", "s", {}], ["COUNT", "s", {}], ["NEG-OPEN", "s", {}, "61"]]
)
async def test_question_of_a_client_that_left_ends_at_once_and_its_events_count(
    autojump_clock: trio.testing.MockClock, question: list[object]
) -> None:
    backend = MemoryBackend()
    asked: list[float] = []

    async def last_long() -> None:
        asked.append(trio.current_time())
        await trio.sleep(3600)

    backend.before_query = last_long
    event = make_event(1)
    async with talking(backend) as client:
        for _ in range(3):
            client.say(*question)
        client.say("EVENT", plain(event))
        await trio.sleep(1)
        client.leave()
        await trio.sleep(1)
        assert backend.events == [event]
    assert asked == [0]
    assert trio.current_time() < 10


async def test_text_of_a_question_is_not_kept_while_it_is_answered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    kept: list[int] = []

    async def look() -> None:
        kept.append(tracemalloc.get_traced_memory()[0])

    backend.before_query = look
    async with in_place(), talking(backend) as client:
        client.say("REQ", "s", {})
        assert await client.hear() == ["EOSE", "s"]
        with traced():
            await client._to_relay.send('["REQ","s",{}' + " " * (1 << 20) + "]")
            assert await client.hear() == ["EOSE", "s"]
    assert kept[1] < 1 << 19


async def test_events_of_a_client_that_leaves_at_once_count(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = MemoryBackend()
    backend.before_offer = partial(trio.sleep, 1)
    published = [make_event(number) for number in range(5)]
    async with talking(backend) as client:
        client.say("REQ", "s", {})
        for event in published:
            client.say("EVENT", plain(event))
        client.leave()
    assert backend.events == published[::-1]
    assert len(published) <= trio.current_time() < 10


@pytest.mark.real
async def test_long_messages_are_read_beside_the_loop_and_short_ones_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_loop: list[bool] = []
    parse = client_messages.parse_message

    def noting(raw: str | bytes, max_filters: int) -> client_messages.Message:
        in_loop.append(threading.current_thread() is threading.main_thread())
        return parse(raw, max_filters)

    monkeypatch.setattr(client_messages, "parse_message", noting)
    async with talking(MemoryBackend()) as client:
        for size in (MAX_CHARS_IN_LOOP // 2, 2 * MAX_CHARS_IN_LOOP):
            client.say("REQ", "s", {"#t": ["x" * size]})
            assert await client.hear() == ["EOSE", "s"]
        client.say("REQ", "s", {"#t": ["x" * 2 * MAX_CHARS_IN_LOOP, 1]})
        assert (await client.hear())[:2] == ["CLOSED", "s"]
    assert in_loop == [True, False, False]


@pytest.mark.real
async def test_over_a_real_socket() -> None:
    backend = MemoryBackend()
    relay = Relay(backend, backend.subscriptions, RelaySettings())
    event = make_event(1, content="ü\n\u2028" * 1000)
    async with served(websocket=relay.serve, real=True) as place:
        async with connect(f"ws://127.0.0.1:{place.port}/", proxy=None) as client:
            await client.send(json.dumps(["REQ", "s", {"authors": [event.pubkey]}]))
            assert json.loads(await client.recv()) == ["EOSE", "s"]
            await client.send(json.dumps(["EVENT", plain(event)]))
            heard = [json.loads(await client.recv()) for _ in range(2)]
            assert sorted(heard, key=str) == [
                ["EVENT", "s", plain(event)],
                ["OK", event.id, True, ""],
            ]
            await client.send(b"\x00")
            assert json.loads(await client.recv())[0] == "NOTICE"
        with trio.fail_after(5):
            while len(backend.subscriptions):  # noqa: ASYNC110 - until the server has noticed
                await trio.sleep(0.01)


@pytest.mark.real
async def test_client_that_never_reads_a_real_socket_ends() -> None:
    backend = MemoryBackend()
    relay = Relay(backend, backend.subscriptions, RelaySettings())
    event = make_event(1, content="x" * 100_000)
    async with served(websocket=relay.serve, real=True) as place, await upgraded(place) as stream:
        await stream.send_all(text_frame(b'["REQ","s",{}]'))
        await read_until(stream, b"EOSE")
        for _ in range(1000):
            backend.serve(event)
            await trio.lowlevel.checkpoint()
        assert len(backend.subscriptions) == 0
