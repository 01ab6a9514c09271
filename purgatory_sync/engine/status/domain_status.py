"""Each git domain with its limits and what of it is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from itertools import islice

from ...errors import NaughtyScope
from ...hunt.limits.domain_statistics import DomainStatistics, HuntStatistics
from ...records import NaughtyRecord
from ...urls import extract_domain
from .models import DomainStatus

DOMAINS_SHOWN = 100
# The list may hold 65,536; to read the URLs of all of them for a page would cost a second.
NAUGHTY_LOOKED_AT = 1_000
NAUGHTY_SHOWN = 5


def domain_statuses(
    hunt: HuntStatistics, naughty: Iterable[NaughtyRecord], now: float
) -> tuple[tuple[DomainStatus, ...], int]:
    """The busiest domains, and how many there are.

    Args:
      naughty: entries, newest first; those that are over are left out.
      now: Unix seconds.
    """
    banned: dict[str, list[NaughtyRecord]] = {}
    for entry in islice(naughty, NAUGHTY_LOOKED_AT):
        if now < entry.until and (domain := _domain_of(entry)) is not None:
            banned.setdefault(domain, []).append(entry)
    found = [
        DomainStatus(name, hunt.domains.get(name), tuple(banned.get(name, ())[:NAUGHTY_SHOWN]))
        for name in dict.fromkeys((*hunt.domains, *banned))
    ]
    return tuple(nlargest(DOMAINS_SHOWN, found, key=_importance)), len(found)


def _domain_of(entry: NaughtyRecord) -> str | None:
    if entry.scope is NaughtyScope.URL:
        return extract_domain(entry.key)
    if entry.scope is NaughtyScope.ENDPOINT:
        return entry.key.rpartition(":")[0]
    return entry.key


def _importance(look: DomainStatus) -> tuple[int, int, bool, bool, int]:
    limits = look.limits or DomainStatistics(0, 0, 0, None, 0)
    return (
        limits.queued,
        limits.in_flight,
        limits.resting_until is not None,
        bool(look.naughty),
        limits.requests_total,
    )
