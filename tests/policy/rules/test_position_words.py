"""What a key without authority is told fits its case, and says what to publish (B 3.1)."""

from __future__ import annotations

import pytest

from purgatory_sync.nostr.announcement import Announcement
from purgatory_sync.nostr.authority.outsiders import Position, position_of
from purgatory_sync.nostr.authority.repository_data import (
    KnownAnnouncement,
    RepositoryData,
    Standing,
)
from purgatory_sync.nostr.keys import encode_npub
from purgatory_sync.policy.rules.position_words import why_no_authority, why_not

from ...nostr.authority.authority_cases import announced, key

NPUB = {letter: encode_npub(key(letter)) for letter in "ABCDL"}


def data(text: str) -> RepositoryData:
    events, served = announced(text)
    return RepositoryData.of(
        "x",
        (
            KnownAnnouncement(
                Announcement.parse(event), Standing.SERVED if each in served else Standing.HELD
            )
            for each, event in events.items()
        ),
    )


@pytest.mark.parametrize(
    ("tags", "position", "words"),
    [
        ("A: -", Position.STRANGER, "no maintainer names you: ask one"),
        ("A: mt B", Position.INVITED, f"you are invited by {NPUB['A']}: publish your own"),
        ("A: mt C | C: mt A B", Position.INVITED, f"you are invited by {NPUB['C']}: publish"),
        ("A: mt B C | C: mt A B", Position.INVITED, f"you are invited by {NPUB['A']}: publish"),
        ("A: M A, m B | B: M A, m B 1 2", Position.LEFT, "you have ended your role"),
        ("A: M A, m B | B: M A, o B", Position.LEFT, "you have ended your role"),
        ("A: M A, m B | B: M A, m B 1 defer", Position.BROKEN, "role tags for yourself"),
        ("A: M A | B: M A, m B", Position.REMOVED, f"points at {NPUB['A']}, which names you no"),
        ("A: M A | B: M C, m B | C: M A", Position.REMOVED, f"points at {NPUB['A']}"),
        ("A: M A | B: M L, m B", Position.PATH, f"the lead {NPUB['L']} has no announcement"),
        ("A: - | B: M A, m B", Position.PATH, f"the lead {NPUB['A']} does not say in its own"),
        ("A: M A | B: M A, M C, m B", Position.PATH, f"the announcement of {NPUB['B']} calls more"),
        ("A: M B | B: M A, m B", Position.PATH, "lead in a circle"),
        ("A: M A, m A 1 defer | B: M A, m B", Position.PATH, f"the lead {NPUB['A']} has ended"),
        (
            "A: M A, m B | B: M L, m B | L: M L, m C | C: M L, m C",
            Position.INVITED,
            f"invited by {NPUB['A']}, but your announcement names no maintainer",
        ),
    ],
)
def test_b_3_1_the_words_fit_the_case(tags: str, position: Position, words: str) -> None:
    known = data(tags)
    assert known.owners_authorising(key("B")) == ()
    assert position_of(key("B"), known.sets).position is position
    assert words in why_not(key("B"), known)
    assert len(why_not(key("B"), known)) < 300


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("A: m A 1 2", "the owner has ended its own role"),
        ("A: M L", f"the lead {NPUB['L']} has no announcement of this identifier here"),
        ("A: M L | L: m L", f"the lead {NPUB['L']} does not say"),
        ("A: M B, M C", f"the announcement of {NPUB['A']} calls more than one key the lead"),
        ("A: M B | B: M A", "lead in a circle"),
        ("A: M L | L: M L, o L 1 defer", f"the lead {NPUB['L']} has ended its own role"),
        ("held A: M L | L: M L", "points at a repository of others, and is not served"),
        ("B: -", "this repository is not announced here"),
    ],
)
def test_b_6_6_where_no_key_rules_the_words_say_why(tags: str, words: str) -> None:
    assert words in (why_no_authority(key("A"), data(tags)) or "")


@pytest.mark.parametrize("tags", ["A: -", "A: M L | L: M L"])
def test_b_6_6_there_is_nothing_to_say_where_a_key_rules(tags: str) -> None:
    assert why_no_authority(key("A"), data(tags)) is None
