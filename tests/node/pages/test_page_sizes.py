"""The pages together stay under 60 KB, with ten held events and a full list of repositories."""

from __future__ import annotations

import attrs
import pytest
import trio.testing

from purgatory_sync.engine.status.models import AttemptStatus, HeldStatus
from purgatory_sync.errors import ResultClass
from purgatory_sync.node.pages.public import public_status

from .support import (
    ALICE,
    NOW,
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
    status_html,
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


def worst(number: int, text: str) -> HeldStatus:
    """A held event with as much of everything as is shown, of the longest texts."""
    urls = [f"https://d{n}.example/{text * 9}" for n in range(100)]
    held = event(*map(source, urls), identifier=text, missing=[f"{n:040}" for n in range(100)])
    return attrs.evolve(
        held,
        event_id=f"{number:064x}",
        identifiers=(text,) * 9,
        attempts=tuple(AttemptStatus(url, NOW - 50, ResultClass.TIMEOUT) for url in urls[:20]),
        attempts_total=1_000,
        obstacle="path",
        remedy=text * 9,
    )


@pytest.mark.parametrize("text", ["&" * 251, "x", "\U0001f600" * 62])
@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_b_10_3_the_status_page_is_bounded(count: int, text: str) -> None:
    """However long the texts of strangers are, and however many are held."""
    look = attrs.evolve(
        node(
            *(worst(n, text) for n in range(min(count, 100))),
            domains=[domain(f"{n}{'d' * 200}.example") for n in range(100)],
            relays=[relay(f"wss://{n}.example/{text}") for n in range(100)],
            hours=hours(domain="s" * 250),
        ),
        events_total=count,
    )
    page = status_html(public_status(look, ()))
    assert len(page.encode()) <= MOST_BYTES
    shown = page.count('<section class="card"')
    assert (shown == 0) is (count == 0)
    if count > 1:
        said = (
            f"{shown} of 10000, newest first; {10_000 - shown} are not shown: choose a repository"
        )
        assert said in page
    assert "The busiest " in page
    assert " of 100.</p>" in page


def test_b_10_3_one_large_event_hides_no_other() -> None:
    look = node(*(worst(n, "&" * 251) for n in range(50)), event(identifier="small"))
    assert "<bdi>small</bdi>" in status_html(public_status(look, ()))
