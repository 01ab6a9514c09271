"""What every page has in common: headers, base paths, bounds, an answer to HEAD."""

from __future__ import annotations

import attrs
import pytest
import trio.testing

from purgatory_sync.engine.status.prs_status import ContributedRepository, ContributedRequest
from purgatory_sync.engine.status.repository_contents import RefLook
from purgatory_sync.engine.status.repository_status import Rulers
from purgatory_sync.errors import StoreError
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.pages.page_filter import PageFilter
from purgatory_sync.node.pages.page_routes import PageRoutes
from purgatory_sync.node.pages.public import public_status
from purgatory_sync.node.routes import App
from purgatory_sync.nostr.pull_request import PullRequest
from purgatory_sync.testing.events import Author, pull_request

from ..relay.test_nip11 import make_info
from ..support import nothing_hosted, served, talk
from .support import (
    ALICE,
    NOW,
    catalogue,
    contents,
    event,
    make_pages,
    node,
    repository,
    status_html,
)
from .test_page_routes import BROWSER, ask
from .test_page_sizes import MOST_BYTES

PATHS = ("/", f"/{ALICE.npub}/repo.git", "/purgatory", "/purgatory?result=x", "/nothing")
AMPERSANDS = "&" * 251


def contributed(look: ContributedRepository) -> PageRoutes:
    async def find(npub: str, identifier: str) -> ContributedRepository:
        return look

    async def none(*args: object) -> None:
        return None

    return PageRoutes(make_info, none, none, (), contribution=find)  # type: ignore[arg-type]


async def raw(pages: PageRoutes, path: str, method: str = "GET") -> tuple[list[str], str]:
    """The header lines as they are sent, and the body."""
    app = App(make_info, GitEndpoint(nothing_hosted, 1), pages, None)
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Accept: {BROWSER}", "Connection: close"]
    async with served(app.answer) as place:
        answer = await talk(place, "\r\n".join([*lines, "", ""]).encode())
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head.lower().split("\r\n")[1:], body


@pytest.mark.parametrize("path", PATHS)
async def test_b_6_4_each_header_is_sent_once_and_head_tells_the_same(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    pages = make_pages(hosted=repository())
    headers, body = await raw(pages, path)
    names = [line.partition(":")[0] for line in headers]
    assert len(names) == len(set(names)), headers
    assert "cache-control: no-store" in headers
    assert "vary: accept" in headers
    assert f"content-length: {len(body.encode())}" in headers
    assert await raw(pages, path, "HEAD") == (headers, "")


async def test_b_6_4_a_line_for_who_wants_no_page_is_not_kept_for_who_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A cache in front of the node would give browsers the line, or keep it when the page comes."""
    status, headers, _ = await ask(make_pages(), f"/{ALICE.npub}/repo.git", "*/*")
    assert status == 404
    assert (headers["vary"].lower(), headers["cache-control"]) == ("accept", "no-store")


async def test_b_10_3_the_page_of_a_bad_filter_does_not_renew_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It would be refused again, and call itself outdated."""
    _, _, body = await ask(make_pages(), "/purgatory?result=x")
    assert "<script>" not in body
    assert "http-equiv" not in body


async def test_b_10_3_the_status_page_stays_below_the_base(
    autojump_clock: trio.testing.MockClock,
) -> None:
    look = public_status(node(event()), ())
    for wanted in (PageFilter(), PageFilter("repo", "timeout")):
        page = status_html(look, "git.example/services/grasp", wanted)
        assert '<form action="/services/grasp/purgatory"' in page
        assert 'href="/services/grasp/purgatory.json' in page
        assert 'href="/purgatory' not in page


async def test_b_6_4_a_repository_leads_to_what_is_held_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hosted = repository("a b&c", contents=contents("main"))
    _, _, body = await ask(make_pages(hosted=hosted), f"/{ALICE.npub}/a%20b&c.git")
    assert '2 states held for it: <a href="/purgatory?repository=a%20b%26c">why</a>' in body
    waiting = attrs.evolve(hosted, is_served=False)
    _, _, body = await ask(make_pages(hosted=waiting), f"/{ALICE.npub}/a%20b&c.git")
    assert body.count('href="/purgatory?repository=a%20b%26c"') == 2


async def test_b_6_4_the_page_of_a_repository_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """With as much of everything as its announcement can name."""
    keys = tuple(Author.from_seed(number).npub for number in range(100))
    rulers = Rulers(keys[0], keys, keys, dict(zip(keys, keys, strict=True)), keys, keys[0], None)
    refs = tuple(RefLook(AMPERSANDS, "1" * 40, int(NOW)) for _ in range(20))
    seen = contents("main", source=f"https://a.example/{AMPERSANDS}")
    disk = attrs.evolve(seen.disk, branches=refs, tags=refs, tags_total=99)
    hosted = repository(
        "repo", AMPERSANDS[:200], "&" * 2_000, rulers, attrs.evolve(seen, disk=disk)
    )
    _, _, body = await ask(make_pages(hosted=hosted), f"/{ALICE.npub}/repo.git")
    assert len(body.encode()) < MOST_BYTES
    assert body.count("and more") == 4


async def test_b_6_4_the_landing_page_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    listed = catalogue(*["&" * 200] * 20)
    _, _, body = await ask(make_pages(listed=listed), "/")
    assert len(body.encode()) < MOST_BYTES
    assert body.count("<li>") == 20


async def test_b_12_10_the_page_of_contributions_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A pull request may name as many repositories as an event has room for."""
    targets = [ALICE.coordinate(f"{number}{AMPERSANDS[:240]}") for number in range(500)]
    event = pull_request(ALICE, targets, "1" * 40, created_at=int(NOW))
    request = ContributedRequest.of(PullRequest.parse(event), is_served=True)
    requests = (request,) * 100
    look = ContributedRepository(ALICE.pubkey, AMPERSANDS, requests, 1_234, 5)
    _, _, body = await ask(contributed(look), f"/prs/{ALICE.npub}/repo.git")
    assert len(body.encode()) < MOST_BYTES
    shown = body.count("<li>")
    assert shown > 0
    assert f"{shown} of 1234, newest first." in body
    assert body.count("and 495 more") == shown


@pytest.mark.parametrize("path", ["/", "/purgatory", "/purgatory.json", f"/{ALICE.npub}/repo.git"])
async def test_b_6_4_a_store_that_fails_gets_a_sentence(
    path: str, autojump_clock: trio.testing.MockClock
) -> None:
    async def fails(*args: object) -> None:
        raise StoreError("the disk is full")

    pages = PageRoutes(make_info, fails, fails, (), catalogue=fails)  # type: ignore[arg-type]
    status, headers, body = await ask(pages, path)
    assert (status, headers["retry-after"], headers["cache-control"]) == (503, "60", "no-store")
    assert body.startswith("this page cannot be shown now: ")
    assert "disk is full" not in body
    assert (await ask(pages, path, method="HEAD"))[2] == ""
