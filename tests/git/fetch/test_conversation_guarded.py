"""Where attempts never go, under any announcement, name or redirect (N4)."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from purgatory_sync.errors import (
    AttemptFailed,
    Forbidden,
    LocalFailure,
    RateLimited,
    RedirectRefused,
)
from purgatory_sync.testing.log_capture import capture_logs

from ...runtime.net.test_addresses import INSIDE
from ..scripted import Observed, Reply, Seen, World, err, info_v2, redirect, v2_pack, world
from .attempts import GET, PACK, POST, REFS, TIP, URL, failure, moved, smart

SECRET = "hunter2"
ASKED = "info/refs?service=git-upload-pack"
METADATA = "http://169.254.169.254/latest"


def seen_from_outside(error: AttemptFailed) -> tuple[object, ...]:
    return type(error), str(error), error.result, error.naughty, error.contacted


# First URLs


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git.example/a.git",
        "file:///etc/passwd",
        "ext::sh -c id",
        "-uhttp://git.example/a.git",
        "http://user:pw@git.example/a.git",
        "http://git.example/a.git?x=y",
        "http://git.example/%0d%0ax: y",
        "http://git.example/a\n.git",
        "http://git.example/--upload-pack=x",
        "http://inside.example/a.git",
        "http://127.0.0.1/a.git",
        "http://127.1/a.git",
        "http://0x7f000001/a.git",
        "http://[::1]/a.git",
        "https://10.0.0.1/a.git",
    ],
)
async def test_forbidden_urls_are_not_contacted(url: str, repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        observer = Observed()
        with pytest.raises(Forbidden):
            await place.client.fetch_oids(repository, url, [TIP], observer)
        assert observer.log == []
        assert place.connections == 0


async def test_all_forbidden_addresses_look_the_same_from_outside(
    repository: Path, tmp: Path
) -> None:
    """No oracle: whether named, literal or redirected to, in any range."""
    looks = set()
    async with world(tmp) as place:
        for number, address in enumerate(INSIDE):
            literal = f"[{address}]" if ":" in address else address
            name = f"name{number}.example"
            place.names[name] = [["8.8.8.8", address, "2606:4700::1"]]
            for host in (name, literal):
                with capture_logs() as logs:
                    error = await failure(place, repository, f"http://{host}/a.git")
                looks.add(seen_from_outside(error))
                assert [entry["event"] for entry in logs] == ["address refused"]
        assert place.connections == 0
        place.answer = moved("http://name0.example/x")
        looks.add(seen_from_outside(await failure(place, repository)))
    assert len(looks) == 1


async def test_a_second_answer_of_the_resolver_changes_nothing(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = smart(REFS, {TIP}, err("not our ref"))
        place.names["git.example"] = [["8.8.8.8"], ["127.0.0.1"]]
        for _ in range(2):  # several requests, all over the connection that was judged
            await place.client.fetch_oids(repository, URL, [TIP, "12" * 20])
        assert place.contacted == ["8.8.8.8:80"]
        error = await failure(place, repository, "http://git.example:8080/a.git")
        assert isinstance(error, Forbidden)
        assert place.contacted == ["8.8.8.8:80"]


async def test_a_request_that_is_sent_again_is_judged_again(repository: Path, tmp: Path) -> None:
    """The kept connection ended meanwhile, and the name leads inside now."""
    async with world(tmp) as place:
        place.names["git.example"] = [["8.8.8.8"], ["10.0.0.1"]]
        place.answer = lambda seen: (
            v2_pack(PACK) if len(place.seen) < 2 else Reply(raw=b"", then="cut")
        )
        await place.client.fetch_oids(repository, URL, [TIP])
        assert isinstance(await failure(place, repository), Forbidden)
        assert place.contacted == ["8.8.8.8:80"]


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    repository: Path, tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine git.example login me password {SECRET}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    async with world(tmp) as place:
        place.answer = lambda seen: v2_pack(PACK)
        await place.client.fetch_oids(repository, URL, [TIP])
        assert place.contacted == ["8.8.8.8:80"]
        assert "authorization" not in place.seen[0].headers
        assert place.seen[0].target == "/a.git/git-upload-pack"


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_learnt_by_get_and_remembered(
    status: int, repository: Path, tmp: Path
) -> None:
    async with world(tmp) as place:
        place.answer = moved("/moved/a.git", status)
        observer = Observed()
        await place.client.fetch_oids(repository, URL, [TIP], observer)
        there = "git.example/moved/a.git"
        again = f"POST {there}/git-upload-pack"
        assert place.asked == [POST, GET, f"GET {there}/info/refs", again]
        assert observer.log == ["contacted", "answered", "body ended"]
        await place.client.fetch_oids(repository, URL, [TIP])
        assert place.asked[4:] == [again]


async def test_another_domain_is_entered_with_a_place_there(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = moved("http://other.example/b")
        for _ in range(2):
            observer = Observed()
            await place.client.fetch_oids(repository, URL, [TIP], observer)
            assert "redirected other.example" in observer.log
        assert place.asked.count("POST other.example/b/git-upload-pack") == 2


async def test_a_way_back_is_told_too(repository: Path, tmp: Path) -> None:
    """The host that is asked last is the one whose 429 counts (B 8.6)."""

    def answer(seen: Seen) -> Reply:
        if seen.host == "other.example":
            return redirect(f"http://git.example/back/{ASKED}")
        if seen.target.startswith("/a.git"):
            return redirect(f"http://other.example/b/{ASKED}")
        return Reply(status=429)

    async with world(tmp) as place:
        place.answer = answer
        observer = Observed()
        with pytest.raises(RateLimited):
            await place.client.fetch_oids(repository, URL, [TIP], observer)
        assert observer.log[2:] == ["redirected other.example", "redirected git.example"]


async def test_another_domain_without_a_place_is_not_contacted(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = moved("http://other.example/b")
        with pytest.raises(RedirectRefused):
            await place.client.fetch_oids(repository, URL, [TIP], Observed(places=False))
        assert place.asked == [POST, GET]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (METADATA, Forbidden),
        ("http://inside.example/x", Forbidden),
        ("http://127.0.0.1:8080/x", Forbidden),
        ("//[::1]/x", Forbidden),
        ("http://user:pw@other.example/x", RedirectRefused),
        ("http://other.example/%0ax", RedirectRefused),
        ("http://other.example/-x", RedirectRefused),
        ("file:///etc", RedirectRefused),
        ("gopher://other.example/x", RedirectRefused),
        ("http://[::1", RedirectRefused),
        ("http://OURS.example:80/npub1/a.git", RedirectRefused),
        ("https://ours.example/npub1/a.git", RedirectRefused),
    ],
)
@pytest.mark.parametrize("hops", [0, 3])
async def test_each_hop_is_judged_like_a_first_url(
    target: str, expected: type[AttemptFailed], hops: int, repository: Path, tmp: Path
) -> None:
    """On the POST, on info/refs, and behind hops that are harmless."""

    def answer(seen: Seen) -> Reply:
        if seen.method == "GET" and len(place.seen) < 2 + hops:
            return redirect(f"http://h{len(place.seen)}.example/x/{ASKED}")
        return redirect(f"{target}/{ASKED}", 302)

    async with world(tmp) as place:
        place.answer = answer
        assert type(await failure(place, repository)) is expected
        assert len(place.seen) == 2 + hops
        assert set(place.contacted) == {"8.8.8.8:80"}


@pytest.mark.parametrize("hops", [5, 6])
async def test_five_hops_are_followed_and_six_are_not(
    hops: int, repository: Path, tmp: Path
) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.target.startswith(f"/{hops}/"):
            return v2_pack(PACK) if seen.method == "POST" else info_v2()
        return redirect(f"/{len(place.seen) - 1 if len(place.seen) > 1 else 0}/{ASKED}")

    async with world(tmp) as place:
        place.answer = answer
        if hops == 5:
            assert (await place.client.fetch_oids(repository, URL, [TIP])).obtained == {TIP}
        else:
            assert isinstance(await failure(place, repository), RedirectRefused)
            assert len(place.seen) == 1 + 6


async def test_a_loop_ends(repository: Path, tmp: Path) -> None:
    async with world(tmp) as place:
        place.answer = lambda seen: redirect(f"/a.git/{ASKED}")
        assert isinstance(await failure(place, repository), RedirectRefused)
        assert place.asked == [POST, *[GET] * 6]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "target", [METADATA, "http://other.example/a.git", "/a.git", "http://git.example:81/a.git"]
)
async def test_a_post_is_never_redirected(
    target: str, status: int, repository: Path, tmp: Path
) -> None:
    """Where info/refs stays, nothing that was posted goes elsewhere; not even to the same host."""
    async with world(tmp) as place:
        place.answer = lambda seen: (
            redirect(f"{target}/git-upload-pack", status) if seen.method == "POST" else info_v2()
        )
        assert isinstance(await failure(place, repository), RedirectRefused)
        assert {seen.host for seen in place.seen} == {"git.example"}
        assert place.contacted == ["8.8.8.8:80"]


# Credentials


@pytest.mark.parametrize(
    "location",
    [
        f"http://me:{SECRET}@other.example/x/{ASKED}",
        f"http://me:{SECRET}@[::1/x/{ASKED}",
        f"http://{SECRET}@127.0.0.1/x/{ASKED}",
        f"/login?token={SECRET}",
        f"https://other.example/x/{ASKED}&token={SECRET}",
    ],
)
async def test_no_credential_of_a_redirect_is_told(
    location: str, repository: Path, tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    async with world(tmp) as place:
        place.answer = lambda seen: redirect(location)
        with capture_logs() as logs:
            error = await failure(place, repository)
    assert isinstance(error, RedirectRefused)
    assert SECRET not in "".join(traceback.format_exception(error, chain=True))
    assert SECRET not in f"{logs} {caplog.text}"


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{SECRET}@git.example/a.git",
        f"http://{SECRET}@git.example/a.git",
        f"http://me:{SECRET}@[::1/a.git",
        f"ssh://me:{SECRET}@git.example/a.git",
    ],
)
async def test_no_credential_of_an_announcement_is_told(
    url: str, repository: Path, tmp: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    async with world(tmp) as place:
        with capture_logs() as logs:
            error = await failure(place, repository, url)
    assert isinstance(error, Forbidden)
    assert SECRET not in "".join(traceback.format_exception(error, chain=True))
    assert SECRET not in f"{logs} {caplog.text}"


# What a Location may say


PIECES = st.sampled_from(
    ["http://", "https://", "//", "/", "?", "#", "@", ":", "[", "]", "::1", "%0a", "..", "\\", ","]
) | st.sampled_from(
    ["other.example", "127.0.0.1", "xn--", ASKED, "é", "\x7f", "javascript:", "0", "-"]
)


@example("https://elsewhere.example/info/refs?service=git-upload-pack")
@given(st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_location_is_more_than_a_redirect_refused(text: str) -> None:
    sendable = (char for char in text if ord(char) < 256 and char.isprintable())
    location = "".join(sendable).strip()

    async def attempt() -> None:
        async with world(Path("/nonexistent")) as place:
            await judge(place, location)

    trio.run(attempt)


async def judge(place: World, location: str) -> None:
    place.answer = lambda seen: (
        redirect(location) if seen.host == "git.example" else Reply(b"", 404)
    )
    error = await failure(place, Path("/nonexistent"), URL)
    assert not isinstance(error, LocalFailure), error
    assert place.contacted[0] == "8.8.8.8:80"
    assert set(place.contacted) <= {"8.8.8.8:80", "8.8.8.8:443"}
