"""Pushes byte by byte: what is answered to which request (B 2.7, 6.3-6.6)."""

from __future__ import annotations

import gzip
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import attrs
import httpx
import pytest
import trio

from purgatory_sync.errors import PushRefused
from purgatory_sync.node.git_http import client_pace
from purgatory_sync.node.git_http.receive_pack_http import GitPush
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.http import server_stream
from purgatory_sync.node.http.exchange import Exchange
from purgatory_sync.settings import PushSettings

from ..support import nothing_hosted, served
from .git_support import ENVIRONMENT, git
from .push_support import MAIN, OWNER, RECEIVE, ZERO, Home, home_in

pytestmark = pytest.mark.real


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with home_in(tmp_path) as home:
        yield home


def pkt(line: bytes) -> bytes:
    return b"%04x" % (len(line) + 4) + line


@attrs.frozen
class Raw:
    """HTTP by hand."""

    home: Home
    http: httpx.AsyncClient

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, path: str = "git-receive-pack"
    ) -> httpx.Response:
        return await self.http.post(
            f"{self.home.url}/{path}", content=body, headers=headers or RECEIVE
        )


@pytest.fixture
async def raw(home: Home) -> AsyncIterator[Raw]:
    async with httpx.AsyncClient(trust_env=False) as http:
        yield Raw(home, http)


async def test_b_6_1_info_refs(raw: Raw) -> None:
    url = f"{raw.home.url}/info/refs?service=git-receive-pack"
    for name in (url, url.replace("repo.git", "repo")):
        answer = await raw.http.get(name)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-git-receive-pack-advertisement"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"].startswith("no-cache")
        assert answer.content.startswith(b"001f# service=git-receive-pack\n0000")
        assert f"{ZERO} capabilities^{{}}\0report-status".encode() in answer.content
    assert (await raw.http.head(url)).content == b""
    assert (await raw.http.get(url.replace("repo", "none"))).status_code == 404
    assert (await raw.http.post(url)).status_code == 405


async def test_b_6_5_the_probe(raw: Raw) -> None:
    answer = await raw.post(b"0000")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-git-receive-pack-result"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", b"the request ends before its commands do"),
        (b"00", b"the request ends before its commands do"),
        (b"0000PACK", b"the request holds no command"),
        (pkt(b"shallow " + b"a" * 40) + b"0000", b"the request holds no command"),
        (pkt(b"push-cert\0x") + b"0000", b"signed pushes are not taken"),
        (pkt(b"rm -rf") + b"0000", b"not `old new ref`"),
        (b"GET / HTTP/1.1", b"malformed"),
    ],
)
async def test_b_6_6_what_is_no_push_is_refused_with_200_and_err(
    raw: Raw, body: bytes, reason: bytes
) -> None:
    answer = await raw.post(body)
    assert answer.status_code == 200
    assert answer.content[4:8] == b"ERR "
    assert reason in answer.content
    assert int(answer.content[:4], 16) == len(answer.content)


async def test_b_6_5_gzip_chunked_and_a_report_without_side_band(raw: Raw) -> None:
    body = pkt(f"{ZERO} {ZERO} {MAIN}\0report-status".encode()) + b"0000"
    wanted = b"000eunpack ok\n0017ok refs/heads/main\n0000"
    zipped = gzip.compress(body)
    assert (await raw.post(body)).content == wanted

    async def pieces() -> AsyncIterator[bytes]:
        for byte in zipped:
            yield bytes([byte])

    headers = {**RECEIVE, "content-encoding": "gzip"}
    for content in (zipped, pieces()):
        answer = await raw.http.post(
            f"{raw.home.url}/git-receive-pack", content=content, headers=headers
        )
        assert (answer.status_code, answer.content) == (200, wanted)


