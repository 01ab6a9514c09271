"""What the hunt shows of itself: frozen values for operators and metrics."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ...errors import ResultClass


@attrs.frozen
class DomainStatistics:
    """One git domain.

    Attributes:
      in_flight: attempts that go on.
      tokens: starts that are possible now.
      queued: identifiers that wait or whose turn is going on.
      resting_until: Unix seconds, or None (B 8.6).
      requests_total: attempts started since the domain was first seen.
    """

    in_flight: int
    tokens: int
    queued: int
    resting_until: float | None
    requests_total: int


@attrs.frozen
class HuntStatistics:
    """The whole hunt.

    Attributes:
      domains: by domain, those that live.
      attempts: ended attempts by result.
      oids_fetched: objects obtained that were asked for.
      hunting: identifiers that are being hunted.
    """

    domains: Mapping[str, DomainStatistics]
    attempts: Mapping[ResultClass, int]
    oids_fetched: int
    hunting: int
