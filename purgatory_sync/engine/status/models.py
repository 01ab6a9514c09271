"""What `Explainer` tells an operator: frozen values with every reason in them (N6).

The public page shows less: `node/pages/public.py` chooses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from ...errors import ResultClass
from ...hunt.limits.domain_statistics import DomainStatistics, HuntStatistics
from ...records import NaughtyRecord
from .hourly import Hour


@attrs.frozen
class SourceStatus:
    """One clone URL of one held event.

    Attributes:
      at, result, detail: the last attempt for this event since the start; None where none was.
      naughty_until: Unix seconds until which it is left alone, or None.
      naughty_reason: why, or None.
    """

    url: str
    at: float | None = None
    result: ResultClass | None = None
    detail: str | None = None
    naughty_until: float | None = None
    naughty_reason: str | None = None


@attrs.frozen
class AttemptStatus:
    """One attempt at a source for one held event; `at` in Unix seconds."""

    url: str
    at: float
    result: ResultClass


@attrs.frozen
class PathStatus:
    """A path below our `/prs/` that a pull request names (B 12.10).

    Attributes:
      path: `/prs/<npub>/<identifier>.git`.
      says: what is the matter with it, in words.
    """

    path: str
    says: str


Obstacle = Literal[
    "unsatisfiable",
    "unauthorised",
    "invited",
    "path",
    "unannounced",
    "no_repository",
    "no_refs",
]
"""Why an event stays held even with every object here.

`unsatisfiable`: it names what can be no object here (B 1.3). `unauthorised`: its author is in
no set (any more; B 7.2). `invited`: a maintainer names its author, who has not accepted.
`path`: its author's own announcement points at a lead that leads to no maintainers (B 3.7); of an
announcement: it does itself. `unannounced`: no repository that it names is announced (any more;
B 4.1). `no_repository`: none of those that it concerns is on this disk (B 2.7). `no_refs`: it only
deletes, and while nothing is served there, that needs data (B 3.5).
"""


@attrs.frozen
class HeldStatus:
    """Why one event is held.

    Attributes:
      kind: `announcement`, `soft-expired`, `state` or `pr`.
      author: hex key.
      accepted_at: Unix seconds.
      until: Unix seconds of its regular end; of a state or pull request not before every source
        was tried once (B 8.9), of an announcement not while one of those is held (B 2.7).
      at_the_latest: Unix seconds at which it ends even so; None for announcements.
      next_attempt: Unix seconds of the next hunt; None when none is due or one is going on.
      hunting: a hunt for one of its identifiers is going on.
      missing: the OIDs that it lacks, sorted; at most `MISSING_SHOWN`.
      missing_total: how many it lacks; None where that was not looked up (announcements need none).
      obstacle: why no object would release it, or None.
      remedy: what its author can publish against that, or None.
      error: why the last release failed, or None.
      sources: where its objects were, and may be, looked for.
      paths: where it may be pushed below `/prs/`.
      attempts: the newest since the start, oldest first; one that the gate refused is none.
      attempts_total: how many there were.
    """

    event_id: str
    kind: str
    identifiers: tuple[str, ...]
    author: str
    accepted_at: float
    until: float
    at_the_latest: float | None
    next_attempt: float | None
    hunting: bool
    missing: tuple[str, ...]
    missing_total: int | None
    obstacle: Obstacle | None
    remedy: str | None
    error: str | None
    sources: tuple[SourceStatus, ...]
    paths: tuple[PathStatus, ...] = ()
    attempts: tuple[AttemptStatus, ...] = ()
    attempts_total: int = 0


@attrs.frozen
class Fate:
    """What became of an event that is not held.

    Attributes:
      outcome: it is served, it expired without its data (B 8.9), or only its commit was pushed
        below `/prs/` so far (B 12.5).
      at: Unix seconds since when; None where it is not known (served before the start).
      until: of what expired, Unix seconds until which relays that repeat it are refused; of what
        was pushed, when it goes again.
      reason: why it ended, where it is not that its data did not come (B 7.4).
      next_at: of what expired, Unix seconds at which its sources are asked again (B 8.12).
    """

    event_id: str
    outcome: Literal["served", "expired", "pushed"]
    at: float | None
    until: float | None = None
    reason: str = ""
    next_at: float | None = None


@attrs.frozen
class DomainStatus:
    """One git domain: its limits now, and what of it is left alone.

    Attributes:
      limits: None for a domain that does not live.
    """

    domain: str
    limits: DomainStatistics | None
    naughty: tuple[NaughtyRecord, ...]


@attrs.frozen
class HourCounters:
    """Counters of the last hour.

    Attributes:
      since: Unix seconds at which the counting began: an hour ago, or the start.
      counts: by name: `attempts.<result>`, `released.<kind>`, `offered.<outcome>`, `oids_fetched`,
        `expired`.
    """

    since: float
    counts: Mapping[str, int]


@attrs.frozen
class EngineStatus:
    """The engine at one moment, as far as a page can show it.

    Attributes:
      at: Unix seconds.
      held: how many events are held, by kind; all of them.
      queued: identifiers in the queue, those being hunted included.
      events: the newest held ones, or of those that were chosen; `events_total` says how many
        there are of these.
      domains: the busiest; `domains_total` says how many there are.
      hours: the figures of the last day, oldest first, also from before the start.
    """

    at: float
    started_at: float
    held: Mapping[str, int]
    queued: int
    hunting: int
    events: tuple[HeldStatus, ...]
    events_total: int
    domains: tuple[DomainStatus, ...]
    domains_total: int
    last_hour: HourCounters
    hours: tuple[Hour, ...] = ()


@attrs.frozen
class Statistics:
    """What `engine.statistics` shows at one moment.

    Attributes:
      held: how many events are held, by kind.
      queued: identifiers in the queue, those being hunted included.
      released: events released since the start, by kind.
      hunt: domains, attempts by result, OIDs fetched.
      states_refused: states of authors who are no members since the start, by what they are.
      private_refused: announcements of private repositories that were refused since the start.
      unruled: served repositories that no key rules now, by why (`PathProblem`).
      verify_findings: what the last verification found and is left, by what it is (B 13.7).
      events: why each event is held; without what it lacks, which only a look at the disk tells.
    """

    held: Mapping[str, int]
    queued: int
    released: Mapping[str, int]
    hunt: HuntStatistics
    events: tuple[HeldStatus, ...]
    states_refused: Mapping[str, int] = attrs.field(factory=dict)
    private_refused: int = 0
    unruled: Mapping[str, int] = attrs.field(factory=dict)
    verify_findings: Mapping[str, int] = attrs.field(factory=dict)
