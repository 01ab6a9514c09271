from __future__ import annotations

import pytest

from purgatory_sync.errors import InvalidEvent
from purgatory_sync.nostr.address import check_identifier, is_valid_identifier


@pytest.mark.parametrize(
    "identifier",
    [
        "x",
        "nostr-tools",
        "a b",
        " ",
        "🦀",
        "ü",
        "...",
        ".git",
        "a:b",
        "-x",
        "%2F",
        "x" * 251,
        "é" * 125,
    ],
)
def test_b_1_1_names_that_are_fine(identifier: str) -> None:
    assert check_identifier(identifier) == identifier
    assert is_valid_identifier(identifier)


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        (None, "missing or empty"),
        ("", "missing or empty"),
        (".", "cannot be"),
        ("..", "cannot be"),
        ("a/b", "slash"),
        ("/", "slash"),
        ("a\\b", "backslash"),
        ("a\x00", "control"),
        ("a\nb", "control"),
        ("\x7f", "control"),
        ("\x85", "control"),
        ("\ud800", "control"),
        ("x" * 252, "longer than 251 bytes"),
        ("é" * 126, "longer than 251 bytes"),
        ("🦀" * 63, "longer than 251 bytes"),
    ],
)
def test_b_1_1_names_that_are_rejected(identifier: str | None, text: str) -> None:
    with pytest.raises(InvalidEvent, match=text):
        check_identifier(identifier)
