"""Raw sockets against a whole node: each ends its own connection, and nothing of it stays."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from purgatory_sync.node import websocket, wire
from purgatory_sync.node.exchange import Exchange
from purgatory_sync.node.websocket import Socket

from .hostile_support import (
    BLOB_BYTES,
    INFO,
    MAX_CONNECTIONS,
    MAX_MESSAGE_BYTES,
    MAX_PER_ADDRESS,
    PATIENCE_SECS,
    REPOSITORY,
    Victim,
    flood,
    frame,
    get,
    post,
    prepared,
    read_to_end,
    read_until,
    reset,
    running,
    wait_until,
)
from .support import hello, served, talk, upgraded
from .support import read_to_end as read_all
from .test_listener import CASES as MALFORMED
from .test_listener import POST

pytestmark = pytest.mark.real

Attack = Callable[[Victim], socket.socket]
Judge = Callable[[socket.socket], None]

UPLOAD = post("git-upload-pack")
RECEIVE = post("git-receive-pack")
GET = b"GET /purgatory.json HTTP/1.1\r\nHost: a\r\n"
REFS = REPOSITORY + "/info/refs?service=git-upload-pack"
PUSH = b"0000000000000000000000000000000000000000 %b refs/nostr/%b\0report-status" % (
    b"1" * 40,
    b"2" * 64,
)
PUSH = b"%04x%b0000" % (len(PUSH) + 4, PUSH)
LIE = b"0032want "
LAST = b"Connection: close\r\n"
NARROW_REQ = frame(b'["REQ","s",{"kinds":[10317]}]')


@attrs.frozen
class Case:
    """What somebody does, and what becomes of it; in between others are served."""

    attack: Attack
    judge: Judge


def sends(*pieces: bytes) -> Attack:
    def attack(victim: Victim) -> socket.socket:
        return victim.dial(b"".join(pieces))

    return attack


def frames(*pieces: bytes, deflate: bool = False) -> Attack:
    def attack(victim: Victim) -> socket.socket:
        client = victim.upgraded(deflate=deflate)
        flood(client, b"".join(pieces), 1)
        return client

    return attack


def answers(*statuses: int, ends: bytes = b"") -> Judge:
    def judge(client: socket.socket) -> None:
        answer = read_to_end(client)
        got = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        # A status line that follows a body without a line's end.
        assert answer.count(b"HTTP/1.1 ") == len(statuses), answer[:2000]
        assert got == list(statuses) or len(statuses) > 1, answer[:2000]
        finals = answer.count(b"access-control-allow-origin: *")
        assert finals == len([status for status in statuses if status >= 200])
        assert answer.endswith(ends)

    return judge


def closes(code: int) -> Judge:
    def judge(client: socket.socket) -> None:
        said = read_to_end(client)
        assert said[:1] == b"\x88", said
        assert int.from_bytes(said[2:4], "big") == code

    return judge


def ends_in_time(client: socket.socket) -> None:
    """The other side has so much patience and no more."""
    began = time.monotonic()
    read_to_end(client)
    assert time.monotonic() - began < PATIENCE_SECS + 2.5


def gives_up(client: socket.socket) -> None:
    """Who takes nothing for so long does not get the rest, even when reading at last."""
    time.sleep(PATIENCE_SECS + 0.5)
    assert len(read_to_end(client)) < BLOB_BYTES


def leaves(client: socket.socket) -> None:
    reset(client)


def one_byte_at_a_time(data: bytes) -> Attack:
    def attack(victim: Victim) -> socket.socket:
        client = victim.dial()

        def drip() -> None:
            with suppress(OSError):
                for byte in data:
                    client.sendall(bytes([byte]))
                    time.sleep(0.2)

        threading.Thread(target=drip, daemon=True).start()
        return client

    return attack


def served_head(victim: Victim) -> bytes:
    with victim.dial(get(REFS)) as client:
        return read_to_end(client).split(b" HEAD\0")[0][-40:]


def clone_unread(victim: Victim) -> socket.socket:
    """Ask for everything and take nothing."""
    want = b"0032want %b\n00000009done\n" % served_head(victim)
    client = victim.dial(UPLOAD + b"Content-Length: %d\r\n\r\n%b" % (len(want), want), narrow=True)
    wait_until(victim.git_children, "no git serves")
    return client


def push_half(victim: Victim) -> socket.socket:
    """Half a pack that is large enough for git to be asked while it comes."""
    half = PUSH + victim.pack[: BLOB_BYTES // 2]
    return victim.dial(RECEIVE + b"Content-Length: %d\r\n\r\n%b" % (2 * BLOB_BYTES, half))


def ping_flood(victim: Victim) -> socket.socket:
    client = victim.upgraded(narrow=True)
    flood(client, frame(b"x" * 125, 0x89) * 100, 64 << 20)
    return client


def endless(victim: Victim, piece: bytes) -> socket.socket:
    client = victim.upgraded()
    flood(client, frame(b"[", 0x01) + frame(piece, 0x00) * 200, 1)
    flood(client, frame(piece, 0x00) * 1000, 2 << 20)
    return client


def stops_reading(victim: Victim) -> socket.socket:
    client = victim.upgraded(narrow=True)
    flood(client, NARROW_REQ * 200, 1)
    return client


def pipelines_unread(victim: Victim) -> socket.socket:
    client = victim.dial(narrow=True)
    flood(client, (GET + b"\r\n") * 50, 1 << 20)
    return client


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]


def gzip_bomb(victim: Victim) -> socket.socket:
    """Few bytes that become many, each line of which git takes."""
    lines = (b"0400ref-prefix " + b"x" * 1009) * ((33 << 20) // 1024)
    body = gzip.compress(b"0014command=ls-refs\n0001" + lines)
    headers = (
        LAST
        + b"Git-Protocol: version=2\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    return victim.dial(UPLOAD + headers + body)


CASES: dict[str, Case] = {
    # A request for git in place of one that nobody reads the body of.
    **{
        name: Case(sends(request.replace(POST, UPLOAD)), answers(status))
        for name, (request, status) in MALFORMED.items()
    },
    "folded header": Case(sends(GET, b"X: a\r\n b\r\nConnection: close\r\n\r\n"), answers(200)),
    "lines that end in LF alone": Case(
        sends(GET.replace(b"\r", b""), b"Connection: close\n\n"), answers(200)
    ),
    "header of 8 bits": Case(sends(GET, b"X: \xff\xfe\r\nConnection: close\r\n\r\n"), answers(200)),
    "header name of 8 bits": Case(sends(GET, b"X\xff: a\r\n\r\n"), answers(400)),
    "the same header twice": Case(
        sends(GET, b"Accept: a\r\nAccept: b\r\nConnection: close\r\n\r\n"), answers(200)
    ),
    "length and chunks": Case(
        sends(UPLOAD, b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", INFO),
        answers(400),
    ),
    "chunked twice": Case(
        sends(UPLOAD, b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), answers(501)
    ),
    "chunk of 2^64 bytes": Case(
        sends(UPLOAD, b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), leaves
    ),
    "length beyond every number": Case(
        sends(UPLOAD, b"Content-Length: %b\r\n\r\n" % (b"9" * 50)), answers(400)
    ),
    "pipelined": Case(sends(GET, b"\r\n", GET, b"\r\n", INFO), answers(200, 200, 200)),
    "pipelined without end, unread": Case(pipelines_unread, gives_up),
    "HEAD": Case(sends(INFO.replace(b"GET", b"HEAD")), answers(200, ends=b"\r\n\r\n")),
    "HEAD of what is not here": Case(
        sends(get("/nothing").replace(b"GET", b"HEAD")), answers(404, ends=b"\r\n\r\n")
    ),
    "HTTP/1.0": Case(sends(b"GET /purgatory.json HTTP/1.0\r\n\r\n"), answers(200, ends=b"}")),
    "HTTP/1.0 that would stay": Case(
        sends(b"GET /purgatory.json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        answers(200, ends=b"}"),
    ),
    "HTTP/2 preface": Case(sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), answers(505)),
    "Expect, and the body at once": Case(
        sends(UPLOAD, LAST, b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nzzzz"),
        answers(100, 400),
    ),
    "Expect, and no body": Case(
        sends(UPLOAD, b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"), ends_in_time
    ),
    "Expect, where nobody wants the body": Case(
        sends(
            UPLOAD.replace(b"repo", b"none"),
            LAST,
            b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n",
        ),
        answers(404),
    ),
    "Expect of something else": Case(
        sends(GET, b"Expect: 42\r\nConnection: close\r\n\r\n"), answers(200)
    ),
    "says nothing": Case(sends(b""), ends_in_time),
    "half a head": Case(sends(b"GET / HTTP/1.1\r\nHo"), ends_in_time),
    "half a head, one byte at a time": Case(
        one_byte_at_a_time(GET + b"X: " + b"y" * 1000), ends_in_time
    ),
    "half a body": Case(sends(UPLOAD, b"Content-Length: 900\r\n\r\n", LIE), ends_in_time),
    "reset inside a head": Case(sends(b"GET / HTTP/1.1\r\nHo"), leaves),
    "reset inside a body": Case(sends(UPLOAD, b"Content-Length: 900\r\n\r\n", LIE), leaves),
    "reset inside a chunk": Case(
        sends(UPLOAD, b"Transfer-Encoding: chunked\r\n\r\n9\r\n", LIE[:5]), leaves
    ),
    "reset inside a pack of ours": Case(clone_unread, leaves),
    "reset inside a pack for us": Case(push_half, leaves),
    "half a pack for us": Case(push_half, ends_in_time),
    "reader of a pack that stops": Case(clone_unread, gives_up),
    "bomb of gzip": Case(gzip_bomb, answers(413)),
    # WebSockets.
    "unmasked frame": Case(frames(b"\x81\x05hello"), closes(1002)),
    "reserved bits": Case(frames(b"\xb1\x80abcd"), closes(1002)),
    "unknown opcode": Case(frames(b"\x83\x80abcd"), closes(1002)),
    "ping too long": Case(frames(b"\x89\xfe\x00\x80abcd", bytes(128)), closes(1002)),
    "ping in fragments": Case(frames(b"\x09\x80abcd"), closes(1002)),
    "continuation of nothing": Case(frames(b"\x80\x80abcd"), closes(1002)),
    "text inside a text": Case(frames(frame(b"a", 0x01), frame(b"b")), closes(1002)),
    "text that is no UTF-8": Case(frames(frame(b"\xff\xff")), closes(1007)),
    "half a character": Case(frames(frame(b"\xc3")), closes(1007)),
    "frame of 2^62 bytes": Case(frames(b"\x81\xff\x40", bytes(7), b"abcd"), closes(1009)),
    "frame of 2^63 bytes": Case(frames(b"\x81\xff\x80", bytes(7), b"abcd"), closes(1009)),
    "message too long": Case(frames(frame(b"x" * (MAX_MESSAGE_BYTES + 1))), closes(1009)),
    "close code of one byte": Case(frames(frame(b"a", 0x88)), closes(1002)),
    "close code that is none": Case(frames(frame(b"\x03\xee", 0x88)), closes(1002)),
    "close reason that is no UTF-8": Case(frames(frame(b"\x03\xe8\xff", 0x88)), closes(1007)),
    "endless fragments": Case(lambda victim: endless(victim, b"x" * 1000), closes(1009)),
    "endless empty fragments": Case(lambda victim: endless(victim, b""), closes(1009)),
    "bomb of deflate": Case(
        frames(frame(deflated(bytes(64 << 20)), 0xC1), deflate=True), closes(1009)
    ),
    "deflate that is none": Case(
        frames(frame(b"\xff\xff\xff\xff", 0xC1), deflate=True), closes(1002)
    ),
    "reset inside a frame": Case(frames(b"\x81\xfe\x01\x00abcd", b"half"), leaves),
    "reset inside the handshake": Case(
        sends(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), leaves
    ),
    "ping flood, unread": Case(ping_flood, gives_up),
    "reader of events that stops": Case(stops_reading, gives_up),
}


# Whoever is not answered and sent away at once.
STAYING = (leaves, ends_in_time, gives_up)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("node")
    return folder, prepared(folder)


@pytest.fixture(scope="module")
def victim(data: tuple[Path, bytes]) -> Iterator[Victim]:
    folder, pack = data
    with running(Victim(folder, pack=pack)) as victim:
        yield victim


@pytest.mark.parametrize("name", CASES)
def test_hostile_client_ends_itself_and_nothing_else(victim: Victim, name: str) -> None:
    client = CASES[name].attack(victim)
    with client:
        victim.serves_others()
        CASES[name].judge(client)
    victim.is_unharmed()


def refused_as_busy(victim: Victim, source: str) -> bool:
    """Whether a newcomer is sent away."""
    with victim.dial(INFO, source=source) as client:
        answer = read_to_end(client)
    assert answer.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 200 ")), answer[:100]
    return answer.startswith(b"HTTP/1.1 503 ")


def test_more_connections_than_one_address_may_have(victim: Victim) -> None:
    # WebSockets: half a head would have to be sent by all of them within the node's patience.
    crowd = [victim.upgraded() for _ in range(MAX_PER_ADDRESS)]
    assert refused_as_busy(victim, "127.0.0.1")
    victim.serves_others()
    for client in crowd:
        client.close()
    victim.is_unharmed()
    victim.serves_others("127.0.0.1")


def test_more_connections_than_all_may_have(victim: Victim) -> None:
    crowd = [
        victim.upgraded(source=f"127.0.0.{1 + number % 2}") for number in range(MAX_CONNECTIONS)
    ]
    assert refused_as_busy(victim, "127.0.0.9")
    for client in crowd:
        client.close()
    wait_until(lambda: not refused_as_busy(victim, "127.0.0.9"), "they keep their places")
    victim.is_unharmed()


def test_file_descriptors_used_up(victim: Victim) -> None:
    before = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    with victim.dial() as known:
        known.sendall(GET + b"\r\n")
        read_until(known, b"}")
        limit = len(os.listdir(f"/proc/{victim.pid}/fd")) + 20
        resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
        crowd = [victim.dial(b"GET / HTTP/1.1\r\n") for _ in range(40)]
        wait_until(lambda: "no file descriptors" in victim.said(), victim.said)
        known.sendall(get(REFS))
        assert read_to_end(known).startswith(b"HTTP/1.1 503 ")
        time.sleep(0.3)
        for client in crowd:
            client.close()
    victim.serves_others()
    assert victim.said().count("descriptors") == 1
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, before)
    victim.is_unharmed()


@pytest.mark.parametrize("signals", [1, 2], ids=["graceful stop", "cancelled"])
def test_stop_while_all_of_them_are_connected(
    data: tuple[Path, bytes], tmp_path: Path, signals: int
) -> None:
    folder, pack = data
    no_sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(folder / "data", tmp_path / "data", ignore=no_sockets)
    with running(Victim(tmp_path, pack=pack, patience_secs=60)) as victim:
        clients = [case.attack(victim) for case in CASES.values() if case.judge in STAYING]
        victim.serves_others()
        for _ in range(signals):
            victim.signal(signal.SIGTERM)
            time.sleep(0.05)
        assert victim.wait(10) == 0
        for client in clients:
            read_to_end(client)
            client.close()
        wait_until(lambda: not victim.git_children(), victim.git_children)
        assert "Traceback" not in victim.said()


async def test_client_that_never_answers_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PING_SECS", "CLOSE_TIMEOUT_SECS"):
        monkeypatch.setattr(websocket, name, 0.2)
    monkeypatch.setattr(wire, "LINGER_SECS", 0.1)
    async with served(real=True) as place:
        descriptors = len(os.listdir("/proc/self/fd"))
        async with await upgraded(place) as silent, await upgraded(place) as other:
            said = await read_all(silent)
            assert said[:2] == b"\x89\x04"
            assert b"\x03\xf3keepalive ping timeout" in said
            await other.send_all(b"\x88\x80" + bytes(4))
        assert (await talk(place, get("/x"))).endswith(b"/x 0")
        await trio.to_thread.run_sync(
            wait_until, lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "sockets are open"
        )


async def fail(path: str) -> None:
    """As a bug does: at once, or in a task beside."""

    async def bug() -> None:
        raise RuntimeError("a bug")

    if "child" not in path:
        await bug()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(bug)
        if "both" in path:
            nursery.start_soon(bug)


async def http_with_bugs(exchange: Exchange) -> None:
    if exchange.path == "/x":
        await hello(exchange)
        return
    if "late" in exchange.path:
        await exchange.start(200, [(b"content-length", b"9")])
        await exchange.write(b"half")
    await fail(exchange.path)


async def websocket_with_bugs(socket: Socket) -> None:
    message = str(await socket.receive())
    if message == "hello":
        await socket.send(message.encode())
    else:
        await fail(message)


@pytest.mark.parametrize("where", ["handler", "child", "child both"])
async def test_exceptions_in_handlers_and_their_child_tasks(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LINGER_SECS", 0.1)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_SECS", 0.1)
    path = where.replace(" ", "-").encode()
    with capture_logs() as logs:
        async with served(http_with_bugs, websocket_with_bugs, real=True) as place:
            descriptors = len(os.listdir("/proc/self/fd"))
            request = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
            assert (await talk(place, request % path)).startswith(b"HTTP/1.1 500 ")
            assert (await talk(place, request % (b"late-" + path))).endswith(b"\r\n\r\nhalf")
            async with await upgraded(place) as stream:
                await stream.send_all(frame(path))
                assert (await read_all(stream))[:4] == b"\x88\x02\x03\xf3"  # 1011
            assert (
                await talk(place, request.replace(b"Host", b"Connection: close\r\nHost") % b"x")
            ).endswith(b"/x 0")
            async with await upgraded(place) as stream:
                await stream.send_all(frame(b"hello"))
                assert (await read_all(stream)).startswith(b"\x81\x05hello")
            assert len(os.listdir("/proc/self/fd")) == descriptors
    said = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert said == ["request failed", "request failed", "connection failed"]
