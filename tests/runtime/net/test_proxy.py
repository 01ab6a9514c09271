"""The operator's proxy: what it is asked, and what becomes of one that misbehaves."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from purgatory_sync.errors import (
    AttemptFailed,
    Forbidden,
    NameUnknown,
    NaughtyScope,
    NotReachedByProxy,
    ProxyFailed,
    ResultClass,
)
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import Proxy
from purgatory_sync.testing.log_capture import capture_logs

Serve = Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]
NAMES = {
    "proxy.inside": ["10.0.0.9"],
    "git.example": ["8.8.8.8"],
    "both.example": ["2606:4700::1", "8.8.4.4"],
    "inside.example": ["10.0.0.1"],
}
OK = b"HTTP/1.1 200 OK\r\n\r\n"
SECRET = ("me", "hunter2")
SOCKS_OK = b"\x05\x00\x00\x01" + bytes(6)


@attrs.define(eq=False)
class Net:
    """A proxy whose answers a test writes, one for each connection (the last one stays)."""

    nursery: trio.Nursery
    replies: list[list[bytes]] = attrs.field(factory=list)
    connected: list[str] = attrs.field(factory=list)
    heard: list[bytes] = attrs.field(factory=list)
    open: int = 0
    reachable: bool = True
    secs_between: float = 0.0

    def gate(self, scheme: str = "http", credentials: tuple[str, str] | None = None) -> Gate:
        proxy = Proxy("http" if scheme == "http" else "socks5", "proxy.inside", 3128, credentials)
        return Gate(resolve=self._resolve, connect=self._connect, proxy=proxy)

    async def _resolve(self, host: str) -> list[str]:
        if host not in NAMES:
            raise NameUnknown("the name does not exist")
        return NAMES[host]

    async def _connect(self, address: str, port: int) -> trio.abc.HalfCloseableStream:
        self.connected.append(f"{address}:{port}")
        if not self.reachable:
            raise ConnectionRefusedError
        ours, theirs = trio.testing.memory_stream_pair()
        pieces = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.heard.append(b"")
        self.nursery.start_soon(self._serve, theirs, pieces, len(self.heard) - 1)
        return ours

    async def _serve(
        self, stream: trio.abc.HalfCloseableStream, pieces: list[bytes], number: int
    ) -> None:
        """One piece for each that is heard (after `+` at once), then silence; `-` is the end."""
        self.open += 1
        try:
            async with stream:
                for piece in pieces:
                    if not piece.startswith(b"+"):
                        self.heard[number] += await stream.receive_some()
                    if piece.endswith(b"-"):
                        return
                    await stream.send_all(piece.removeprefix(b"+"))
                    await trio.sleep(self.secs_between)
                while await stream.receive_some():
                    pass
        except trio.BrokenResourceError:
            pass
        finally:
            self.open -= 1


@asynccontextmanager
async def net(*replies: list[bytes]) -> AsyncIterator[Net]:
    async with trio.open_nursery() as nursery:
        yield Net(nursery, list(replies) or [[OK]])
        nursery.cancel_scope.cancel()


async def failure(gate: Gate, host: str = "git.example") -> AttemptFailed:
    with pytest.raises(AttemptFailed) as caught, trio.fail_after(60):
        await gate.open_tcp(host, 443)
    return caught.value


async def test_the_proxy_is_asked_for_the_address_that_was_judged() -> None:
    async with net() as place:
        contacts: list[int] = []
        stream = await place.gate().open_tcp("git.example", 443, lambda: contacts.append(1))
        assert place.connected == ["10.0.0.9:3128"]
        assert place.heard == [b"CONNECT 8.8.8.8:443 HTTP/1.1\r\nHost: 8.8.8.8:443\r\n\r\n"]
        assert contacts == [1]
        assert isinstance(stream, trio.StapledStream)  # none of our streams around it


@pytest.mark.parametrize(
    "granted",
    [
        [b"HTTP/1.0 200 Connection established\r\n\r\n"],
        [b"HTTP/1.0 200 OK\r\nConnection: close\r\nProxy-Agent: x\r\n\r\n"],
        [b"HTTP/1.1 204 Fine\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
        [b"HTTP/1.1 100 Go on\r\n\r\n", b"+HTTP/1.1 200 \r\n\r\n"],
        [b"HTTP/1.1 200", b"+ OK\r\n", b"+\r\n"],
    ],
)
async def test_what_proxies_say_when_they_agree(granted: list[bytes]) -> None:
    async with net([*granted, b"the server's"]) as place:
        stream = await place.gate().open_tcp("git.example", 80)
        await stream.send_all(b"ours")
        assert await stream.receive_some() == b"the server's"
        assert place.heard[0].endswith(b"\r\n\r\nours")


async def test_credentials_go_to_the_proxy() -> None:
    async with net() as place:
        await place.gate(credentials=("me", "sé:cret")).open_tcp("git.example", 80)
        assert b"\r\nProxy-Authorization: Basic bWU6c8OpOmNyZXQ=\r\n" in place.heard[0]


async def test_an_address_of_the_other_family_is_asked_for_next() -> None:
    async with net([b"HTTP/1.1 502 No\r\n\r\n"], [OK]) as place:
        await place.gate().open_tcp("both.example", 80)
        assert [heard.split()[1] for heard in place.heard] == [b"[2606:4700::1]:80", b"8.8.4.4:80"]
        await trio.testing.wait_all_tasks_blocked()
        assert place.open == 1


@pytest.mark.parametrize("host", ["inside.example", "127.0.0.1", "10.0.0.9", "::1"])
async def test_what_is_inside_is_refused_as_without_a_proxy(host: str) -> None:
    async with net() as place:
        error = await failure(place.gate(), host)
        assert type(error) is Forbidden
        assert place.connected == []


async def test_a_name_that_does_not_exist_is_not_asked_for() -> None:
    async with net() as place:
        assert type(await failure(place.gate(), "nowhere.example")) is NameUnknown
        assert place.connected == []


HTTP_FAILURES = {
    "407": ([b"HTTP/1.1 407 Who\r\n\r\n"], ProxyFailed, "does not take our user and password"),
    "403": ([b"HTTP/1.1 403 No\r\n\r\n"], ProxyFailed, r"refuses to connect \(HTTP 403\)"),
    "429": ([b"HTTP/1.1 429 No\r\nretry-after: 9\r\n\r\n"], ProxyFailed, "HTTP 429"),
    "moved": ([b"HTTP/1.1 302 Go\r\nlocation: http://x/\r\n\r\n"], ProxyFailed, "HTTP 302"),
    "502": ([b"HTTP/1.1 502 No\r\n\r\n"], NotReachedByProxy, r"did not reach .*HTTP 502"),
    "503": ([b"HTTP/1.1 503 No\r\nretry-after: 9\r\n\r\n"], NotReachedByProxy, "HTTP 503"),
    "ended": ([b"-"], NotReachedByProxy, "closed without an answer"),
    "half a head": ([b"HTTP/1.1 200 O", b"+-"], ProxyFailed, None),
    "no http": ([b"\x05\xff"], ProxyFailed, "does not speak HTTP/1.1"),
    "more": ([OK + b"HTTP/1.1 200 OK\r\n\r\n"], ProxyFailed, "more than its answer"),
    "huge": ([OK[:-2] + b"x: " + b"y" * 70_000], ProxyFailed, "head is not HTTP/1.1"),
    "endless": (
        [OK[:-2] + b"x: y\r\n", *[b"+" + b"x: y\r\n" * 1000] * 100],
        ProxyFailed,
        "head is not HTTP/1.1",
    ),
    "hints": ([b"HTTP/1.1 100 Go on\r\n\r\n" * 20], ProxyFailed, "no answer to the request"),
    "switched": ([b"HTTP/1.1 101 Go on\r\n\r\n"], ProxyFailed, None),
}
SOCKS5_FAILURES = {
    "no socks": ([b"HTTP/1.1 400 No\r\n\r\n"], ProxyFailed, "speaks no SOCKS5"),
    "ended": ([b"-"], ProxyFailed, "closed the connection"),
    "half an answer": ([b"\x05", b"+-"], ProxyFailed, "closed the connection"),
    "ended when asked": ([b"\x05\x00", b"-"], NotReachedByProxy, "closed the connection"),
    "half a reply": ([b"\x05\x00", b"\x05\x00", b"+-"], NotReachedByProxy, "closed the conn"),
    "half an address": ([b"\x05\x00", SOCKS_OK[:6], b"+-"], NotReachedByProxy, "closed the conn"),
    "no method": ([b"\x05\xff"], ProxyFailed, "wants other credentials"),
    "an unasked method": ([b"\x05\x01"], ProxyFailed, "wants other credentials"),
    "bad password": ([b"\x05\x02", b"\x01\x01"], ProxyFailed, "does not take our user"),
    "not allowed": ([b"\x05\x00", b"\x05\x02\x00\x01"], ProxyFailed, "does not allow it"),
    "refused": ([b"\x05\x00", b"\x05\x05\x00\x01"], NotReachedByProxy, "was refused"),
    "unknown reply": ([b"\x05\x00", b"\x05\x63\x00\x01"], NotReachedByProxy, "reply 99"),
    "another version": ([b"\x05\x00", b"\x04\x00\x00\x01"], ProxyFailed, "speaks no SOCKS5"),
    "no address": ([b"\x05\x00", b"\x05\x00\x00\x09"], ProxyFailed, "speaks no SOCKS5"),
}
FAILURES = [
    *(("http", name, *each) for name, each in HTTP_FAILURES.items()),
    *(("socks5", name, *each) for name, each in SOCKS5_FAILURES.items()),
]


@pytest.mark.parametrize(("scheme", "name", "reply", "expected", "words"), FAILURES)
async def test_a_bad_proxy_is_never_the_servers_fault(
    scheme: str,
    name: str,
    reply: list[bytes],
    expected: type[ProxyFailed],
    words: str | None,
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with net(reply) as place:
        with capture_logs() as logs, pytest.raises(AttemptFailed, match=words) as caught:
            await place.gate(scheme, SECRET).open_tcp("git.example", 443)
        error = caught.value
        assert type(error) is expected
        assert error.naughty is NaughtyScope.NONE
        assert error.result in (ResultClass.LOCAL, ResultClass.UNREACHABLE)
        assert error.contacted is (expected is NotReachedByProxy)
        told = f"{''.join(traceback.format_exception(error))} {logs}"
        assert "hunter2" not in told
        assert "aHVudGVyMg" not in told
        await trio.testing.wait_all_tasks_blocked()
        assert place.open == 0


@pytest.mark.parametrize("last", ["no", "unreachable"])
async def test_b_8_2_what_one_address_saw_counts_when_the_proxy_refuses_the_next(
    last: str,
) -> None:
    async with net([b"HTTP/1.1 502 No\r\n\r\n"], [b"HTTP/1.1 403 No\r\n\r\n"]) as place:

        async def connect(address: str, port: int) -> trio.abc.HalfCloseableStream:
            place.reachable = last == "no" or not place.connected
            return await place._connect(address, port)

        proxy = Proxy("http", "proxy.inside", 3128)
        error = await failure(
            Gate(resolve=place._resolve, connect=connect, proxy=proxy), "both.example"
        )
        assert type(error) is NotReachedByProxy
        assert error.contacted
        assert len(place.connected) == 2


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_cannot_be_reached(scheme: str) -> None:
    async with net() as place:
        place.reachable = False
        error = await failure(place.gate(scheme))
        assert type(error) is ProxyFailed
        assert not error.contacted
        assert str(error).startswith("no connection to the proxy: ")


async def test_a_proxy_whose_name_does_not_exist_bans_no_server() -> None:
    async with net() as place:
        gate = Gate(resolve=place._resolve, connect=place._connect, proxy=Proxy("http", "no", 1))
        error = await failure(gate)
        assert type(error) is ProxyFailed
        assert error.naughty is NaughtyScope.NONE


@pytest.mark.parametrize(
    ("scheme", "reply"),
    [
        ("http", []),
        ("http", [b"HTTP/1.1 20"]),
        ("http", [b"H", *[b"+" + bytes([byte]) for byte in OK[1:] * 20]]),
        ("http", [b"HTTP/1.1 100 Go on\r\n\r\n", *[b"+HTTP/1.1 100 Go on\r\n\r\n"] * 14]),
        ("socks5", []),
        ("socks5", [b"\x05\x00", b"\x05"]),
        ("socks5", [b"\x05\x00", *[b"+" + bytes([byte]) for byte in SOCKS_OK]]),
    ],
)
async def test_a_proxy_that_hangs_or_drips_has_the_time_for_connecting(
    scheme: str, reply: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    async with net(reply) as place:
        place.secs_between = 3
        started = trio.current_time()
        error = await failure(place.gate(scheme))
        assert type(error) is NotReachedByProxy
        assert trio.current_time() - started == 10
        await trio.sleep(5)
        assert place.open == 0


async def test_a_proxy_that_takes_no_connection_has_the_same_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def hang(address: str, port: int) -> trio.abc.HalfCloseableStream:
        await trio.sleep_forever()
        raise AssertionError

    gate = Gate(networks("8.0.0.0/8"), connect=hang, proxy=Proxy("http", "10.0.0.9", 1))
    started = trio.current_time()
    error = await failure(gate, "8.8.8.8")
    assert type(error) is ProxyFailed
    assert trio.current_time() - started == 10


async def test_a_slow_resolver_has_the_same_time_for_both_names(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def resolve(host: str) -> list[str]:
        await trio.sleep(6)
        return NAMES[host]

    gate = Gate(resolve=resolve, proxy=Proxy("http", "proxy.inside", 1))
    started = trio.current_time()
    assert type(await failure(gate)) is ProxyFailed
    assert trio.current_time() - started == 10


async def test_cancelling_leaves_no_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with net([]) as place:
        with trio.move_on_after(1):
            await place.gate().open_tcp("git.example", 443)
        await trio.testing.wait_all_tasks_blocked()
        assert place.open == 0


@pytest.mark.parametrize("credentials", [None, SECRET])
@pytest.mark.parametrize("bound", [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x03\x02ab"])
async def test_socks5_is_asked_for_the_address_too(
    credentials: tuple[str, str] | None, bound: bytes
) -> None:
    granted = b"\x05\x00\x00" + bound + b"\x00\x50"
    methods = [b"\x05\x02", b"\x01\x00"] if credentials else [b"\x05\x00"]
    async with net([*methods, granted + b"server's"]) as place:
        stream = await place.gate("socks5", credentials).open_tcp("git.example", 443)
        said = b"\x05\x02\x00\x02\x01\x02me\x07hunter2" if credentials else b"\x05\x01\x00"
        assert place.heard == [said + b"\x05\x01\x00\x01\x08\x08\x08\x08\x01\xbb"]
        assert await stream.receive_some() == b"server's"


async def test_socks5_and_ipv6() -> None:
    async with net([b"\x05\x00", b"\x05\x08\x00\x01"], [b"\x05\x00", SOCKS_OK]) as place:
        await place.gate("socks5").open_tcp("both.example", 80)
        assert place.heard[0].endswith(b"\x05\x01\x00\x04\x26\x06\x47" + bytes(12) + b"\x01\x00P")
        assert place.heard[1].endswith(b"\x05\x01\x00\x01\x08\x08\x04\x04\x00P")
