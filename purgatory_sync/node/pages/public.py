"""What the public page shows of the engine: coarse classes, no reasons, nothing from inside.

Results are told by their class only, so that the author of an announcement does not learn from it
what this machine sees; URLs and domains that the gate refused are not told at all (N4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ...engine.status.hourly import Hour
from ...engine.status.models import (
    AttemptStatus,
    DomainStatus,
    EngineStatus,
    HeldStatus,
    HourCounters,
    SourceStatus,
)
from ...engine.status.repository_status import Rulers
from ...errors import NaughtyScope, ResultClass
from ...hunt.limits.domain_statistics import DomainStatistics
from ...nostr.keys import encode_npub
from ...records import NaughtyRecord
from ...runtime.net.addresses import may_contact, parse_address
from ...settings import Network
from ...urls import PRS, RELAY_SCHEMES, extract_domain, parse_web_url
from ..upstream.state.relay_health import RelayStatus, Trouble

# Strangers write events: a page of a hundred of them must stay one that a phone can load.
IDENTIFIERS_SHOWN = 5
MISSING_SHOWN = 20
TRIED_SHOWN = 10
RELAYS_SHOWN = 100

_FORBIDDEN_COUNTER = f"attempts.{ResultClass.FORBIDDEN.value}"
_UNKNOWN = DomainStatistics(0, 0, 0, None, 0)


@attrs.frozen
class PublicSource:
    """A URL that was tried for an event; `at` in Unix seconds."""

    url: str
    at: float
    result: str


@attrs.frozen
class PublicEvent:
    """A held event; times in Unix seconds.

    Attributes:
      until: when it ends; a state or pull request not before each source was tried once, an
        announcement not while one of those waits for it.
      at_the_latest: when it ends even so.
      identifiers, missing, tried: some of them; the totals say how many there are.
      obstacle: why no object would release it (`engine.status.models.Obstacle`), or None.
      remedy: what its author can publish against that, in words, or None.
      via: `prs` for a pull request that names a path below `/prs/` (B 12.10).
      release_failed: its objects are here, but it could not be released.
      attempts: the newest, oldest first; several at one source are several.
    """

    event_id: str
    kind: str
    identifiers: Sequence[str]
    identifiers_total: int
    author: str
    held_since: float
    until: float
    at_the_latest: float | None
    next_try: float | None
    hunting: bool
    missing: Sequence[str]
    missing_total: int | None
    obstacle: str | None
    remedy: str | None
    release_failed: bool
    tried: Sequence[PublicSource]
    tried_total: int
    via: str | None = None
    attempts: Sequence[PublicSource] = ()
    attempts_total: int = 0


@attrs.frozen
class PublicRepository:
    """A repository that is hosted here, and who rules it; keys as npub."""

    npub: str
    identifier: str
    name: str
    description: str
    is_served: bool
    rulers: Rulers


@attrs.frozen
class PublicDomain:
    """A git domain; times in Unix seconds.

    Attributes:
      tokens: attempts that may start now; None for a domain without living limits.
      naughty_until: until when it, or something of it, is left alone.
    """

    domain: str
    in_flight: int
    tokens: int | None
    queued: int
    resting_until: float | None
    naughty_until: float | None


@attrs.frozen
class PublicRelay:
    """A relay that is followed; times in Unix seconds.

    Attributes:
      found: `operator` or `announcement`.
      connected_since: None while it is not connected.
      retry_at: when it is tried again; None while connected or connecting.
      taken, refused: events that it was the first to bring, by what became of them.
      history: `negentropy`, `req`, or None before that is known.
      trouble: the coarse class of what went wrong last, or None.
      not_followed: what it does not let us follow, or only now and then, in words.
    """

    url: str
    found: str
    connected_since: float | None
    retry_at: float | None
    last_event_at: float | None
    taken: int
    refused: int
    history: str | None
    trouble: str | None
    not_followed: tuple[str, ...]


@attrs.frozen
class PublicHour:
    """Counters since `since` (Unix seconds): the last hour, or the time since the start."""

    since: float
    counts: Mapping[str, int]


@attrs.frozen
class PublicStatus:
    """`/purgatory.json`."""

    at: float
    started_at: float
    held: Mapping[str, int]
    queued: int
    hunting: int
    events: Sequence[PublicEvent]
    events_total: int
    domains: Sequence[PublicDomain]
    relays: Sequence[PublicRelay]
    relays_total: int
    last_hour: PublicHour
    hours: Sequence[Hour] = ()


def public_status(
    look: EngineStatus, allow: Sequence[Network], relays: Sequence[RelayStatus] = ()
) -> PublicStatus:
    """Choose what is public.

    Args:
      allow: the operator's exceptions, by which an address is not forbidden.
      relays: those that are followed.
    """
    shown = [_relay(each) for each in relays if shows_relay(each, allow)]
    return PublicStatus(
        at=look.at,
        started_at=look.started_at,
        held=look.held,
        queued=look.queued,
        hunting=look.hunting,
        events=[_event(each, allow) for each in look.events],
        events_total=look.events_total,
        domains=[
            _domain(each)
            for each in look.domains
            if (_naughty(each) or is_seen(each.limits or _UNKNOWN))
            and is_public(each.domain, allow)
        ],
        relays=shown[:RELAYS_SHOWN],
        relays_total=len(shown),
        last_hour=_hour(look.last_hour),
        hours=[_figures(each, allow) for each in look.hours],
    )


def _event(look: HeldStatus, allow: Sequence[Network]) -> PublicEvent:
    tried, attempts = _tried(look.sources, allow), _attempts(look.attempts, allow)
    return PublicEvent(
        event_id=look.event_id,
        kind=look.kind,
        identifiers=look.identifiers[:IDENTIFIERS_SHOWN],
        identifiers_total=len(look.identifiers),
        author=encode_npub(look.author),
        held_since=look.accepted_at,
        until=look.until,
        at_the_latest=look.at_the_latest,
        next_try=look.next_attempt,
        hunting=look.hunting,
        missing=look.missing[:MISSING_SHOWN],
        missing_total=look.missing_total,
        obstacle=look.obstacle,
        remedy=look.remedy,
        release_failed=look.error is not None,
        tried=tried[:TRIED_SHOWN],
        tried_total=len(tried),
        via=PRS if look.paths else None,
        attempts=attempts,
        attempts_total=look.attempts_total - len(look.attempts) + len(attempts),
    )


def _tried(sources: Sequence[SourceStatus], allow: Sequence[Network]) -> list[PublicSource]:
    return [
        PublicSource(source.url, source.at, source.result.value)
        for source in sources
        if source.at is not None
        and source.result is not None
        and source.result is not ResultClass.FORBIDDEN
        and is_told(source.url, allow)
    ]


def _attempts(looks: Sequence[AttemptStatus], allow: Sequence[Network]) -> list[PublicSource]:
    return [
        PublicSource(each.url, each.at, each.result.value)
        for each in looks
        if each.result is not ResultClass.FORBIDDEN and is_told(each.url, allow)
    ]


def is_told(url: str, allow: Sequence[Network]) -> bool:
    """Whether a URL may be told of, by its host."""
    return is_public(extract_domain(url) or "", allow)


def _domain(look: DomainStatus) -> PublicDomain:
    limits = look.limits
    return PublicDomain(
        domain=look.domain,
        in_flight=limits.in_flight if limits else 0,
        tokens=limits.tokens if limits else None,
        queued=limits.queued if limits else 0,
        resting_until=limits.resting_until if limits else None,
        naughty_until=max((entry.until for entry in _naughty(look)), default=None),
    )


def _naughty(look: DomainStatus) -> list[NaughtyRecord]:
    """What may be told of: that a name does not exist may not, as with names inside."""
    return [entry for entry in look.naughty if entry.scope is not NaughtyScope.HOST]


def shows_relay(look: RelayStatus, allow: Sequence[Network]) -> bool:
    """Whether a relay is public: one that the gate refused is not."""
    host = parse_web_url(look.url, RELAY_SCHEMES).host
    return not look.never_shown and look.trouble is not Trouble.FORBIDDEN and is_public(host, allow)


def _relay(look: RelayStatus) -> PublicRelay:
    return PublicRelay(
        url=look.url,
        found=look.found,
        connected_since=look.connected_since,
        retry_at=look.retry_at,
        last_event_at=look.last_event_at,
        taken=look.accepted,
        refused=look.refused,
        history=look.history,
        trouble=look.trouble.value if look.trouble else None,
        not_followed=look.not_followed,
    )


def is_public(host: str, allow: Sequence[Network]) -> bool:
    """Whether a host may be told of: a name, or an address that may be contacted."""
    address = parse_address(host)
    return address is None or may_contact(address, allow)


def is_seen(limits: DomainStatistics) -> bool:
    """Whether a domain was ever contacted: one that the gate refuses never is."""
    return bool(limits.requests_total or limits.in_flight or limits.queued or limits.resting_until)


def _hour(look: HourCounters) -> PublicHour:
    return PublicHour(look.since, _told(look.counts))


def _figures(look: Hour, allow: Sequence[Network]) -> Hour:
    domains = {name: spent for name, spent in look.domains.items() if is_public(name, allow)}
    return attrs.evolve(look, counts=_told(look.counts), domains=domains)


def _told(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if name != _FORBIDDEN_COUNTER}
