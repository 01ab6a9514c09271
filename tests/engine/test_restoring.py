from __future__ import annotations

import pytest

from purgatory_sync.engine.restoring import not_ahead
from purgatory_sync.store.protocol import DomainRow, Expired, HeldRow, Journal, Placeholder
from purgatory_sync.testing.events import Author, announcement, state

OWNER = Author.from_seed(1)
ONE, TWO = announcement(OWNER, "repo"), state(OWNER, "repo", {"refs/heads/main": "1" * 40})


def journal(at: float) -> Journal:
    return Journal(
        held=(
            HeldRow(ONE, "announcement", "user", at - 5, at),
            HeldRow(TWO, "state", "sync", at),
        ),
        expired=(Expired("e" * 64, at),),
        placeholders=(Placeholder(OWNER.pubkey, "repo", "5" * 64, "1" * 40, at),),
        domains=(DomainRow("far.example.com", (at - 5, at), at + 60),),
    )


def test_b_9_what_was_noted_in_the_future_of_the_clock_counts_from_the_start_on() -> None:
    found = not_ahead(journal(5_000.0), 100.0)
    assert [(row.accepted_at, row.soft_expired_at) for row in found.held] == [
        (100, 100),
        (100, None),
    ]
    assert [each.at for each in found.expired] == [100]
    assert [each.at for each in found.placeholders] == [100]
    assert [row.starts for row in found.domains] == [(100, 100)]


@pytest.mark.parametrize("now", [100.0, 101.0])
def test_b_9_time_of_a_stop_counts(now: float) -> None:
    assert not_ahead(journal(100.0), now) == journal(100.0)
