"""Who has no proof gets one answer, by the same steps, whatever is here (B 16.2 to 16.5)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
import pytest
import trio.testing

from purgatory_sync.nostr.event import Event

from .support import ALICE, BOB, EVE, NOW, ORIGIN, OWNER, SERVICE, Behind, basic, header, signed

REFS = f"/{OWNER}/r.git/info/refs?service=git-upload-pack"
NOSTR = f'www-authenticate: nostr realm="{SERVICE}", method="get"'.encode()
BASIC = b'www-authenticate: basic realm="git"'


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/icon.svg"),
        ("GET", "/.well-known/nostr.json"),
        ("OPTIONS", f"/{OWNER}/r.git/git-receive-pack"),
        ("OPTIONS", "/"),
    ],
)
async def test_b_16_2_what_tells_of_the_service_only_is_open(
    autojump_clock: trio.testing.MockClock, method: str, path: str
) -> None:
    behind = Behind()
    status, _, _ = await behind.ask(path, method=method)
    assert status == (204 if method == "OPTIONS" else 200)
    assert behind.looked_up == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", REFS),
        ("HEAD", REFS),
        ("GET", f"/{OWNER}/r.git/info/refs?service=git-receive-pack"),
        ("POST", f"/{OWNER}/r.git/git-upload-pack"),
        ("POST", f"/{OWNER}/r.git/git-receive-pack"),
        ("PUT", f"/{OWNER}/r.git/git-receive-pack"),
        ("GET", f"/{OWNER}/r.git"),
        ("GET", f"/{OWNER}/r"),
        ("GET", f"/{OWNER}/r.git/info/lfs/objects/batch"),
        ("GET", f"/{OWNER}/absent.git/info/refs"),
        ("GET", f"/{OWNER}/%72.git/info/refs"),
        ("GET", f"/{OWNER}/..%2f.git/info/refs"),
        ("GET", "/npub1nonsense/r.git/info/refs"),
        ("GET", f"/{OWNER}/"),
    ],
)
async def test_b_16_4_strangers_get_401_before_any_look_up(
    autojump_clock: trio.testing.MockClock, method: str, path: str
) -> None:
    behind = Behind(hosted=frozenset({"r"}))
    status, head, body = await behind.ask(path, method=method)
    assert (status, body) == (401, b"")
    assert NOSTR in head
    assert BASIC in head
    assert b"access-control-expose-headers: www-authenticate" in head
    assert b"access-control-allow-origin: *" in head
    assert behind.looked_up == []


@pytest.mark.parametrize(
    "path",
    [
        "/prs/x/r.git/info/refs",
        "/purgatory",
        "/purgatory.json",
        "/metrics",
        "/nothing",
        "/%6epub1x/r",
        f"//{OWNER}/r.git/info/refs",
        f"/NPUB{OWNER[4:]}/r.git/info/refs",
        f"/{OWNER}",
        "/npub1",
    ],
)
async def test_b_16_5_all_other_paths_are_404_to_strangers(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    behind = Behind(hosted=frozenset({"r"}))
    assert (await behind.ask(path, more="Accept: text/html\r\n"))[0] == 404
    assert behind.looked_up == []


@pytest.mark.parametrize("path", ["/purgatory", "/purgatory.json", "/metrics"])
async def test_b_16_5_a_member_who_signs_its_url_reads_the_status(
    autojump_clock: trio.testing.MockClock, path: str
) -> None:
    assert (await Behind().ask(path, header(signed(f"{ORIGIN}{path}"))))[0] == 200
    assert (await Behind().ask(path, header(signed(f"{ORIGIN}/"))))[0] == 404
    assert (await Behind().ask(path, header(signed(f"{ORIGIN}{path}", BOB))))[0] == 404


async def test_b_16_2_metrics_at_the_root_of_a_base_are_not_open_either(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert (await Behind(base="/x").ask("/metrics"))[0] == 404
    assert (await Behind(base="/x").ask("/x/metrics"))[0] == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_b_16_3_a_member_passes_with_an_event_for_the_repository(
    autojump_clock: trio.testing.MockClock, method: str
) -> None:
    behind = Behind()
    path = REFS if method != "POST" else f"/{OWNER}/r.git/git-upload-pack"
    assert (await behind.ask(path, header(signed()), method=method))[0] == 404
    assert behind.looked_up


@pytest.mark.parametrize(
    "url",
    [
        f"{ORIGIN}/{OWNER}/r.git",
        f"{ORIGIN}/{OWNER}/r.git/",
        f"{ORIGIN}:443/{OWNER}/r.git",
        f"HTTPS://GIT.example/{OWNER}/r.git",
        f"{ORIGIN}/{OWNER}/r",
        f"{ORIGIN}/{OWNER}/%72.git",
        f"{ORIGIN}/{OWNER}/r.git?service=git-upload-pack",
        f"{ORIGIN}/{OWNER}/r.git#top",
    ],
)
async def test_b_16_3_u_is_compared_decoded(
    autojump_clock: trio.testing.MockClock, url: str
) -> None:
    assert (await Behind().ask(REFS, header(signed(url))))[0] == 404


@pytest.mark.parametrize(
    "url",
    [
        f"http://{SERVICE}/{OWNER}/r.git",
        f"https://evil.example/{OWNER}/r.git",
        f"{ORIGIN}:8443/{OWNER}/r.git",
        f"{ORIGIN}/{OWNER}/other.git",
        f"{ORIGIN}/{OWNER}/r.git.git",
        f"{ORIGIN}/{ALICE.npub}/r.git",
        f"{ORIGIN}/{OWNER}/r.git/info/refs",
        f"{ORIGIN}/x/{OWNER}/r.git",
        f"{ORIGIN}/prs/{OWNER}/r.git",
        f"{ORIGIN}/{OWNER}%2fr.git",
        f"{ORIGIN}@evil.example/{OWNER}/r.git",
        ORIGIN,
        "",
        "r.git",
    ],
)
async def test_b_16_3_u_of_anything_else_is_refused(
    autojump_clock: trio.testing.MockClock, url: str
) -> None:
    assert (await Behind().ask(REFS, header(signed(url))))[0] == 401


@pytest.mark.parametrize(
    ("url", "status"),
    [("/services/git", 404), ("/services", 401), ("", 401), ("/services/gitx", 401)],
)
async def test_b_16_3_the_base_path_counts(
    autojump_clock: trio.testing.MockClock, url: str, status: int
) -> None:
    behind = Behind(base="/services/git")
    proof = header(signed(f"{ORIGIN}{url}/{OWNER}/r.git"))
    assert (await behind.ask(f"/services/git{REFS}", proof))[0] == status


async def test_b_16_3_the_operator_s_origin_is_what_is_signed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    behind = Behind(origin="http://other.example:8080")
    assert (await behind.ask(REFS, header(signed())))[0] == 401
    proof = header(signed(f"http://other.example:8080/{OWNER}/r.git"))
    assert (await behind.ask(REFS, proof))[0] == 404


def forged() -> Event:
    return msgspec.structs.replace(signed(), sig="00" * 64)


def renamed() -> Event:
    return msgspec.structs.replace(signed(author=BOB), pubkey=ALICE.pubkey)


@pytest.mark.parametrize(
    "event",
    [
        signed(at=NOW - 61),
        signed(at=NOW + 61),
        signed(at=NOW - 300),
        signed(author=BOB),
        signed(method="POST"),
        signed(method="get"),
        signed(kind=22242),
        signed(more=[["u", f"{ORIGIN}/{OWNER}/r.git"]]),
        signed(more=[["method", "GET"]]),
        signed(more=[["u"]]),
        ALICE.sign(27235, "", [["u", f"{ORIGIN}/{OWNER}/r.git", "x"], ["method", "GET"]], NOW),
        ALICE.sign(27235, "", [["method", "GET"]], NOW),
        ALICE.sign(27235, "", [["u", f"{ORIGIN}/{OWNER}/r.git"]], NOW),
        forged(),
        renamed(),
    ],
)
async def test_b_16_3_what_is_stale_forged_or_a_stranger_s_is_refused(
    autojump_clock: trio.testing.MockClock, event: Event
) -> None:
    behind = Behind(hosted=frozenset({"r"}))
    for proof in (header(event), basic(event)):
        assert (await behind.ask(REFS, proof))[0] == 401
    assert behind.looked_up == []


@pytest.mark.parametrize("at", [NOW - 60, NOW, NOW + 60])
async def test_b_16_3_a_minute_off_is_near_enough(
    autojump_clock: trio.testing.MockClock, at: int
) -> None:
    assert (await Behind().ask(REFS, header(signed(at=at))))[0] == 404


async def test_b_16_3_one_event_is_good_for_every_request_of_its_repository(
    autojump_clock: trio.testing.MockClock,
) -> None:
    behind, proof = Behind(), header(signed(more=[["payload", "00" * 32], ["nonce", "1"]]))
    for _ in range(3):
        assert (await behind.ask(REFS, proof))[0] == 404
        path = f"/{OWNER}/r.git/git-upload-pack"
        assert (await behind.ask(path, proof, method="POST"))[0] == 404


@pytest.mark.parametrize(
    "proof",
    [
        header(signed(), scheme="nostr"),
        header(signed(), scheme="NOSTR"),
        header(signed(), url_safe=True),
        header(signed()).rstrip("="),
        basic(signed()),
        basic(signed(), user=""),
        basic(signed()).replace("Basic", "bASIC"),
    ],
)
async def test_b_16_3_the_header_is_read_in_every_form(
    autojump_clock: trio.testing.MockClock, proof: str
) -> None:
    assert (await Behind().ask(REFS, proof))[0] == 404


@pytest.mark.parametrize(
    "proof",
    [
        "",
        "Nostr",
        "Nostr ?",
        "Nostr e30=",
        "Bearer x",
        "Basic",
        "Basic Z2l0",
        "Basic ????",
        "Basic /////w==",
        "Nostr " + "A" * 12_300,
        "Basic " + "A" * 15_000,
        f"{header(signed())}, {header(signed())}",
        header(signed(more=[["x", "y" * 9_300]])),
    ],
)
async def test_b_16_4_every_other_header_is_refused_alike(
    autojump_clock: trio.testing.MockClock, proof: str
) -> None:
    behind = Behind()
    status, _, body = await behind.ask(REFS, proof)
    assert (status, body) == (401, b"")
    assert behind.looked_up == []


async def test_b_16_4_basic_is_offered_where_it_helps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert BASIC not in (await Behind().ask(REFS, header(signed(at=0))))[1]
    assert BASIC in (await Behind().ask(REFS, basic(signed(at=0))))[1]
    without = Behind(takes_basic=False)
    assert BASIC not in (await without.ask(REFS))[1]
    assert (await without.ask(REFS, basic(signed())))[0] == 401


async def test_b_16_4_the_body_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    more = "Expect: 100-continue\r\nContent-Length: 999999\r\n"
    path = f"/{OWNER}/r.git/git-receive-pack"
    status, head, _ = await Behind().ask(path, method="POST", more=more)
    assert status == 401
    assert b"100 continue" not in head


async def test_b_16_9_http_asks_the_list_of_the_moment(
    autojump_clock: trio.testing.MockClock,
) -> None:
    behind = Behind()
    assert (await behind.ask(REFS, header(signed())))[0] == 404
    behind.lists.members = (BOB.npub,)
    assert (await behind.ask(REFS, header(signed())))[0] == 401
    assert (await behind.ask(REFS, header(signed(author=BOB))))[0] == 404


async def counted(behind: Behind, path: str, proof: str | None, *, door: bool = True) -> int:
    """How many functions, ours and others', are called while one request is answered."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    async def answer(exchange: Any) -> None:
        sys.setprofile(count)
        try:
            await real(exchange)
        finally:
            sys.setprofile(None)

    app = behind.app(door=door)
    real: Callable[[Any], Any] = app.answer
    app.answer = answer  # type: ignore[method-assign]
    await behind.ask(path, proof, around=lambda _: app)
    return calls


