"""Every hostile client ends its own connection and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import connect

from purgatory_sync.errors import ConfigurationError
from purgatory_sync.node.http import listener
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.node.http.listener import Listener
from purgatory_sync.settings import ListenerSettings
from purgatory_sync.testing.log_capture import capture_logs

from ..support import Served, echo, hello, read_to_end, read_until, served, talk

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"

CASES = {
    # name: (request, status, or None where the connection just ends)
    "nonsense": (b"\x00\xff\x16\x03\x01 nonsense\r\n\r\n", 400),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "folded header then junk": (b"GET / HTTP/1.1\r\nHost: a\r\n\x00: b\r\n\r\n", 400),
    "null in value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
    "target of 8 bits": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "head too large": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000, 431),
    "endless request line": (b"GET /" + b"a" * 40000, 431),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "length of words": (POST + b"Content-Length: many\r\n\r\n", 400),
    "unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "endless chunk size": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 40000, 431),
    "upgrade without key": (UPGRADE + b"\r\n", 400),
    "upgrade, bad key": (UPGRADE + KEY.replace(b"dGhl", b"!!!!") + b"\r\n", 400),
    "upgrade, old version": (UPGRADE + KEY.replace(b"13", b"8") + b"\r\n", 400),
    "upgrade with body": (UPGRADE + KEY + b"Content-Length: 3\r\n\r\nabc", 400),
    "upgrade with body to come": (UPGRADE + KEY + b"Content-Length: 9\r\n\r\n", 400),
    "upgrade, chunked": (UPGRADE + KEY + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "upgrade, early frames": (UPGRADE + KEY + b"\r\n\x81\x05hello", 400),
    "upgrade, 8-bit protocol": (UPGRADE + KEY + b"Sec-WebSocket-Protocol: \xff\r\n\r\n", 400),
    "upgrade, bad extension": (UPGRADE + KEY + b"Sec-WebSocket-Extensions: \xff;=\r\n\r\n", 400),
    "upgrade, endless extension": (
        UPGRADE + KEY + b"Sec-WebSocket-Extensions: " + b"x, " * 3000 + b"y\r\n\r\n",
        431,
    ),
    "head too large, in one piece": (
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 20000 + b"\r\n\r\n",
        431,
    ),
    "upgrade by POST": (UPGRADE.replace(b"GET", b"POST") + KEY + b"\r\n", 405),
    "upgrade by HTTP/1.0": (UPGRADE.replace(b"/1.1", b"/1.0") + KEY + b"\r\n", 505),
}


@contextmanager
def no_tracebacks() -> Iterator[None]:
    with capture_logs() as logs:
        yield
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize("case", CASES)
async def test_hostile_request_is_refused_and_the_next_client_served(
    case: str, autojump_clock: trio.testing.MockClock
) -> None:
    request, status = CASES[case]
    with no_tracebacks():
        async with served() as place:
            answer = await talk(place, request)
            head = answer.partition(b"\r\n\r\n")[0].lower()
            assert head.startswith(b"http/1.1 %d " % status), answer
            assert b"access-control-allow-origin: *" in head
            assert (await talk(place, LAST)).endswith(b"/x 0")


async def test_answers_in_order_on_one_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with served() as place:
        answer = await talk(place, GET + POST + b"Content-Length: 3\r\n\r\nabc" + LAST)
    assert [line for line in answer.split(b"\r\n") if b"/x" in line] == [
        b"/x 0HTTP/1.1 200 ",
        b"/x 3HTTP/1.1 200 ",
        b"/x 0",
    ]


async def test_head_of_a_request_has_its_time(autojump_clock: trio.testing.MockClock) -> None:
    async with served(settings=ListenerSettings(head_timeout_secs=10)) as place:
        for sent in (b"", b"GET / HT", GET):
            start = trio.current_time()
            async with await place.connect() as stream:
                await stream.send_all(sent)
                await read_to_end(stream)
            # Two more seconds are the peer's to end its side.
            assert trio.current_time() - start == pytest.approx(10)


async def test_a_header_every_few_seconds_gains_no_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = ListenerSettings(head_timeout_secs=10)
    async with served(settings=settings) as place, await place.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - until it is noticed
            while True:
                await trio.sleep(3)
                await stream.send_all(b"X: y\r\n")
        assert trio.current_time() == pytest.approx(12)


async def test_body_that_stalls_ends_the_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with served(settings=ListenerSettings(body_timeout_secs=7)) as place:
        answer = await talk(place, POST + b"Content-Length: 9\r\n\r\nabc")
        assert answer == b""
        assert trio.current_time() == pytest.approx(7)


async def test_body_cut_short_is_a_bad_request(autojump_clock: trio.testing.MockClock) -> None:
    async with served() as place, await place.connect() as stream:
        await stream.send_all(POST + b"Content-Length: 9\r\n\r\nabc")
        await stream.send_eof()
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 400 ")


async def test_body_is_asked_for_when_it_is_held_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with served() as place, await place.connect() as stream:
        await stream.send_all(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await stream.send_all(b"abc")
        assert (await read_until(stream, b"/x 3")).startswith(b"HTTP/1.1 200 ")


async def test_body_that_is_held_back_and_not_wanted_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.respond(413)

    async with served(refuse) as place:
        began = trio.current_time()
        answer = await talk(place, POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()
        assert trio.current_time() == began


@pytest.mark.real
async def test_peer_that_takes_nothing_loses_its_connection() -> None:
    ended = trio.Event()

    async def flood(exchange: Exchange) -> None:
        await exchange.start(200, [])
        try:
            while True:
                await exchange.write(bytes(1 << 20))
        finally:
            ended.set()

    settings = ListenerSettings(send_timeout_secs=0.1)
    async with served(flood, settings=settings, real=True) as place, await place.connect() as one:
        await one.send_all(GET)
        with trio.fail_after(20):
            await ended.wait()


async def test_route_that_fails_answers_500(autojump_clock: trio.testing.MockClock) -> None:
    async def fail(exchange: Exchange) -> None:
        if exchange.path == "/x":
            raise RuntimeError("a bug")

    with capture_logs() as logs:
        async with served(fail) as place:
            answer = await talk(place, GET)
            silent = await talk(place, LAST.replace(b"/x", b"/silent"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"\r\naccess-control-allow-origin: *\r\n") == 1
    assert silent.startswith(b"HTTP/1.1 500 ")
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["request failed"]


async def test_b_6_1_an_upgrade_by_post_is_told_what_is_allowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with served() as place:
        answer = await talk(place, UPGRADE.replace(b"GET", b"POST") + KEY + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.lower().count(b"\r\nallow: get\r\n") == 1
        assert b"\r\naccess-control-allow-origin: *\r\n" in answer.lower()


async def test_connections_of_all_are_limited(autojump_clock: trio.testing.MockClock) -> None:
    async with served(settings=ListenerSettings(max_connections=2)) as place:
        first, second = await place.connect(), await place.connect()
        await trio.testing.wait_all_tasks_blocked()
        answer = await talk(place, LAST)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"access-control-allow-origin: *" in answer
        await first.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert (await talk(place, LAST)).startswith(b"HTTP/1.1 200 ")
        await second.aclose()


@pytest.mark.real
async def test_connections_of_one_address_are_limited() -> None:
    settings = ListenerSettings(max_connections_per_address=1)
    async with served(settings=settings, real=True) as place, await place.connect() as stream:
        await stream.send_all(GET)
        await read_until(stream, b"/x 0")
        assert (await talk(place, LAST)).startswith(b"HTTP/1.1 503 ")


async def turned_away(place: Served) -> bytes:
    """What a client is told that has sent all before it is listened to."""
    client = socket.create_connection(("127.0.0.1", place.port))
    client.sendall(POST + b"Content-Length: 100000\r\n\r\n" + bytes(100_000))
    client.setblocking(False)
    answer = b""
    with trio.fail_after(20):
        async with trio.SocketStream(trio.socket.from_stdlib_socket(client)) as stream:
            async for piece in stream:
                answer += piece
    return answer


@pytest.mark.real
async def test_a_client_without_a_place_hears_why_although_its_request_is_not_read() -> None:
    settings = ListenerSettings(max_connections=1)
    async with served(settings=settings, real=True) as place, await place.connect() as stream:
        await stream.send_all(GET)
        await read_until(stream, b"/x 0")
        for _ in range(3):
            assert (await turned_away(place)).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize(("pause_secs", "secs"), [(0.1, 1.0), (0.0, 0.0)])
async def test_a_client_without_a_place_is_listened_to_shortly(
    pause_secs: float, secs: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with served(settings=ListenerSettings(max_connections=1)) as place:
        await place.connect()
        await trio.testing.wait_all_tasks_blocked()
        began, client = trio.current_time(), await place.connect()
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 - it is closed some time
            while trio.current_time() < began + 10:
                await client.send_all(bytes(65536))
                await trio.sleep(pause_secs)
        assert (await read_to_end(client)).startswith(b"HTTP/1.1 503 ")
        assert trio.current_time() - began == pytest.approx(secs, abs=0.2)


async def test_not_more_are_listened_to_without_a_place_than_there_is_room_for(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_TURNED_AWAY", 2)
    async with served(settings=ListenerSettings(max_connections=1)) as place:
        crowd = [await place.connect() for _ in range(4)]
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BrokenResourceError):
            await crowd[3].send_all(b"x")
        for client in crowd[:3]:
            await client.send_all(b"x")
        assert (await read_to_end(crowd[3])).startswith(b"HTTP/1.1 503 ")


@pytest.mark.real
async def test_stop_closes_idle_ones_finishes_requests_and_tells_sockets() -> None:
    release = trio.Event()

    async def slow(exchange: Exchange) -> None:
        await release.wait()
        await hello(exchange)

    async with served(slow, real=True) as place, await place.connect() as idle:
        busy = await place.connect()
        await busy.send_all(GET)
        async with connect(f"ws://127.0.0.1:{place.port}/", proxy=None) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"
            place.stop.set()
            with pytest.raises(ConnectionClosed) as closed, trio.fail_after(5):
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert await read_to_end(idle) == b""
        release.set()
        assert (await read_to_end(busy)).endswith(b"/x 0")
        with pytest.raises(OSError, match="connect"):
            await place.connect()
        await busy.aclose()


async def test_stop_waits_no_longer_than_the_grace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never(exchange: Exchange) -> None:
        await trio.sleep_forever()

    settings = ListenerSettings(shutdown_grace_secs=5)
    async with served(never, settings=settings) as place, await place.connect() as stream:
        await stream.send_all(GET)
        await trio.sleep(1)
        place.stop.set()
        assert await read_to_end(stream) == b""
        assert trio.current_time() == pytest.approx(6)


@pytest.mark.real
async def test_port_in_use_is_a_sentence() -> None:
    async with served(real=True) as place:
        listener = Listener(hello, echo, ListenerSettings(), 1)
        with pytest.raises(ConfigurationError, match="in use by another process: stop it, or set"):
            await listener.serve("127.0.0.1", place.port, trio.Event())


@pytest.mark.real
async def test_address_of_another_machine_is_a_sentence() -> None:
    listener = Listener(hello, echo, ListenerSettings(), 1)
    with pytest.raises(ConfigurationError, match=r"cannot listen on 192\.0\.2\.1:0 .*set NGIT_"):
        await listener.serve("192.0.2.1", 0, trio.Event())


async def test_absolute_target_is_read_like_a_path(autojump_clock: trio.testing.MockClock) -> None:
    async with served() as place:
        for target, path in (
            (b"HTTP://a:1/x?y", b"/x"),
            (b"http://a", b"/"),
            (b"http://a?y", b"/"),
            (b"/x/http://a/y", b"/x/http://a/y"),
        ):
            answer = await talk(place, LAST.replace(b"/x", target))
            assert answer.endswith(b"\r\n\r\n" + path + b" 0")


@pytest.mark.parametrize(
    "more", [b"Cookie: " + b"c" * 12_000 + b"\r\n", b"X: y\r\n" * 500], ids=["long", "many"]
)
async def test_upgrade_with_all_the_headers_that_a_browser_may_send(
    autojump_clock: trio.testing.MockClock, more: bytes
) -> None:
    async with served() as place, await place.connect() as stream:
        await stream.send_all(UPGRADE + KEY + more + b"\r\n")
        assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")


async def test_upgrade_elsewhere_is_an_ordinary_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with served() as place, await place.connect() as stream:
        await stream.send_all(UPGRADE.replace(b" / ", b" /x ") + KEY + b"\r\n")
        assert (await read_until(stream, b"/x 0")).startswith(b"HTTP/1.1 200 ")


async def test_peer_that_leaves_is_noticed_while_the_answer_is_made(
    autojump_clock: trio.testing.MockClock,
) -> None:
    noticed: list[float] = []

    async def wait(exchange: Exchange) -> None:
        await exchange.wait_gone()
        noticed.append(trio.current_time())
        await exchange.respond(200)

    async with served(wait) as place, await place.connect() as stream:
        await stream.send_all(GET)
        await trio.sleep(3)
        await stream.aclose()
        await trio.sleep(1)
    assert noticed == [pytest.approx(3)]
