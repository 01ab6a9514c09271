"""What answers git below `/prs/`: the engine behind the routes, for each client address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import attrs
import trio

from ..engine import PurgatorySync
from ..engine.contributions.contributing import Contributor
from ..engine.pushes.in_flight import BelowPrs
from ..engine.pushes.receiving import Changes, Read
from ..nostr.address import RepositoryId
from ..nostr.keys import decode_npub
from ..settings import Settings
from .git_http.prs_http import PrsPush
from .git_http.repository_paths import parse_prs_path
from .git_http.upload_pack_http import GitEndpoint
from .operator.metrics import PrsMetrics


def make_prs_endpoint(
    settings: Settings, engine: PurgatorySync, push: PrsPush | None
) -> GitEndpoint | None:
    """What answers git below `/prs/`, where that is on (GRASP-06)."""
    if push is None:
        return None
    limits = settings.listener
    return GitEndpoint(
        engine.contributed,
        max(limits.git_max_processes // 2, 1),
        push,
        max_secs=limits.git_max_secs,
        least_pace=limits.git_min_bytes_per_sec,
        parse=parse_prs_path,
    )


def make_prs_push(settings: Settings, contributor: Contributor | None) -> PrsPush | None:
    """Pushes below `/prs/`: at most half as many at once as there may be pushes."""
    if contributor is None:
        return None
    return PrsPush(
        _Contributions(contributor),
        settings.prs.max_pack_bytes,
        trio.CapacityLimiter(max(settings.push.max_concurrent // 2, 1)),
        settings.push.min_bytes_per_sec,
        settings.push.keepalive_secs,
    )


def prs_metrics(contributor: Contributor | None, push: PrsPush | None) -> PrsMetrics | None:
    """What is below `/prs/`, without names; None where that is off."""
    if contributor is None or push is None:
        return None
    counts = contributor.prs.count(contributor.core.purgatory.uploads)
    return PrsMetrics(
        counts.repositories,
        {"claimed": counts.claimed, "unclaimed": counts.unclaimed},
        {"claimed": counts.claimed_bytes, "unclaimed": counts.unclaimed_bytes},
        {"quota": 0, **push.counts.results},
        dict(contributor.prs.events),
        dict(contributor.prs.copies),
    )


@attrs.frozen
class _Contributions:
    """The engine as pushes below `/prs/` see it."""

    contributor: Contributor
    address: str = ""

    async def refs(self, npub: str, identifier: str) -> Mapping[str, str] | None:
        return await self.contributor.refs(RepositoryId(decode_npub(npub), identifier))

    async def haves(self, npub: str, identifier: str) -> Sequence[str]:
        return await self.contributor.haves(RepositoryId(decode_npub(npub), identifier))

    def of(self, address: str) -> _Contributions:
        return attrs.evolve(self, address=address)

    def waiting(self, npub: str, identifier: str) -> AbstractContextManager[None]:
        target = RepositoryId(decode_npub(npub), identifier)
        return self.contributor.in_flight.holding([BelowPrs(target)])

    async def receive(self, npub: str, identifier: str, changes: Changes, read: Read) -> None:
        target = RepositoryId(decode_npub(npub), identifier)
        await self.contributor.receive(target, changes, read, self.address)
