"""The pages together stay under 60 KB, with ten held events and a full list of repositories."""

from __future__ import annotations

import trio.testing

from .support import (
    ALICE,
    catalogue,
    contents,
    domain,
    event,
    hours,
    make_pages,
    node,
    relay,
    repository,
    source,
)
from .test_page_routes import ask

MOST_BYTES = 60_000


async def test_b_6_4_the_pages_together_are_small(
    autojump_clock: trio.testing.MockClock,
) -> None:
    held = [event(source("https://a.example/x.git"), source("https://b.example/x.git"))] * 10
    look = node(
        *held,
        domains=[domain(f"{n}.example") for n in range(6)],
        relays=[relay(f"wss://{n}.example") for n in range(6)],
        hours=hours(),
    )
    hosted = repository(contents=contents(*(f"branch-{n}" for n in range(20))))
    listed = catalogue(*(f"repository-{n}" for n in range(20)))
    pages = make_pages(look, hosted, listed=listed)
    sizes = {}
    for path in ("/", f"/{ALICE.npub}/repo.git", "/purgatory", "/nothing"):
        _, _, body = await ask(pages, path)
        sizes[path] = len(body.encode())
    assert 20_000 < sum(sizes.values()) < MOST_BYTES, sizes