@pytest.mark.parametrize(
    "proof",
    [
        None,
        "Nostr ?",
        header(signed(at=0)),
        header(signed(author=BOB)),
        header(forged()),
        basic(signed(author=EVE)),
    ],
    ids=["none", "garbage", "stale", "stranger", "forged", "basic"],
)
async def test_b_16_4_what_exists_takes_the_same_steps_and_answer_as_what_does_not(
    autojump_clock: trio.testing.MockClock, proof: str | None
) -> None:
    behind = Behind(hosted=frozenset({"here"}))
    paths = [f"/{OWNER}/{name}.git/info/refs" for name in ("here", "gone")]
    for path in paths:  # fill what is remembered of texts
        await counted(behind, path, proof)
    steps = {await counted(behind, path, proof) for path in paths}
    assert len(steps) == 1
    answers = {await behind.ask(path, proof) for path in paths}
    assert len(answers) == 1
    assert behind.looked_up == []


@pytest.mark.parametrize("proof", [None, header(signed(author=BOB))], ids=["none", "stranger"])
async def test_b_16_4_a_refusal_costs_at_most_a_fifth_more_than_a_404(
    autojump_clock: trio.testing.MockClock, proof: str | None
) -> None:
    """A 404 of a public node, whose look-up is a stub here that costs next to nothing."""
    behind, path = Behind(), f"/{OWNER}/gone.git/info/refs?service=git-upload-pack"
    for door in (True, False):
        await counted(behind, path, proof, door=door)
    refused = await counted(behind, path, proof)
    assert refused <= 1.2 * await counted(behind, path, proof, door=False)
