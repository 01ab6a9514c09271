"""Git servers reached by an embedder's transport, and what httpx may not add to a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import trio

from purgatory_sync.errors import (
    AttemptFailed,
    ConnectFailed,
    NotGit,
    ProtocolBroken,
    RedirectRefused,
    TimedOut,
)
from purgatory_sync.git.fetch.client import GitClient
from purgatory_sync.git.fetch.observer import SilentObserver
from purgatory_sync.runtime.blocking import blocking_in_place
from purgatory_sync.runtime.net.gate import Gate
from purgatory_sync.settings import HuntSettings

from ..local_repos import history, new_repository
from ..scripted import RESULT, Reply, Seen, err, pack_of, v2_pack, world

URL = "https://git.example/a.git"
STEP = history(1)[0]
PACK = v2_pack(pack_of(STEP.objects)).body
HEADERS = {"Content-Type": RESULT}

Handler = Callable[[httpx.Request], httpx.Response]


class Contacts(SilentObserver):
    count = 0

    def contacted(self) -> None:
        self.count += 1


async def fetch(tmp: Path, handler: Handler, observer: SilentObserver | None = None) -> int:
    """Objects that came."""
    transport = httpx.MockTransport(handler)
    settings = HuntSettings(min_free_bytes=0, connect_timeout_secs=3, idle_timeout_secs=7)
    with blocking_in_place():
        async with GitClient(settings, Gate(), tmp / "tmp", transport=transport) as client:
            repository = new_repository(tmp)
            brought = await client.fetch_oids(repository, URL, [STEP.oid], observer)
            return len(brought.obtained)


async def test_objects_come_by_it_and_it_is_told_our_time_outs(tmp_path: Path) -> None:
    seen = []

    def server(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, headers=HEADERS, content=PACK)

    observer = Contacts()
    assert await fetch(tmp_path, server, observer) == 1
    (request,) = seen
    assert request.extensions == {
        "timeout": {"connect": 3, "read": 7, "write": 7, "pool": None},
    }
    assert request.headers["accept-encoding"] == "identity"
    assert observer.count == 1


class Breaks(httpx.AsyncByteStream):
    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PACK[:20]
        raise self._error


@pytest.mark.parametrize("within_the_body", [False, True])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ReadTimeout("slow"), TimedOut),
        (httpx.ConnectTimeout("slow"), TimedOut),
        (httpx.ConnectError("no"), ConnectFailed),
        (httpx.ReadError("cut"), ConnectFailed),
        (httpx.RemoteProtocolError("what"), ProtocolBroken),
        (httpx.UnsupportedProtocol(""), ConnectFailed),
    ],
)
async def test_errors_of_httpx_become_ours(
    tmp_path: Path, error: Exception, expected: type[AttemptFailed], within_the_body: bool
) -> None:
    def server(_request: httpx.Request) -> httpx.Response:
        if within_the_body:
            return httpx.Response(200, headers=HEADERS, stream=Breaks(error))
        raise error

    with pytest.raises(AttemptFailed) as failed:
        await fetch(tmp_path, server)
    if within_the_body and expected is ProtocolBroken:
        expected = NotGit  # it was asked another way then
    assert type(failed.value) is expected


async def test_an_answer_of_the_other_kind_of_httpx_is_no_crash(tmp_path: Path) -> None:
    class Sync(httpx.SyncByteStream):
        pass

    with pytest.raises(ConnectFailed, match="asynchronously"):
        await fetch(tmp_path, lambda _: httpx.Response(200, headers=HEADERS, stream=Sync()))


async def test_it_is_closed_with_the_client(tmp_path: Path) -> None:
    class Transport(httpx.MockTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport = Transport(lambda _: httpx.Response(404))
    async with GitClient(HuntSettings(), Gate(), tmp_path, transport=transport):
        assert not transport.closed
    assert transport.closed


async def test_a_redirect_of_it_is_judged_by_us(tmp_path: Path) -> None:
    def server(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://127.0.0.1/a.git/info/refs"})

    with pytest.raises(RedirectRefused):
        await fetch(tmp_path, server)


async def test_no_cookie_of_a_server_comes_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with world(tmp_path / "tmp") as place:

        def answer(_seen: Seen) -> Reply:
            told = err("upload-pack: not our ref " + STEP.oid)
            return Reply(told.body, headers=(("set-cookie", "a=b; Path=/; Max-Age=999"),))

        place.answer = answer
        repository = new_repository(tmp_path)
        for _ in range(2):
            with pytest.raises(AttemptFailed):
                await place.client.fetch_oids(repository, URL.replace("https", "http"), [STEP.oid])
        assert len(place.seen) > 1
        assert all("cookie" not in seen.headers for seen in place.seen)
        assert not list(place.client._http._client.cookies.jar)  # nor does it fill our memory


async def test_nothing_is_taken_from_the_environment(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine git.example login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    async with world(tmp_path / "tmp") as place:
        place.answer = lambda _: v2_pack(pack_of(STEP.objects))
        repository = new_repository(tmp_path)
        await place.client.fetch_oids(repository, URL.replace("https", "http"), [STEP.oid])
        assert {seen.host for seen in place.seen} == {"git.example"}
        assert all("authorization" not in seen.headers for seen in place.seen)
        assert place.contacted == ["8.8.8.8:80"]
