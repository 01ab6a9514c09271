"""Domains with their limits and their naughty entries."""

from __future__ import annotations

from purgatory_sync.engine.status.domain_status import (
    DOMAINS_SHOWN,
    NAUGHTY_LOOKED_AT,
    NAUGHTY_SHOWN,
    domain_statuses,
)
from purgatory_sync.engine.status.models import DomainStatus
from purgatory_sync.errors import NaughtyScope
from purgatory_sync.hunt.limits.domain_statistics import DomainStatistics, HuntStatistics
from purgatory_sync.records import NaughtyRecord

NOW = 1_000.0
BUSY = DomainStatistics(in_flight=5, tokens=0, queued=3, resting_until=None, requests_total=40)
IDLE = DomainStatistics(in_flight=0, tokens=30, queued=0, resting_until=None, requests_total=1)


def hunt(**domains: DomainStatistics) -> HuntStatistics:
    return HuntStatistics(domains, {}, 0, 0)


def test_entries_of_every_scope_are_found_at_their_domain() -> None:
    naughty = [
        NaughtyRecord(NaughtyScope.URL, "https://idle/x.git", NOW + 3, "page"),
        NaughtyRecord(NaughtyScope.ENDPOINT, "idle:443", NOW + 2, "tls"),
        NaughtyRecord(NaughtyScope.HOST, "gone", NOW + 1, "dns"),
        NaughtyRecord(NaughtyScope.HOST, "busy", NOW, "over"),
    ]
    looks, total = domain_statuses(hunt(idle=IDLE, busy=BUSY), naughty, NOW)
    assert total == 3
    assert looks == (
        DomainStatus("busy", BUSY, ()),
        DomainStatus(
            "idle",
            IDLE,
            (
                NaughtyRecord(NaughtyScope.URL, "https://idle/x.git", NOW + 3, "page"),
                NaughtyRecord(NaughtyScope.ENDPOINT, "idle:443", NOW + 2, "tls"),
            ),
        ),
        DomainStatus("gone", None, (NaughtyRecord(NaughtyScope.HOST, "gone", NOW + 1, "dns"),)),
    )


def test_a_page_shows_and_costs_no_more_than_its_bounds() -> None:
    many = {f"d{number}": IDLE for number in range(DOMAINS_SHOWN + 7)}
    naughty = (
        NaughtyRecord(NaughtyScope.HOST, f"n{number}", NOW + 1, "") for number in range(10**9)
    )
    looks, total = domain_statuses(hunt(**many, last=BUSY), naughty, NOW)
    assert (len(looks), total) == (DOMAINS_SHOWN, DOMAINS_SHOWN + 8 + NAUGHTY_LOOKED_AT)
    assert looks[0].domain == "last"


def test_of_one_host_with_thousands_of_repositories_some_are_shown() -> None:
    naughty = [
        NaughtyRecord(NaughtyScope.URL, f"https://one/{number}.git", NOW + 1, "404")
        for number in range(NAUGHTY_SHOWN + 3)
    ]
    ((look,), _) = domain_statuses(hunt(), naughty, NOW)
    assert [each.key for each in look.naughty] == [each.key for each in naughty[:NAUGHTY_SHOWN]]
