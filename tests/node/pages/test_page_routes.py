"""Which page answers what, and that git clients never meet one."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import attrs
import pytest
import trio.testing

from purgatory_sync.engine.status.repository_status import Rulers
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.pages import status_page
from purgatory_sync.node.pages.page_routes import PageRoutes, wants_page
from purgatory_sync.node.routes import App
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.events import Author

from ..relay.test_nip11 import make_info
from ..support import served, talk
from .support import ALICE, HOSTILE, catalogue, contents, make_pages, node, repository

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def nothing_hosted(npub: str, identifier: str) -> Path | None:
    return None


async def ask(
    pages: PageRoutes, path: str, accept: str = BROWSER, method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    app = App(make_info, GitEndpoint(nothing_hosted, 1), pages, None)
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Accept: {accept}", "Connection: close"]
    async with served(app.answer) as place:
        answer = await talk(place, "\r\n".join([*lines, "", ""]).encode())
    head, _, body = answer.decode().partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("path", [f"/{ALICE.npub}/repo.git", f"/{ALICE.npub}/repo"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_b_6_4_a_repository_in_a_browser(
    path: str, slash: str, autojump_clock: trio.testing.MockClock
) -> None:
    status, headers, body = await ask(make_pages(hosted=repository()), path + slash)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["vary"] == "accept"
    assert "<h1><bdi>A name</bdi></h1>" in body
    assert "About it" in body
    assert f"git clone https://git.example:7334/{ALICE.npub}/repo.git<" in body
    assert f"git clone nostr://{ALICE.npub}/git.example%3A7334/repo<" in body
    assert f'href="https://gitworkshop.dev/{ALICE.npub}/git.example%3A7334/repo"' in body


async def test_b_6_4_a_repository_says_who_rules_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    people = [Author.from_seed(n).npub for n in range(20, 26)]
    lead, member, moderator, invited, left, _ = people
    rulers = Rulers(lead, (lead, member), (moderator,), {invited: lead}, (left,), lead, None)
    pages = make_pages(hosted=repository(rulers=rulers))
    _, _, body = await ask(pages, f"/{ALICE.npub}/repo.git")
    for line in (
        f"<li>lead {lead}</li>",
        f"<li>maintainer {member}</li>",
        f"<li>moderator {moderator}</li>",
        f"invited {invited}, by {lead}: has not accepted",
        f"left {left}",
        f"Forwarded to {lead}: the owner is no maintainer.",
    ):
        assert line in body
    status, headers, text = await ask(pages, f"/{ALICE.npub}/repo.git", "application/json")
    assert (status, headers["content-type"]) == (200, "application/json")
    told = json.loads(text)
    assert told["rulers"]["maintainers"] == [lead, member]
    assert told["rulers"]["invited"] == {invited: lead}
    assert (told["npub"], told["identifier"], told["is_served"]) == (ALICE.npub, "repo", True)
    nobody = Rulers(None, (), (), {}, (), None, f"the lead is {HOSTILE}")
    _, _, body = await ask(make_pages(hosted=repository(rulers=nobody)), f"/{ALICE.npub}/repo")
    assert "No key: the lead is " in body
    assert "<script>alert" not in body
    other = await ask(pages, f"/{ALICE.npub}/other.git", "application/json")
    assert other[0] == 404


async def test_b_8_13_the_page_shows_origin_and_fork_as_claims(
    autojump_clock: trio.testing.MockClock,
) -> None:
    plain = await ask(make_pages(hosted=repository()), f"/{ALICE.npub}/repo.git")
    assert "Says that" not in plain[2]

    claims = attrs.evolve(repository(), earliest_commit="c" * 40, fork_of=HOSTILE)
    _, _, body = await ask(make_pages(hosted=claims), f"/{ALICE.npub}/repo.git")
    assert f"Says that its first commit is <code>{'c' * 40}</code>" in body
    assert "Says that it is a fork of" in body
    assert "<script" not in body


@pytest.mark.parametrize("identifier", [HOSTILE.replace("/", ""), "a b;$(c)`'", "\u202etxt", "..a"])
async def test_b_6_4_no_identifier_breaks_out_of_page_or_command(
    identifier: str, autojump_clock: trio.testing.MockClock
) -> None:
    hosted = repository(identifier, name=HOSTILE, description=HOSTILE)
    path = f"/{ALICE.npub}/{quote(identifier, safe='')}.git"
    status, _, body = await ask(make_pages(hosted=hosted), path)
    assert status == 200
    assert "<script" not in body
    assert f"git clone https://git.example:7334{path}<" in body


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"/{ALICE.npub}/other.git", "This service hosts no repository of that name."),
        (f"/{ALICE.npub}/a%2Fb.git", "No page and no repository has this address."),
        (f"/{ALICE.npub}/%2e%2e", "No page and no repository has this address."),
        (f"/{ALICE.npub}", "No page and no repository has this address."),
        ("/<script>", "No page and no repository has this address."),
    ],
)
async def test_b_6_4_what_is_not_hosted_is_a_404_page(
    path: str, reason: str, autojump_clock: trio.testing.MockClock
) -> None:
    status, headers, body = await ask(make_pages(hosted=repository()), path)
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert reason in body
    assert "<script" not in body


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"/{ALICE.npub}/repo.git", "application/x-git-upload-pack-advertisement, */*"),
        (f"/{ALICE.npub}/other.git", "*/*"),
        ("/nothing", "*/*"),
        ("/nothing", ""),
    ],
)
async def test_b_6_4_who_wants_no_page_gets_a_line(
    path: str, accept: str, autojump_clock: trio.testing.MockClock
) -> None:
    status, headers, body = await ask(make_pages(hosted=repository()), path, accept)
    assert (status, body) == (404, "nothing is served at this path\n")
    assert headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
async def test_b_6_4_git_paths_stay_gits_with_every_accept_header(
    service: str, autojump_clock: trio.testing.MockClock
) -> None:
    for method, rest in (("GET", f"info/refs?service={service}"), ("POST", service)):
        path = f"/{ALICE.npub}/repo.git/{rest}"
        _, headers, body = await ask(make_pages(hosted=repository()), path, method=method)
        assert "html" not in headers.get("content-type", "")
        assert "<html" not in body


async def test_b_6_1_the_page_of_a_repository_is_only_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for path in (f"/{ALICE.npub}/repo.git", f"/{ALICE.npub}/repo/"):
        for method in ("POST", "DELETE"):
            status, headers, _ = await ask(make_pages(hosted=repository()), path, method=method)
            assert (status, headers.get("allow")) == (405, "GET, HEAD, OPTIONS")
    for path in (f"/{ALICE.npub}/other.git", "/npub1nobody/repo.git"):
        assert (await ask(make_pages(), path, method="POST"))[0] == 404


async def test_b_10_3_the_status_page_and_its_json(autojump_clock: trio.testing.MockClock) -> None:
    for accept in (BROWSER, "*/*"):
        status, headers, body = await ask(make_pages(), "/purgatory", accept)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"].split("; ")
        assert policy[:6] == [
            "default-src 'none'",
            "connect-src 'self'",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert body.endswith("</html>\n")
        status, headers, body = await ask(make_pages(), "/purgatory.json", accept)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["cache-control"] == "no-store"
        assert body.startswith('{"at":1800000000.0,')
    status, headers, body = await ask(make_pages(), "/purgatory", method="HEAD")
    assert (status, body) == (200, "")
    assert int(headers["content-length"]) > 1000


async def test_b_10_3_a_look_is_written_once_for_all_requests(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = node()
    pages = make_pages(look)
    first = await ask(pages, "/purgatory")
    monkeypatch.setattr(status_page, "public_status", None)
    assert await ask(pages, "/purgatory") == first
    assert (await ask(pages, "/purgatory.json"))[0] == 200


async def test_b_10_the_icon_is_served_to_every_client(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for accept in (BROWSER, "image/*", ""):
        status, headers, body = await ask(make_pages(), "/icon.svg", accept)
        assert (status, headers["content-type"]) == (200, "image/svg+xml")
        assert headers["content-security-policy"] == "default-src 'none'"
        assert headers["access-control-allow-origin"] == "*"
        root = ElementTree.fromstring(body)  # noqa: S314  # our own file
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("width") == root.get("height")
    assert (await ask(make_pages(), "/icon.svg", method="HEAD"))[2] == ""
    assert (await ask(make_pages(), "/icon.svg", method="POST"))[0] == 405


async def test_pages_name_the_icon_and_may_load_it(autojump_clock: trio.testing.MockClock) -> None:
    for path in ("/", "/purgatory", f"/{ALICE.npub}/repo.git", "/nothing"):
        _, headers, body = await ask(make_pages(hosted=repository()), path)
        assert '<link rel="icon" href="/icon.svg">' in body
        assert "img-src 'self'" in headers["content-security-policy"]


async def test_b_6_4_the_landing_page_is_escaped(autojump_clock: trio.testing.MockClock) -> None:
    settings = RelaySettings(name="<b>&", description=HOSTILE)
    status, _, body = await ask(make_pages(settings=settings), "/")
    assert status == 200
    assert "<script" not in body
    assert "<title>&lt;b&gt;&amp;</title>" in body
    assert "served here" not in body


async def test_b_6_4_a_repository_shows_what_is_in_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen = contents("main", HOSTILE, source="https://far.example/x.git")
    hosted = repository(contents=seen)
    _, _, body = await ask(make_pages(hosted=hosted), f"/{ALICE.npub}/repo.git")
    assert "<script" not in body
    for line in (
        '<h3>Branches <span class="soft">(25, of them 2)</span></h3>',
        '<bdi>main</bdi> <code>a1b2c3d4</code> <span class="kind">HEAD</span>',
        ">1 h ago</time>",
        "<bdi>v1</bdi> <code>22222222</code></li>",
        f"State by {ALICE.npub}, made",
        "its data came from <bdi>https://far.example/x.git</bdi>",
        "3.4 MiB on this disk. 2 states held for it",
    ):
        assert line in body
    for source in ("http://10.2.0.1/x.git", "http://[::1]/x.git"):
        inside = repository(contents=contents("main", source=source))
        _, _, body = await ask(make_pages(hosted=inside), f"/{ALICE.npub}/repo.git")
        assert source not in body
        assert "is not known any more" in body


async def test_b_6_4_the_landing_page_lists_the_newest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _, _, body = await ask(make_pages(listed=catalogue(HOSTILE, "a b")), "/")
    assert "<h2>1234 repositories served here</h2>" in body
    assert f'<a href="/{ALICE.npub}/a%20b.git"><bdi>a b</bdi></a>' in body
    assert "The newest 2." in body
    assert "<script" not in body
    assert "git clone https://git.example:7334/" in body
    assert "<pre>wss://git.example:7334</pre>" in body
    assert "From every author." in body


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        (BROWSER, True),
        ("Text/HTML;q=0.1", True),
        ("application/xhtml+xml", True),
        ("*/*", False),
        ("text/*", False),
        ("", False),
    ],
)
def test_wants_page(accept: str, wants: bool) -> None:
    assert wants_page(accept) is wants


@pytest.mark.parametrize("accept", ["", "*/*"])
async def test_b_6_4_whoever_accepts_anything_gets_the_page(
    accept: str, autojump_clock: trio.testing.MockClock
) -> None:
    pages = make_pages(hosted=repository())
    status, headers, _ = await ask(pages, f"/{ALICE.npub}/repo.git", accept=accept)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    status, headers, _ = await ask(pages, "/nothing/here", accept=accept)
    assert status == 404
    assert "html" not in headers["content-type"], "git clients meet no page"
