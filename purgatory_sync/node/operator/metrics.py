"""Prometheus metrics, read from a snapshot at each scrape; label sets are bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

MAX_DOMAINS = 100
OTHER = "other"
CONTENT_TYPE = CONTENT_TYPE_LATEST


@attrs.frozen
class DomainMetrics:
    """One git domain that the throttles know.

    Attributes:
      in_flight: attempts under way now.
      requests: attempts started since the node did.
      tokens: attempts that may start at once.
    """

    domain: str
    in_flight: int
    requests: int
    tokens: int


@attrs.frozen
class PrsMetrics:
    """What is below `/prs/` (GRASP-06); counters are since the start.

    Attributes:
      refs, bytes: by whether a signed event names them (`claimed`, `unclaimed`).
      pushes: by result (`accepted`, `refused`, `quota`, `broken`).
      events: of those that name paths there, by what became of them.
      copies: into announced repositories, by result.
    """

    repositories: int = 0
    refs: Mapping[str, int] = attrs.field(factory=dict)
    bytes: Mapping[str, int] = attrs.field(factory=dict)
    pushes: Mapping[str, int] = attrs.field(factory=dict)
    events: Mapping[str, int] = attrs.field(factory=dict)
    copies: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen
class OutboxMetrics:
    """Visits to participants' relays (GRASP-03); counters are since the start.

    Attributes:
      relays: that are visited, by state (`reached`, `failing`, `waiting`).
      visits: by result (`complete`, `full`, `failed`).
      events: that a visit was the first to bring, by result (`taken`, `refused`).
      refused: relays that were not dialled, by reason (`gate`, `host_rate`, `single_author`).
      authors: participants whose relays are known or looked for.
    """

    relays: Mapping[str, int]
    visits: Mapping[str, int]
    events: Mapping[str, int]
    refused: Mapping[str, int]
    authors: int


@attrs.frozen
class MetricsSnapshot:
    """What the node counts, at one moment; counters are since its start.

    Attributes:
      queue_size: identifiers that wait for a hunt or are being hunted.
      attempts: finished attempts by result.
      oids_fetched: objects that hunts brought.
      held: held events by kind (`announcement`, `state`, `pr`).
      released: released events by kind.
      states_refused: states of authors who are no members, by what they are instead.
      private_refused: announcements of private repositories that were refused.
      unruled: served repositories that no key rules now, by why.
      verify_findings: what the last verification found and is left, by what it is.
      domains: the git domains that the throttles know.
      pushes: pushes that came to an end by result (`accepted`, `refused`, `broken`).
      push_bytes: what they sent.
      push_secs: how long they took, release included.
      relays: relays that are followed by state (`connected`, `lost`).
      relay_events: events that a relay was the first to bring, by result (`taken`, `refused`).
      prs: what is below `/prs/`; None where that is off.
      outboxes: visits to participants' relays; None where that is off.
      client_bytes: what is kept for all clients of the relay (B 10.1: at most 256 MiB).
    """

    queue_size: int = 0
    attempts: Mapping[str, int] = attrs.field(factory=dict)
    oids_fetched: int = 0
    held: Mapping[str, int] = attrs.field(factory=dict)
    released: Mapping[str, int] = attrs.field(factory=dict)
    states_refused: Mapping[str, int] = attrs.field(factory=dict)
    private_refused: int = 0
    unruled: Mapping[str, int] = attrs.field(factory=dict)
    verify_findings: Mapping[str, int] = attrs.field(factory=dict)
    domains: Sequence[DomainMetrics] = ()
    pushes: Mapping[str, int] = attrs.field(factory=dict)
    push_bytes: int = 0
    push_secs: float = 0.0
    relays: Mapping[str, int] = attrs.field(factory=dict)
    relay_events: Mapping[str, int] = attrs.field(factory=dict)
    client_bytes: int = 0
    prs: PrsMetrics | None = None
    outboxes: OutboxMetrics | None = None


class Metrics:
    """Metrics of one node, in a registry of their own.

    Args:
      statistics: read at each scrape.
      more: what else is collected then.
    """

    def __init__(
        self, statistics: Callable[[], MetricsSnapshot], more: Sequence[Collector] = ()
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(statistics))
        for each in more:
            self._registry.register(each)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The metrics as text for Prometheus; its content type is CONTENT_TYPE."""
        return generate_latest(self._registry)


