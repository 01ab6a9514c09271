"""What `make bench` measures of visits, small: connections, intervals, nothing is missed."""

from __future__ import annotations

import pytest

from benchmarks.outboxes import follow


@pytest.mark.tree
def test_b_15_5_at_most_eight_connections_and_each_relay_within_75_min() -> None:
    result = follow(relays=8, people=30, conversations=60)

    assert 1 <= result.most_connections <= 8
    assert result.chosen == 8
    assert result.longest_secs <= 75 * 60
    assert (result.found, result.missing) == (6, 0)
