"""What hostile clients send, and what becomes of each."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

import attrs

from .hostile_support import (
    BLOB_BYTES,
    INFO,
    MAX_MESSAGE_BYTES,
    PATIENCE_SECS,
    REPOSITORY,
    Victim,
    flood,
    frame,
    get,
    post,
    read_to_end,
    read_until,
    reset,
    wait_until,
)
from .test_listener import CASES as MALFORMED
from .test_listener import POST

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
CHUNKED, ZERO = b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"
CLOSE = frame(b"\x03\xe8", 0x88)
LAST = b"Connection: close\r\n"
NARROW_REQ = frame(b'["REQ","s",{"kinds":[10317]}]')


@attrs.frozen
class Case:
    """What a client does, and what becomes of it; in between others are served."""

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


def still_speaks(client: socket.socket) -> None:
    """It is answered, after anything that it said before."""
    client.sendall(frame(b'["REQ","alive",{"ids":[]}]'))
    heard = read_until(client, b'["EOSE","alive"]')
    assert b"\x88" not in heard[:1]


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


def many_ids(victim: Victim) -> socket.socket:
    client = victim.upgraded()
    for number in range(60):
        ids = ",".join(f'"{os.urandom(32).hex()}"' for _ in range(3_000))
        client.sendall(frame(b'["REQ","%d",{"ids":[%b]}]' % (number, ids.encode())))
        read_until(client, b'["EOSE","%d"]' % number)
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
    # A request for git in place of one whose body is not read.
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
    "Expect, where the body is not wanted": Case(
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
    "reset inside our pack": Case(clone_unread, leaves),
    "reset inside a pack for us": Case(push_half, leaves),
    "half a pack for us": Case(push_half, ends_in_time),
    "reader of a pack that stops": Case(clone_unread, gives_up),
    "bomb of gzip": Case(gzip_bomb, answers(413)),
    **{
        name: Case(sends(UPLOAD, LAST, headers, b"\r\n", body), answers(status))
        for name, (headers, body, status) in {
            "coding that is nearly chunked": (CHUNKED.replace(b" ch", b" xch"), ZERO, 501),
            "codings in two headers": (CHUNKED + b"Transfer-Encoding: identity\r\n", ZERO, 501),
            "length with a sign": (b"Content-Length: +4\r\n", b"zzzz", 400),
            "length in hex": (b"Content-Length: 0x4\r\n", b"zzzz", 400),
            "length in other digits": ("Content-Length: \u0664\r\n".encode(), b"zzzz", 400),
            "length behind a space": (b"Content-Length : 4\r\n", b"zzzz", 400),
            "length behind a bare CR": (b"X: a\rContent-Length: 4\r\n", b"zzzz", 400),
            "chunk of a negative size": (CHUNKED, b"-1\r\n", 400),
            "chunk in C's hex": (CHUNKED, b"0x4\r\nzzzz\r\n" + ZERO, 400),
            "chunk longer than it says": (CHUNKED, b"4\r\nzzzzzz" + ZERO, 400),
            "chunk extension without end": (CHUNKED, b"4;" + b"a" * 60_000, 431),
            "20,000 chunks of a byte": (CHUNKED, b"1\r\nz\r\n" * 20_000 + ZERO, 400),
            "trailers that look like a head": (
                CHUNKED,
                b"4\r\nzzzz\r\n0\r\nContent-Length: 9\r\nHost: b\r\n\r\n",
                400,
            ),
            "trailers without end": (CHUNKED, b"0\r\n" + b"X: y\r\n" * 20_000, 431),
            "gzip in gzip": (
                b"Content-Encoding: gzip, gzip\r\nContent-Length: 4\r\n",
                b"zzzz",
                415,
            ),
        }.items()
    },
    **{
        name: Case(
            sends(line, b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), answers(status)
        )
        for name, (line, status) in {
            "another host's absolute target": (b"GET http://evil.example/purgatory.json", 200),
            "a tunnel": (b"CONNECT evil.example:443", 404),
            "options of everything": (b"OPTIONS *", 204),
            "a path out of its folder": (b"GET /%ff%2f..%2f..%2fetc/passwd", 404),
            "a method of 9,000 letters": (b"A" * 9_000 + b" /", 405),
        }.items()
    },
    "2,000 headers": Case(sends(GET, LAST, b"a:\r\n" * 2_000, b"\r\n"), answers(200)),
    "a megabyte of empty lines": Case(sends(b"\r\n" * 500_000), answers(400)),
    "lines that end in CR alone": Case(sends(b"GET / HTTP/1.1\rHost: a\r\r"), ends_in_time),
    "a body for a page": Case(
        sends(GET, b"Content-Length: 5000000\r\n\r\n", bytes(5_000_000)), answers(200, ends=b"}")
    ),
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
    "close inside a message": Case(frames(frame(b"a", 0x01), CLOSE), closes(1002)),
    "close code that is not assigned": Case(frames(frame(b"\x13\x88", 0x88)), closes(1002)),
    "frames after a close": Case(frames(CLOSE, NARROW_REQ * 100), closes(1000)),
    "pongs without a ping": Case(frames(frame(b"x" * 100, 0x8A) * 5_000, CLOSE), closes(1000)),
    "reserved bit of a continuation": Case(
        frames(frame(b"a", 0x01), frame(b"b", 0xC0)), closes(1002)
    ),
    "deflated ping": Case(frames(frame(deflated(b"a"), 0xC9), deflate=True), closes(1002)),
    "deflated without agreement": Case(frames(frame(deflated(b"a"), 0xC1)), closes(1002)),
    "half of a pair in UTF-8": Case(frames(frame(b"\xed\xa0\x80")), closes(1007)),
    "some small bombs of deflate": Case(
        frames(frame(deflated(bytes(200 << 10)), 0xC1) * 2, CLOSE, deflate=True), closes(1000)
    ),
    "many small bombs of deflate": Case(
        frames(frame(deflated(bytes(200 << 10)), 0xC1) * 60, CLOSE, deflate=True), closes(1009)
    ),
    **{
        name: Case(frames(*(frame(said) for said in messages)), still_speaks)
        for name, messages in {
            "half of a pair in JSON": [
                b'["REQ","\\ud800",{}]',
                b'["CLOSE","\\ud800"]',
                b'["COUNT","\\ud800",{}]',
                b'["COUNT","\\ud800",{"kinds":1}]',
                b'["NEG-OPEN","\\ud800",{},"61"]',
                b'["NEG-MSG","\\ud800","61"]',
                b'["EVENT",{"id":"\\ud800"}]',
                b'["\\udfff"]',
                b'["REQ","s",{"#t":["\\ud800"],"\\ud800":1}]',
            ],
            "brackets without end": [b"[" * 100_000, b'["REQ","s",' + b'{"a":' * 40_000],
            "numbers without end": [
                b'["REQ","s",{"since":1e999}]',
                b'["REQ","s",{"limit":' + b"9" * 5_000 + b"}]",
                b'["COUNT","s",{"until":9223372036854775807,"since":-1}]',
            ],
            "names that look like others": [
                b'["REQ","\\u0000\\u202e",{"#t":["%","_","\' OR 1=1 --","a\\u0000b"]}]',
                b'["REQ","s",{"ids":["' + b"0" * 64 + b'\\n"]}]',
                '["REQ","s",{"#\u0430":["a"]}]'.encode(),
            ],
            "negentropy that is none": [
                b'["NEG-OPEN","n",{},"%b"]' % said
                for said in (b"", b"61", b"6100", b"ff", b"61" + b"ff" * 9_000, b"6100000200")
            ],
            "proofs that are none": [b'["AUTH",{}]', b'["AUTH","x"]', b'["AUTH",{"id":"x"}]'],
            "a hundred counts": [b'["COUNT","n",{}]'] * 100,
        }.items()
    },
    "64 subscriptions to thousands of ids": Case(many_ids, still_speaks),
    "reset inside a frame": Case(frames(b"\x81\xfe\x01\x00abcd", b"half"), leaves),
    "reset inside the handshake": Case(
        sends(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), leaves
    ),
    "ping flood, unread": Case(ping_flood, gives_up),
    "reader of events that stops": Case(stops_reading, gives_up),
}


# Clients that are not answered and sent away at once.
STAYING = (leaves, ends_in_time, gives_up)
