"""A node's pages over values that tests make up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from purgatory_sync.engine.status.catalogue import Catalogue, CatalogueEntry
from purgatory_sync.engine.status.held_events import EVERYTHING, Choice
from purgatory_sync.engine.status.hourly import HOUR, Hour
from purgatory_sync.engine.status.models import (
    DomainStatus,
    EngineStatus,
    HeldStatus,
    HourCounters,
    SourceStatus,
)
from purgatory_sync.engine.status.repository_contents import (
    OnDisk,
    RefLook,
    RepositoryContents,
    StateLook,
)
from purgatory_sync.engine.status.repository_status import RepositoryStatus, Rulers
from purgatory_sync.errors import NaughtyScope, ResultClass
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics
from purgatory_sync.node.operator.node_status import NodeStatus
from purgatory_sync.node.pages.page_filter import PageFilter
from purgatory_sync.node.pages.page_routes import PageRoutes
from purgatory_sync.node.pages.public import PublicStatus
from purgatory_sync.node.pages.rendering import Renderer
from purgatory_sync.node.pages.status_page import write_page
from purgatory_sync.node.upstream import RelayStatus, Trouble
from purgatory_sync.records import NaughtyRecord
from purgatory_sync.runtime.net.addresses import networks
from purgatory_sync.settings import RelaySettings
from purgatory_sync.testing.events import Author

from ..relay.test_nip11 import make_info

NOW = 1_800_000_000.0
ALICE = Author.from_seed(1)
HOSTILE = "<script>alert(1)</script>'\"&{{7*7}}"


def source(
    url: str, result: ResultClass = ResultClass.UNREACHABLE, detail: str = "a secret reason"
) -> SourceStatus:
    return SourceStatus(url, NOW - 30, result, detail, NOW + 60, "a secret ban")


def event(
    *sources: SourceStatus,
    identifier: str = "repo",
    kind: str = "state",
    missing: Sequence[str] = ("1" * 40,),
    error: str | None = None,
) -> HeldStatus:
    return HeldStatus(
        event_id="e" * 64,
        kind=kind,
        identifiers=(identifier,),
        author=ALICE.pubkey,
        accepted_at=NOW - 95,
        until=NOW + 1705,
        at_the_latest=NOW + 86305,
        next_attempt=NOW + 12,
        hunting=False,
        missing=tuple(missing),
        missing_total=len(missing),
        obstacle=None,
        remedy=None,
        error=error,
        sources=sources,
    )


def domain(name: str, *, requests: int = 7, in_flight: int = 0) -> DomainStatus:
    limits = DomainStatistics(in_flight, 23, 4, NOW + 60, requests)
    ban = NaughtyRecord(NaughtyScope.URL, f"https://{name}/x.git", NOW + 7200, "a secret ban")
    return DomainStatus(name, limits, (ban,))


def relay(url: str, *, connected: bool = True, **changes: Any) -> RelayStatus:
    look = RelayStatus(
        url=url,
        found="announcement",
        owners=2,
        connected_since=NOW - 3600 if connected else None,
        retry_at=None if connected else NOW + 60,
        failures=0 if connected else 3,
        last_event_at=NOW - 5,
        received=40,
        accepted=7,
        refused=30,
        history="negentropy",
        trouble=None if connected else Trouble.UNREACHABLE,
        reason="" if connected else "a secret reason",
        trouble_at=None if connected else NOW - 10,
        never_shown=False,
    )
    return attrs.evolve(look, **changes)


def node(
    *events: HeldStatus,
    domains: Sequence[DomainStatus] = (),
    relays: Sequence[RelayStatus] = (),
    hours: Sequence[Hour] = (),
) -> NodeStatus:
    return NodeStatus(
        at=NOW,
        started_at=NOW - 90_000,
        held={"announcement": 2, "soft-expired": 0, "state": 1, "pr": 0},
        queued=3,
        hunting=1,
        events=events,
        events_total=len(events),
        domains=tuple(domains),
        domains_total=len(domains),
        last_hour=HourCounters(NOW - 3600, {"attempts.forbidden": 9, "attempts.timeout": 2}),
        relays=tuple(relays),
        hours=tuple(hours),
    )


def hours(count: int = 24, domain: str = "slow.example") -> list[Hour]:
    now = int(NOW // HOUR) * HOUR
    return [
        Hour(
            now - HOUR * back,
            {"announcement": 3, "state": back % 7, "pr": 1},
            {
                "attempts.timeout": back % 5,
                "attempts.forbidden": 9,
                "released.state": 2,
                "expired": 1,
            },
            {domain: (2, 25.5), "10.0.0.1": (1, 9.0), "quick.example": (40, 20.0)},
        )
        for back in reversed(range(count))
    ]


def repository(
    identifier: str = "repo",
    name: str = "A name",
    description: str = "About it",
    rulers: Rulers | None = None,
    contents: RepositoryContents | None = None,
) -> RepositoryStatus:
    return RepositoryStatus(
        ALICE.pubkey,
        identifier,
        name,
        description,
        True,
        "https",
        "git.example:7334",
        rulers or Rulers(None, (ALICE.npub,), (), {}, (), None, None),
        contents,
    )


def contents(*branches: str, source: str | None = None) -> RepositoryContents:
    looks = tuple(RefLook(name, "a1b2c3d4" * 5, int(NOW) - 3600) for name in branches)
    tags = (RefLook("v1", "2" * 40, 0),)
    disk = OnDisk(branches[0], looks, 25, tags, 1, 3_565_158)
    state = StateLook("e" * 64, ALICE.npub, int(NOW) - 7200, NOW - 60, source)
    return RepositoryContents(NOW, disk, state, {"state": 2, "pull request": 0})


def catalogue(*names: str) -> Catalogue:
    newest = tuple(CatalogueEntry(ALICE.npub, name, name, int(NOW)) for name in names)
    return Catalogue(1234, False, newest)


def status_html(look: PublicStatus, service: str = "x", wanted: PageFilter | None = None) -> str:
    """The status page."""
    return write_page(Renderer(service), look, wanted or PageFilter()).decode()


def make_pages(
    look: NodeStatus | None = None,
    hosted: RepositoryStatus | None = None,
    settings: RelaySettings | None = None,
    listed: Catalogue | None = None,
) -> PageRoutes:
    async def find(npub: str, *identifiers: str) -> RepositoryStatus | None:
        found = hosted is not None and npub == ALICE.npub and hosted.identifier in identifiers
        return hosted if found else None

    everything = look or node()

    async def current(choice: Choice) -> EngineStatus:
        if choice == EVERYTHING:
            return everything
        found = [each for each in everything.events if {*choice.names} & {*each.identifiers}]
        return attrs.evolve(everything, events=tuple(found), events_total=len(found))

    def relays() -> Sequence[RelayStatus]:
        return look.relays if look else ()

    async def catalogue() -> Catalogue:
        assert listed is not None
        return listed

    allow = networks("10.1.0.0/16")
    listing = None if listed is None else catalogue
    return PageRoutes(lambda: make_info(settings), current, find, allow, relays, catalogue=listing)
