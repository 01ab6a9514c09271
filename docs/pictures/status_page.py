"""Takes status-page.png: `python -m docs.pictures.status_page`, with Chromium.

The page is written by the node's own code and served on loopback; what it tells of, a day of a
small server, is made up. With a folder as argument it takes the page there in light and in dark, on
a desk and on a phone, for looking at.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from purgatory_sync.engine.status.hourly import HOUR, Hour
from purgatory_sync.engine.status.models import (
    AttemptStatus,
    DomainStatus,
    HeldStatus,
    HourCounters,
    SourceStatus,
)
from purgatory_sync.errors import ResultClass
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics
from purgatory_sync.node.git_http.upload_pack_http import GitEndpoint
from purgatory_sync.node.operator.node_status import NodeStatus
from purgatory_sync.node.routes import App
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.events import Author
from tests.node.pages.chromium import chromium
from tests.node.pages.support import NOW, event, make_pages, node, relay
from tests.node.relay.test_nip11 import make_info
from tests.node.support import nothing_hosted, served

WIDTH, HEIGHT = 900, 1115
BAD, GOOD, WAIT = ResultClass.UNREACHABLE, ResultClass.PARTIAL, ResultClass.NOTHING
SLOW, BUSY = ResultClass.TIMEOUT, ResultClass.RATE_LIMITED
ONE, TWO, THREE = (
    f"https://{host}/alice/weather-station.git"
    for host in ("git.example.org", "codeberg.example", "grasp.example.net")
)


SPENT = {"codeberg.example": (3, 9.6), "git.example.org": (9, 10.8), "grasp.example.net": (5, 2.0)}


def held(
    number: int,
    identifier: str,
    kind: str,
    age: float,
    *attempts: tuple[float, str, ResultClass],
    missing: int = 1,
) -> HeldStatus:
    """A held event that is so many seconds old, with attempts so many seconds ago."""
    oids = [f"{number}a7f{n:036}" for n in range(missing)]
    hunted = kind != "announcement"
    made = tuple(AttemptStatus(url, NOW - ago, result) for ago, url, result in attempts)
    last = {each.url: each for each in made}
    return attrs.evolve(
        event(identifier=identifier, kind=kind, missing=oids),
        event_id=f"{number:064x}",
        author=Author.from_seed(number).pubkey,
        accepted_at=NOW - age,
        until=NOW - age + 1800,
        at_the_latest=NOW - age + 86_400 if hunted else None,
        next_attempt=NOW + 12 if hunted else None,
        missing_total=missing if hunted else None,
        sources=tuple(SourceStatus(each.url, each.at, each.result) for each in last.values()),
        attempts=made,
        attempts_total=len(made),
    )


def hours() -> list[Hour]:
    """A day: quiet at night."""
    now = int(NOW // HOUR) * HOUR
    busy = [1, 0, 0, 1, 0, 2, 3, 5, 6, 9, 8, 7, 9, 12, 10, 8, 9, 7, 6, 8, 5, 4, 3, 3]
    return [
        Hour(
            now - HOUR * (23 - number),
            {"announcement": 1 + level // 4, "state": level // 2, "pr": level // 3},
            {
                "released.state": level,
                "released.pr": level // 3,
                "expired": int(level in (9, 12)),
                "attempts.success": level,
                "attempts.nothing": level // 2,
                "attempts.timeout": level // 4,
                "attempts.unreachable": int(level > 6),
            },
            {
                "codeberg.example": (3, 9.6),
                "git.example.org": (9, 10.8),
                "grasp.example.net": (5, 2),
            },
        )
        for number, level in enumerate(busy)
    ]


def domain(name: str, tokens: int, queued: int = 0, rests: float | None = None) -> DomainStatus:
    resting = None if rests is None else NOW + rests
    return DomainStatus(name, DomainStatistics(0, tokens, queued, resting, 9), ())


def example() -> NodeStatus:
    """What the page tells of."""
    events: Sequence[HeldStatus] = (
        held(1, "weather-station", "state", 840, (655, ONE, WAIT), (620, TWO, SLOW),
             (410, ONE, WAIT), (160, THREE, GOOD), missing=3),
        held(2, "weather-station", "pr", 300, (115, ONE, BAD), (90, TWO, BUSY)),
        held(3, "notes", "announcement", 1260, missing=0),
    )  # fmt: skip
    look = node(
        *events,
        domains=[domain("git.example.org", 27), domain("codeberg.example", 24, 1, 45),
                 domain("grasp.example.net", 29)],
        relays=[relay("wss://relay.example.org"), relay("wss://grasp.example.net")],
        hours=hours(),
    )  # fmt: skip
    counts = {"attempts.success": 4, "attempts.nothing": 2, "attempts.timeout": 1}
    return attrs.evolve(
        look,
        held={"announcement": 1, "soft-expired": 0, "state": 1, "pr": 1},
        queued=1,
        hunting=0,
        last_hour=HourCounters(NOW - 3600, {**counts, "released.state": 4, "expired": 0}),
    )


def app() -> App:
    """The node's pages over it."""
    pages = make_pages(example(), settings=RelaySettings(name="git.example"))
    return App(make_info, GitEndpoint(nothing_hosted, 1), pages, None)


async def shoot(folder: Path | None) -> None:
    """Take the picture, or those for looking at."""
    with tempfile.TemporaryDirectory() as profile:
        async with served(app().answer, real=True) as place, chromium(Path(profile)) as tab:
            url = f"http://127.0.0.1:{place.port}/purgatory"
            if folder is None:
                await tab.go(url, width=WIDTH, dark=False)
                picture = await tab.screenshot(width=WIDTH, height=HEIGHT)
                Path(__file__).with_name("status-page.png").write_bytes(picture)
                return
            for width in (360, 1280):
                for dark in (False, True):
                    await tab.go(url, width=width, dark=dark)
                    name = f"{width}-{'dark' if dark else 'light'}.png"
                    (folder / name).write_bytes(await tab.screenshot())


if __name__ == "__main__":
    trio.run(shoot, Path(sys.argv[1]) if sys.argv[1:] else None)
