"""Every page on a phone, on a desk and in the dark, as Chromium shows it."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from purgatory_sync.engine.status.models import AttemptStatus
from purgatory_sync.errors import ResultClass
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.routes import App
from purgatory_sync.settings import RelaySettings

from ..relay.test_nip11 import make_info
from ..support import nothing_hosted, served
from .chromium import BROWSER, chromium
from .support import (
    ALICE,
    HOSTILE,
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
)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]

LONG = "x" * 300
PAGES = {
    "landing": "/",
    "repository": f"/{ALICE.npub}/{LONG[:200]}.git",
    "missing": "/nothing/here",
    "status": "/purgatory",
    "filtered": f"/purgatory?repository={LONG[:200]}&result=timeout",
    "nothing found": "/purgatory?repository=other",
    "bad filter": f"/purgatory?result={LONG}",
}
PHONE, DESK = 360, 1280


def app() -> App:
    look = node(
        attrs.evolve(
            event(source("https://far.example/" + LONG), identifier=LONG, missing=["1" * 40] * 3),
            attempts=tuple(
                AttemptStatus(f"https://{'h' * 60}.example/{LONG}", NOW - 90 + number, result)
                for number, result in enumerate(ResultClass)
            ),
            attempts_total=99,
        ),
        event(identifier=LONG[:200], missing=()),
        event(identifier=HOSTILE, kind="pr", missing=()),
        event(kind="announcement"),
        domains=[domain(f"{'d' * 60}.example"), domain("b.example", in_flight=2)],
        relays=[relay("wss://r.example/" + LONG), relay("wss://b.example", connected=False)],
        hours=hours(domain=f"{'s' * 60}.example"),
    )
    hosted = repository(
        LONG[:200],
        name=HOSTILE + LONG,
        description=f"{HOSTILE} {LONG}\n\u202e",
        contents=contents("main", LONG),
    )
    settings = RelaySettings(name=f"{HOSTILE}{LONG}", description=LONG)
    pages = make_pages(look, hosted, settings, catalogue(HOSTILE, LONG, "repo"))
    return App(lambda: make_info(settings), GitEndpoint(nothing_hosted, 1), pages, None)


async def test_every_page_is_readable_on_a_phone_and_in_the_dark(tmp_path: Path) -> None:
    with trio.fail_after(150):
        async with (
            served(app().answer, real=True) as place,
            chromium(tmp_path / "profile") as tab,
        ):
            origin = f"http://127.0.0.1:{place.port}"
            await tab.do("Network.setExtraHTTPHeaders", headers={"accept": "text/html"})
            for name, path in PAGES.items():
                backgrounds = set()
                for width, dark in ((PHONE, False), (PHONE, True), (DESK, False), (DESK, True)):
                    await tab.go(origin + path, width=width, dark=dark)
                    where = f"{name} at {width}{' in the dark' if dark else ''}"
                    keep(tmp_path / f"{where}.png", await tab.screenshot())
                    wide = await tab.value("document.documentElement.scrollWidth")
                    assert wide <= width, f"{where}: scrolls sideways"
                    style = await tab.value(
                        "(s => [s.backgroundColor, s.color, parseFloat(s.fontSize)])"
                        "(getComputedStyle(document.body))"
                    )
                    assert style[2] >= 16, where
                    assert contrast(style[0], style[1]) > 7, where
                    assert (brightness(style[0]) < 64) is dark, where
                    backgrounds.add(style[0])
                    assert await tab.value("document.querySelectorAll('h1').length") == 1, where
                    assert await tab.value("document.documentElement.lang") == "en", where
                assert len(backgrounds) == 2, name
            assert len(tab.requested) >= 4 * len(PAGES)
            assert [url for url in tab.requested if not url.startswith(f"{origin}/")] == []
            refused = "Failed to load resource: the server responded with a status of 40"
            assert [each for each in tab.complaints if not each.startswith(refused)] == []


def keep(path: Path, picture: bytes) -> None:
    """For people who want to look at it."""
    path.write_bytes(picture)


def channels(color: str) -> list[float]:
    """`rgb(r, g, b)` as numbers."""
    return [float(each) for each in color.partition("(")[2].rstrip(")").split(",")[:3]]


def brightness(color: str) -> float:
    return sum(channels(color)) / 3


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    lights = []
    for color in (one, other):
        parts = [each / 255 for each in channels(color)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