class _Collector(Collector):
    def __init__(self, statistics: Callable[[], MetricsSnapshot]) -> None:
        self._statistics = statistics
        self._domains: set[str] = set()
        self._started: dict[str, int] = {}
        self._requests = Counter[str]()

    def describe(self) -> list[Metric]:
        # So that registering does not read statistics of a node that has not started.
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._statistics()
        yield GaugeMetricFamily(
            "purgatory_sync_queue_size", "Identifiers queued for a hunt.", now.queue_size
        )
        yield _counters("purgatory_sync_attempts", "Finished attempts.", "result", now.attempts)
        yield CounterMetricFamily(
            "purgatory_sync_oids_fetched", "Objects that hunts brought.", now.oids_fetched
        )
        yield _gauges("purgatory_held", "Held events.", "kind", now.held)
        yield _counters("purgatory_released", "Released events.", "kind", now.released)
        refused = now.states_refused
        yield _counters("purgatory_states_refused", "States of non-members.", "reason", refused)
        yield CounterMetricFamily(
            "purgatory_private_refused", "Private repositories refused.", now.private_refused
        )
        yield _gauges(
            "purgatory_owners_unruled", "Served owners with an empty set.", "reason", now.unruled
        )
        findings = now.verify_findings
        yield _gauges("purgatory_verify_findings", "Of the last verification.", "what", findings)
        yield _counters("purgatory_pushes", "Pushes.", "result", now.pushes)
        yield CounterMetricFamily("purgatory_push_bytes", "Bytes that pushes sent.", now.push_bytes)
        yield CounterMetricFamily(
            "purgatory_push_seconds", "Seconds that pushes took.", now.push_secs
        )
        yield _gauges("purgatory_relays", "Relays that are followed.", "state", now.relays)
        yield _counters("purgatory_relay_events", "Events of relays.", "result", now.relay_events)
        yield GaugeMetricFamily(
            "purgatory_client_bytes", "Bytes kept for the relay's clients.", now.client_bytes
        )
        if now.prs is not None:
            yield from _prs(now.prs)
        if now.outboxes is not None:
            yield from _outboxes(now.outboxes)
        in_flight, tokens = self._by_domain(now.domains)
        self._count_requests(now.domains)
        yield _gauges("purgatory_domain_in_flight", "Attempts under way.", "domain", in_flight)
        yield _counters("purgatory_domain_requests", "Attempts started.", "domain", self._requests)
        yield _gauges(
            "purgatory_domain_tokens", "Attempts that may start at once.", "domain", tokens
        )

    def _by_domain(self, domains: Sequence[DomainMetrics]) -> tuple[Counter[str], Counter[str]]:
        in_flight, tokens = Counter[str](), Counter[str]()
        for one in domains:
            label = self._label(one.domain)
            in_flight[label] += one.in_flight
            tokens[label] += one.tokens
        return in_flight, tokens

    def _count_requests(self, domains: Sequence[DomainMetrics]) -> None:
        """A counter never falls, although the throttles forget idle domains and begin anew."""
        for one in domains:
            before = self._started.get(one.domain, 0)
            new = one.requests - before if one.requests >= before else one.requests
            self._requests[self._label(one.domain)] += new
        self._started = {one.domain: one.requests for one in domains}

    def _label(self, domain: str) -> str:
        if len(self._domains) < MAX_DOMAINS:
            self._domains.add(domain)
        return domain if domain in self._domains else OTHER


def _prs(now: PrsMetrics) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "purgatory_prs_repositories", "Repositories below /prs/.", now.repositories
    )
    yield _gauges("purgatory_prs_refs", "Refs below /prs/.", "state", now.refs)
    yield _gauges("purgatory_prs_bytes", "Bytes below /prs/.", "state", now.bytes)
    yield _counters("purgatory_prs_pushes", "Pushes below /prs/.", "result", now.pushes)
    yield _counters("purgatory_prs_events", "Events that name /prs/.", "result", now.events)
    yield _counters("purgatory_prs_copies", "Copies from below /prs/.", "result", now.copies)


def _outboxes(now: OutboxMetrics) -> Iterator[Metric]:
    yield _gauges("purgatory_outbox_relays", "Relays that are visited.", "state", now.relays)
    yield _counters("purgatory_outbox_visits", "Visits to them.", "result", now.visits)
    yield _counters("purgatory_outbox_events", "Events that came so.", "result", now.events)
    yield _counters("purgatory_outbox_refused", "Relays not dialled.", "reason", now.refused)
    yield GaugeMetricFamily("purgatory_outbox_authors", "Participants known.", now.authors)


def _counters(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