@pytest.mark.parametrize("side_band", [False, True])
async def test_b_6_5_a_full_report_of_what_is_there_or_gone_already(
    home: Home, raw: Raw, side_band: bool
) -> None:
    tip = home.commit("a")
    await home.state(MAIN)
    await home.push("main")
    caps = "report-status side-band-64k agent=x" if side_band else "report-status"
    lines = [
        f"{ZERO} {tip} {MAIN}\0{caps}",  # a stale old: it was made already
        f"{tip} {ZERO} refs/heads/gone",  # never was there
        f"{ZERO} {ZERO} refs/tags/none",
    ]
    body = b"".join(pkt(line.encode()) for line in lines) + b"0000"
    report = b"".join(
        pkt(line)
        for line in (
            b"unpack ok\n",
            b"ok refs/heads/main\n",
            b"ok refs/heads/gone\n",
            b"ok refs/tags/none\n",
        )
    )
    report += b"0000"
    wanted = pkt(b"\1" + report) + b"0000" if side_band else report
    empty_pack = b"PACK\0\0\0\2\0\0\0\0" + bytes.fromhex("029d08823bd8a8eab510ad6ac75c823cfd3ed31e")
    for pack in (b"", empty_pack, b"anything"):
        assert (await raw.post(body + pack)).content == wanted
    assert home.refs() == {MAIN: tip}


async def test_b_6_6_who_sends_far_too_much_reads_the_reason(tmp_path: Path) -> None:
    async with home_in(tmp_path, PushSettings(max_pack_bytes=1000)) as home:
        tip = home.commit("a")
        await home.state(MAIN)
        body = pkt(f"{ZERO} {tip} {MAIN}\0report-status".encode()) + b"0000"
        body += random.Random(1).randbytes(2000) + bytes(40 << 20)
        async with httpx.AsyncClient(trust_env=False) as http:
            for more, content in (({}, body), ({"content-encoding": "gzip"}, gzip.compress(body))):
                answer = await http.post(
                    f"{home.url}/git-receive-pack", content=content, headers={**RECEIVE, **more}
                )
                assert answer.status_code == 200
                assert b"ERR the pack " in answer.content


async def test_b_6_6_a_refusal_waits_for_who_still_sends(
    home: Home, raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        server_stream, "LINGER_SECS", 0
    )  # else it is heard out for two seconds anyway
    ended = False

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal ended
        yield pkt(f"{ZERO} {'1' * 40} {MAIN}\0report-status".encode()) + b"0000"
        for _ in range(40):
            yield bytes(64 << 10)
            await trio.sleep(0.01)
        ended = True

    url = f"{home.url}/git-receive-pack"
    answer = await raw.http.post(url, content=pieces(), headers=RECEIVE)
    assert b"ERR no state event" in answer.content
    assert ended


async def test_pushes_are_counted(home: Home, raw: Raw) -> None:
    tip = home.commit("a")
    await home.state(MAIN)
    await raw.post(b"0000")
    await home.push("main")
    await raw.post(b"nonsense")
    host, _, port = home.address.partition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        path = home.url.partition(home.address)[2]
        await stream.send_all(
            f"POST {path}/git-receive-pack HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
            f"Content-Type: {RECEIVE['content-type']}\r\n\r\n00".encode()
        )
    await trio.sleep(0.1)
    counted = (await raw.http.get(f"http://{home.address}/metrics")).text.splitlines()
    for result in ("accepted", "refused", "broken"):
        assert f'purgatory_pushes_total{{result="{result}"}} 1.0' in counted
    sums = dict(line.split() for line in counted if line.startswith("purgatory_push_"))
    assert float(sums["purgatory_push_bytes_total"]) > 200
    assert 0 < float(sums["purgatory_push_seconds_total"]) < 60
    assert home.refs() == {MAIN: tip}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda h: {}, 415),
        (lambda h: {"content-type": f"{h['content-type']}; charset=x"}, 415),
        (lambda h: {**h, "content-encoding": "br"}, 415),
        (lambda h: {**h, "content-encoding": "gzip"}, 400),
    ],
)
async def test_b_6_1_requests_that_are_none(
    raw: Raw, change: Callable[[dict[str, str]], dict[str, str]], status: int
) -> None:
    answer = await raw.http.post(
        f"{raw.home.url}/git-receive-pack", content=b"0000", headers=change(RECEIVE)
    )
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_b_6_1_not_hosted_and_other_methods(raw: Raw) -> None:
    other = raw.home.url.replace("repo.git", "none.git")
    assert (await raw.http.post(f"{other}/git-receive-pack", headers=RECEIVE)).status_code == 404
    assert (await raw.http.get(f"{raw.home.url}/git-receive-pack")).status_code == 405
    refs = f"{raw.home.url}/info/refs?service=git-receive-pack"
    assert (await raw.http.request("GET", refs, content=b"x")).status_code == 400
    options = await raw.http.options(f"{raw.home.url}/git-receive-pack")
    assert (options.status_code, options.content) == (204, b"")


