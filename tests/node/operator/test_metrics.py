"""Names, labels and their bound."""

from __future__ import annotations

from purgatory_sync.node.operator.metrics import DomainMetrics, Metrics, MetricsSnapshot


def lines(metrics: Metrics) -> list[str]:
    text = metrics.render().decode()
    return [line for line in text.splitlines() if line.startswith("purgatory")]


def test_names_and_values() -> None:
    metrics = Metrics(
        lambda: MetricsSnapshot(
            queue_size=3,
            attempts={"success": 2, "timeout": 1},
            oids_fetched=40,
            held={"state": 5},
            released={"pr": 6},
            domains=[DomainMetrics("git.example", 1, 7, 29)],
            relays={"connected": 3, "lost": 1},
            relay_events={"taken": 8, "refused": 9},
            pushes={"accepted": 8, "refused": 9},
            push_bytes=1000,
            states_refused={"invited": 4},
            private_refused=5,
            unruled={"circle": 2},
            push_secs=1.5,
            client_bytes=77,
        )
    )
    assert lines(metrics) == [
        "purgatory_sync_queue_size 3.0",
        'purgatory_sync_attempts_total{result="success"} 2.0',
        'purgatory_sync_attempts_total{result="timeout"} 1.0',
        "purgatory_sync_oids_fetched_total 40.0",
        'purgatory_held{kind="state"} 5.0',
        'purgatory_released_total{kind="pr"} 6.0',
        'purgatory_states_refused_total{reason="invited"} 4.0',
        "purgatory_private_refused_total 5.0",
        'purgatory_owners_unruled{reason="circle"} 2.0',
        'purgatory_pushes_total{result="accepted"} 8.0',
        'purgatory_pushes_total{result="refused"} 9.0',
        "purgatory_push_bytes_total 1000.0",
        "purgatory_push_seconds_total 1.5",
        'purgatory_relays{state="connected"} 3.0',
        'purgatory_relays{state="lost"} 1.0',
        'purgatory_relay_events_total{result="taken"} 8.0',
        'purgatory_relay_events_total{result="refused"} 9.0',
        "purgatory_client_bytes 77.0",
        'purgatory_domain_in_flight{domain="git.example"} 1.0',
        'purgatory_domain_requests_total{domain="git.example"} 7.0',
        'purgatory_domain_tokens{domain="git.example"} 29.0',
    ]


def test_domains_after_the_first_hundred_are_other() -> None:
    domains = [DomainMetrics(f"d{number}", 1, 2, 3) for number in range(100)]
    metrics = Metrics(lambda: MetricsSnapshot(domains=tuple(domains)))
    assert not any("other" in line for line in lines(metrics))
    domains[:50] = [DomainMetrics(f"new{number}", 1, 2, 3) for number in range(70)]
    shown = lines(metrics)
    assert 'purgatory_domain_in_flight{domain="other"} 70.0' in shown
    assert 'purgatory_domain_requests_total{domain="other"} 140.0' in shown
    assert 'purgatory_domain_in_flight{domain="d99"} 1.0' in shown
    assert not any("new" in line for line in shown)


def test_counters_of_domains_that_end_and_come_again_never_fall() -> None:
    domains: list[DomainMetrics] = []
    metrics = Metrics(lambda: MetricsSnapshot(domains=tuple(domains)))
    seen = []
    for counted in ([5], [7], [], [2], [2], [1]):
        domains[:] = [DomainMetrics("git.example", 0, count, 30) for count in counted]
        seen += [line for line in lines(metrics) if line.startswith("purgatory_domain_requests")]
    assert [float(line.rpartition(" ")[2]) for line in seen] == [5, 7, 7, 9, 9, 10]


def test_nothing_is_read_before_the_first_scrape() -> None:
    read: list[int] = []

    def statistics() -> MetricsSnapshot:
        read.append(1)
        return MetricsSnapshot()

    metrics = Metrics(statistics)
    assert read == []
    Metrics(statistics).render()  # a second node in one process has a registry of its own
    metrics.render()
    assert read == [1, 1]
