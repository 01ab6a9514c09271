"""Anything that strangers send: no traceback, no 5xx by mistake, and the next one is served."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import PushRefused
from purgatory_sync.node.git_http.receive_pack_http import GitPush
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.operator.metrics import Metrics, MetricsSnapshot
from purgatory_sync.node.relay.relay import Relay
from purgatory_sync.node.routes import App
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.log_capture import capture_logs

from .pages.support import make_pages
from .relay.relay_support import KEY, MemoryBackend
from .relay.test_nip11 import make_info
from .support import Served, nothing_hosted, read_until, served, talk, text_frame, upgraded

LAST = b"GET /purgatory.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
# Not implemented (an unknown transfer coding), and a version of HTTP that is not spoken.
MEANT = {501, 505}
REPOSITORY = f"/{KEY.npub}/repo.git".encode()

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"M-SEARCH"])
PATHS = st.sampled_from(
    [
        b"/",
        b"//",
        b"/metrics",
        b"/purgatory",
        b"*",
        b"/%2e%2e/x.git",
        b"/%ff%00.git",
        REPOSITORY,
        REPOSITORY + b"/info/refs?service=git-upload-pack",
        REPOSITORY + b"/info/refs?service=git-receive-pack",
        REPOSITORY + b"/git-upload-pack",
        REPOSITORY + b"/git-receive-pack",
    ]
) | st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(
    lambda path: b"/" + path.encode()
)
UNFRAMED = [
    b"Content-Encoding: gzip",
    b"Content-Type: application/x-git-upload-pack-request",
    b"Content-Type: application/x-git-receive-pack-request",
    b"Accept: text/html",
    b"Accept: application/nostr+json",
    b"Expect: 100-continue",
    b"Git-Protocol: version=2",
    b"Accept: \xff, text/html",
]
GOOD_HEADERS = st.sampled_from(
    [
        *UNFRAMED,
        b"Content-Length: 4",
        b"Transfer-Encoding: chunked",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
)
BAD_HEADERS = st.binary(max_size=12) | st.sampled_from(
    [b"Content-Length: 99999999999999999999", b"Transfer-Encoding: gzip", b" folded", b"Host: b"]
)
HEADERS = st.lists(GOOD_HEADERS, max_size=4, unique=True) | st.lists(
    GOOD_HEADERS | BAD_HEADERS, max_size=5
)
COMMAND = b"%b %b refs/heads/main\0report-status side-band-64k agent=x" % (b"0" * 40, b"1" * 40)
BODIES = st.sampled_from(
    [
        b"",
        b"0000",
        b"4\r\n0000\r\n0\r\n\r\n",
        b"0009done\n",
        b"%04x%b0000" % (len(COMMAND) + 4, COMMAND),
    ]
) | st.binary(max_size=40)


def request(method: bytes, path: bytes, headers: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: a", *headers, b"", body])


WELL_FORMED = st.builds(
    lambda method, path, headers, body: request(
        method, path, [*headers, b"Content-Length: %d" % len(body)], body
    ),
    METHODS,
    PATHS,
    st.lists(st.sampled_from(UNFRAMED), max_size=3, unique=True),
    BODIES,
)
REQUESTS = (
    WELL_FORMED | st.builds(request, METHODS, PATHS, HEADERS, BODIES) | st.binary(max_size=80)
)

# Text, binary, their continuations, close, ping, pong; then what no client may send.
FIRST_BYTES = st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A]) | st.integers(
    0, 255
)
SAID = st.sampled_from(
    [
        b'["REQ","s",{}]',
        b'["COUNT","s",{}]',
        b'["CLOSE","s"]',
        b'["EVENT",{}]',
        b'["AUTH",{}]',
        b'["NEG-OPEN","n",{},"6100000200"]',
        b'["NEG-MSG","n","61"]',
        b'["NEG-CLOSE","n"]',
        b"[",
        b"\xff",
    ]
)
FRAMES = (
    SAID.map(text_frame)
    | st.builds(
        lambda first, payload: bytes([first, 0x80 | len(payload)]) + bytes(4) + payload,
        FIRST_BYTES,
        SAID | st.binary(max_size=40),
    )
    | st.binary(min_size=1, max_size=20)
)


def in_a_world_of_its_own(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in virtual time; what it logs as an error or warning fails it."""
    with capture_logs() as logs:
        trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [each for each in logs if each["log_level"] in ("warning", "error")] == []


async def send_and_leave(place: Served, data: bytes) -> bytes:
    """Send what fits, say that no more comes, and read what the other side has to say."""
    async with await place.connect() as stream:
        await stream.send_all(data)
        await stream.send_eof()
        return await read_until(stream, b"\x00never\x00")


# Templates and metrics are made once: they know nothing of a request.
PAGES, METRICS = make_pages(), Metrics(MetricsSnapshot)


class Pushes:
    """Hosts every repository, reads every push and takes none."""

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str]:
        return {"refs/heads/main": "1" * 40}

    def waiting(self, npub: str, identifier: str) -> AbstractContextManager[None]:
        return nullcontext()

    async def receive(
        self,
        npub: str,
        identifier: str,
        changes: Mapping[str, str | None],
        read: Callable[[], Awaitable[bytes]],
    ) -> None:
        while await read():
            pass
        raise PushRefused("not here")


@settings(max_examples=60, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=3))
def test_any_bytes_as_http_requests(requests: list[bytes]) -> None:
    git = GitEndpoint(nothing_hosted, 1, GitPush(Pushes(), 1 << 20))
    app = App(make_info, git, PAGES, METRICS)

    async def test() -> None:
        async with served(app.answer) as place:
            answer = await send_and_leave(place, b"".join(requests))
            statuses = [int(s) for s in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, re.MULTILINE)]
            assert [each for each in statuses if each >= 500 and each not in MEANT] == []
            assert (await talk(place, LAST)).startswith(b"HTTP/1.1 200 ")

    in_a_world_of_its_own(test)


@settings(max_examples=40, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_any_bytes_as_frames_to_the_relay(frames: list[bytes]) -> None:
    backend = MemoryBackend()
    relay = Relay(backend, backend.subscriptions, RelaySettings())

    async def test() -> None:
        async with served(websocket=relay.serve) as place, await upgraded(place) as other:
            async with await upgraded(place) as stream:
                await stream.send_all(b"".join(frames))
                await stream.send_eof()
                await read_until(stream, b"\x00never\x00")
            await other.send_all(text_frame(b'["REQ","still here",{}]'))
            assert b'["EOSE","still here"]' in await read_until(other, b"EOSE")
            await trio.sleep(5)
            assert len(backend.subscriptions) <= 1  # the other's

    in_a_world_of_its_own(test)