class SoftlyExpired:
    """The engine while the announcement has no repository."""

    async def refs(self, npub: str, identifier: str) -> dict[str, str] | None:
        return {} if identifier == "repo" else None

    def waiting(self, npub: str, identifier: str) -> AbstractContextManager[None]:
        return nullcontext()

    async def receive(self, *anything: object) -> None:
        raise PushRefused("not now")


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_b_2_7_a_softly_expired_repository_is_an_empty_one(
    tmp_path: Path, version: int
) -> None:
    routes = GitEndpoint(nothing_hosted, 1, GitPush(SoftlyExpired(), 1))

    async def http(exchange: Exchange) -> None:
        await routes.answer(exchange)

    async with served(http, real=True) as place:
        url = f"http://127.0.0.1:{place.port}/{OWNER.npub}"
        with trio.fail_after(30):
            await trio.run_process(
                ["git", "-c", f"protocol.version={version}", "clone", "-q", f"{url}/repo.git",
                 str(tmp_path / "copy")],
                env=ENVIRONMENT,
            )  # fmt: skip
        assert git("-C", tmp_path / "copy", "for-each-ref") == ""
        async with httpx.AsyncClient(trust_env=False) as http_client:
            for service, status in (("upload", 200), ("receive", 200), ("other", 403)):
                query = f"info/refs?service=git-{service}-pack"
                assert (await http_client.get(f"{url}/repo/{query}")).status_code == status
                assert (await http_client.get(f"{url}/none/{query}")).status_code == 404


async def test_b_6_7_a_push_that_drips_holds_up_no_other(home: Home) -> None:
    home.commit("a")
    event = await home.state(MAIN)
    tip = git("-C", home.tree, "rev-parse", "main")
    commands = pkt(f"{ZERO} {tip} {MAIN}\0report-status".encode()) + b"0000"
    slow = trio.Event()

    async def drips() -> AsyncIterator[bytes]:
        yield commands + b"PACK"
        await slow.wait()
        yield b"no pack"

    async with httpx.AsyncClient(trust_env=False) as http, trio.open_nursery() as nursery:

        async def push() -> None:
            answer = await http.post(
                f"{home.url}/git-receive-pack", content=drips(), headers=RECEIVE
            )
            assert b"ERR the pack is refused" in answer.content

        nursery.start_soon(push)
        await home.push("main")
        assert await home.relay.has(event.id)
        slow.set()
    assert home.refs() == {MAIN: tip}


async def pushing(home: Home, commands: bytes) -> trio.SocketStream:
    """A client's stream that has sent this much of a long push."""
    host, _, port = home.address.partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    path = home.url.partition(home.address)[2]
    await stream.send_all(
        f"POST {path}/git-receive-pack HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n"
        f"Content-Type: {RECEIVE['content-type']}\r\n\r\n".encode()
        + commands
    )
    await trio.sleep(0.1)
    return stream


async def test_b_6_7_a_push_that_drips_gives_its_place_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_pace, "JUDGED_SECS", 0.5)
    settings = PushSettings(max_concurrent=1, min_bytes_per_sec=100_000)
    async with home_in(tmp_path, settings) as home:
        tip = home.commit("a")
        event = await home.state(MAIN)
        async with (
            await pushing(home, b"") as silent,
            await pushing(home, b"0035shallow ") as drips,
            trio.open_nursery() as nursery,
        ):
            for _ in range(10):  # no other is there: it may take its time
                await drips.send_all(b"0")
                await trio.sleep(0.1)
            nursery.start_soon(home.push, "main")
            with pytest.raises(trio.BrokenResourceError):  # noqa: PT012
                while True:
                    await drips.send_all(b"0")
                    await trio.sleep(0.1)
            await silent.send_all(b"0000")
        assert await home.relay.has(event.id)
        assert home.refs() == {MAIN: tip}
