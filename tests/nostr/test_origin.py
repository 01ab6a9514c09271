"""What an announcement claims of where its repository comes from: `euc` and `u`."""

from __future__ import annotations

import pytest

from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.testing.events import Author

AUTHOR = Author.from_seed(1)
COMMIT = "c" * 40


def announced(*tags: tuple[str, ...]) -> Announcement:
    return Announcement.parse(AUTHOR.sign(30617, "", [("d", "r"), *tags]))


@pytest.mark.parametrize(
    ("tags", "commit"),
    [
        ([("r", COMMIT, "euc")], COMMIT),
        ([("r", "d" * 64, "euc", "more")], "d" * 64),
        ([("r", "x", "euc"), ("r", COMMIT, "euc"), ("r", "e" * 40, "euc")], COMMIT),
        ([("r", COMMIT)], None),
        ([("r", COMMIT, "EUC")], None),
        ([("r", COMMIT.upper(), "euc")], None),
        ([("r", COMMIT[:39], "euc")], None),
        ([("r",), ("euc", COMMIT)], None),
        ([], None),
    ],
)
def test_b_8_13_the_first_claim_that_is_a_commit(
    tags: list[tuple[str, ...]], commit: str | None
) -> None:
    assert announced(*tags).earliest_commit == commit


def test_b_8_13_what_it_is_a_fork_of_is_taken_as_written() -> None:
    assert announced(("u", "30617:x:y", "wss://r.example")).fork_of == "30617:x:y"
    assert announced().fork_of == ""
