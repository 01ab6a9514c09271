"""First dials of hosts that others name have a budget."""

from __future__ import annotations

from purgatory_sync.node.outboxes.choosing import Named
from purgatory_sync.node.outboxes.new_hosts import NewHosts
from purgatory_sync.node.outboxes.relay_lists import Rank

ROOT = [Named("root", Rank.ROOT, ())]


def stranger(number: int) -> Named:
    return Named(f"s{number}", Rank.REPLY, ())


def test_b_15_5_four_new_hosts_a_minute_and_twenty_an_hour() -> None:
    hosts = NewHosts()
    dialled = []
    for second in range(0, 2 * 3600, 5):
        if hosts.may_dial(f"h{second}", ROOT, float(second)) is None:
            dialled.append(second)

    assert dialled[:5] == [0, 5, 10, 15, 60]
    assert sum(second < 3600 for second in dialled) == 20
    assert len(dialled) == 40


def test_b_15_5_a_host_that_was_dialled_is_no_new_one() -> None:
    hosts = NewHosts()
    for number in range(4):
        assert hosts.may_dial(f"h{number}", ROOT, 0.0) is None

    assert hosts.may_dial("h0", ROOT, 1.0) is None
    assert hosts.may_dial("h9", ROOT, 1.0) == "host_rate"


def test_b_15_5_two_an_hour_because_of_one_stranger() -> None:
    hosts, by = NewHosts(), [stranger(1)]

    assert [hosts.may_dial(f"h{n}", by, 60.0 * n) for n in range(3)] == [
        None,
        None,
        "single_author",
    ]
    assert hosts.may_dial("h3", [stranger(1), stranger(2)], 200.0) is None
    assert hosts.may_dial("h4", [stranger(1), *ROOT], 300.0) is None
    assert hosts.may_dial("h2", by, 3700.0) is None


def test_b_15_5_relays_that_the_operator_names_count_as_nobodys() -> None:
    hosts = NewHosts()

    assert [hosts.may_dial(f"h{n}", (), 60.0 * n) for n in range(5)] == [None] * 5
