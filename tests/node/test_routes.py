"""Every route, and that every answer may be read by every origin."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import trio.testing

from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.operator.metrics import Metrics, MetricsSnapshot
from purgatory_sync.node.routes import App

from .git_http.git_support import NPUB
from .pages.support import make_pages
from .relay.test_nip11 import make_info
from .support import served, talk

METHODS = b"access-control-allow-methods: get, post, head, options"
HEADERS = (
    b"access-control-allow-headers: authorization, content-type, git-protocol, accept, "
    b"content-encoding, x-requested-with"
)


def make_app(*, metrics: bool = True, elsewhere: bool = False, base: str = "") -> App:
    async def resolve(npub: str, identifier: str) -> Path | None:
        return None

    git, counted = GitEndpoint(resolve, 1), Metrics(MetricsSnapshot) if metrics else None
    info = make_info()
    info = attrs.evolve(info, service=f"{info.service}{base}")
    return App(lambda: info, git, make_pages(), counted, metrics_elsewhere=elsewhere)


async def ask(app: App, method: str, path: str, accept: str = "*/*") -> tuple[int, bytes, bytes]:
    """Status, head in lower case, and body."""
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    )
    async with served(app.answer) as place:
        head, _, body = (await talk(place, request.encode())).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/base", 200),
        ("/base/", 200),
        ("/base/purgatory", 200),
        ("/base/icon.svg", 200),
        ("/base/metrics", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/purgatory", 404),
        ("/base2/", 404),
        ("/bas%65/", 404),
        ("/base/.well-known/nostr.json", 404),
        ("/.well-known/nostr.json", 404),
    ],
)
async def test_b_13_9_all_but_metrics_and_health_lies_below_the_base(
    autojump_clock: trio.testing.MockClock, path: str, status: int
) -> None:
    assert (await ask(make_app(base="/base"), "GET", path))[0] == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", "/", 204),
        ("OPTIONS", "*", 204),
        ("OPTIONS", f"/{NPUB}/x.git/git-receive-pack", 204),
        ("OPTIONS", "/nothing/here", 204),
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/purgatory", 200),
        ("HEAD", "/purgatory", 200),
        ("GET", "/icon.svg", 200),
        ("PUT", "/icon.svg", 405),
        ("GET", "/purgatory.json", 200),
        ("POST", "/purgatory", 405),
        ("PUT", "/purgatory.json", 405),
        ("POST", "/metrics", 405),
        ("GET", "/nothing", 404),
        ("HEAD", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("DELETE", "/", 405),
        ("GET", f"/{NPUB}/x.git/info/refs?service=git-upload-pack", 404),
        ("POST", f"/{NPUB}/x/git-upload-pack", 404),
        ("GET", "/../etc/passwd", 404),
    ],
)
async def test_b_6_3_every_route_may_be_read_by_every_origin(
    autojump_clock: trio.testing.MockClock, method: str, path: str, status: int
) -> None:
    got, head, body = await ask(make_app(), method, path)
    assert got == status
    for line in (b"access-control-allow-origin: *", METHODS, HEADERS):
        assert head.count(line) == 1
    assert (b"\r\nallow: get, head, options\r\n" in head) == (status == 405)
    assert bool(body) == (method != "OPTIONS" and method != "HEAD")


LENGTH = re.compile(rb"content-length: [0-9]+")


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/purgatory", "/purgatory.json", "/nothing", f"/{NPUB}/x.git/info/refs"],
)
@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/nostr+json"])
async def test_b_6_1_head_has_the_headers_of_get_and_no_body(
    autojump_clock: trio.testing.MockClock, path: str, accept: str
) -> None:
    app = make_app()
    got, of_get, body = await ask(app, "GET", path, accept)
    status, of_head, none = await ask(app, "HEAD", path, accept)
    assert b"content-length: %d\r\n" % len(body) in of_get
    if path == "/metrics":  # the process counts on, and the numbers grow
        of_get, of_head = (LENGTH.sub(b"", head) for head in (of_get, of_head))
    assert (status, of_head, none) == (got, of_get, b"")


async def test_root_is_a_page_or_the_document(autojump_clock: trio.testing.MockClock) -> None:
    _, head, body = await ask(make_app(), "GET", "/", "application/nostr+json")
    assert b"content-type: application/nostr+json" in head
    assert body.startswith(b'{"name":"git.example:7334"')
    _, head, body = await ask(make_app(), "GET", "/", "text/html")
    assert b"content-type: text/html; charset=utf-8" in head
    assert body.startswith(b"<!doctype html>")


async def test_metrics_can_be_turned_off(autojump_clock: trio.testing.MockClock) -> None:
    status, _, body = await ask(make_app(), "GET", "/metrics")
    assert b"\npurgatory_sync_queue_size 0.0\n" in body
    status, _, body = await ask(make_app(metrics=False), "GET", "/metrics")
    assert status == 404


@pytest.mark.parametrize("accept", ["text/html", "application/nostr+json", "*/*"])
async def test_b_10_6_caches_are_told_that_the_relays_url_has_several_answers(
    autojump_clock: trio.testing.MockClock, accept: str
) -> None:
    status, head, _ = await ask(make_app(), "GET", "/", accept)
    assert status == 200
    assert b"\r\nvary: accept" in head


@pytest.mark.parametrize("base", ["", "/base"])
async def test_b_10_6_without_an_admin_there_is_no_management(
    autojump_clock: trio.testing.MockClock, base: str
) -> None:
    body = b'{"method":"supportedmethods","params":[]}'
    request = (
        f"POST {base}/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
        f"content-type: application/nostr+json+rpc\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    async with served(make_app(base=base).answer) as place:
        said = await talk(place, request.encode() + body)
    assert said.startswith(b"HTTP/1.1 404")
