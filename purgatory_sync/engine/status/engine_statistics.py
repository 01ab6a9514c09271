"""What `PurgatorySync.statistics` shows: frozen values, nothing of the inside."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ...errors import ResultClass
from ...hunt.limits.domain_statistics import HuntStatistics


@attrs.frozen
class SourceReport:
    """What became of one source for one held event.

    Attributes:
      at: Unix seconds of the last attempt.
      result: its coarse class.
      detail: a sentence for the operator.
    """

    url: str
    at: float
    result: ResultClass
    detail: str


@attrs.frozen
class HeldReport:
    """Why one event is held (mission N6).

    Attributes:
      kind: `announcement`, `soft-expired`, `state` or `pr`.
      accepted_at: Unix seconds.
      next_attempt: Unix seconds of the next hunt; None when none is due or one is going on.
      error: why the last release failed, or None.
      sources: where its objects were looked for since the start, and with what result.
    """

    event_id: str
    kind: str
    identifiers: tuple[str, ...]
    accepted_at: float
    next_attempt: float | None
    error: str | None
    sources: tuple[SourceReport, ...]


@attrs.frozen
class Statistics:
    """The engine at one moment.

    Attributes:
      held: how many events are held, by kind.
      queued: identifiers in the queue, those being hunted included.
      released: events released since the start, by kind.
      hunt: domains, attempts by result, OIDs fetched.
      events: why each event is held.
    """

    held: Mapping[str, int]
    queued: int
    released: Mapping[str, int]
    hunt: HuntStatistics
    events: tuple[HeldReport, ...]
