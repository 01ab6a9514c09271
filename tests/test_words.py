"""Plain words: sentences name who does what (docs/glossary.md); readers need not guess."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
WRITTEN = (
    "purgatory_sync/**/*.py",
    "purgatory_sync/**/*.html",
    "benchmarks/*.py",
    "examples/*.py",
    "interop/**/*.py",
    "docs/*.md",
    "*.md",
)
# A subject that a reader has to guess, inverted relatives, and the names that left the glossary.
REFUSED = re.compile(
    r"nobody|somebody|anybody|everybody|who(m?ever|ever)|whatever|whichever|\bof ours\b"
    r"|what nothing\b|nothing names|behind our back",
    re.IGNORECASE,
)

pytestmark = pytest.mark.tree


def refused(text: str) -> list[str]:
    """The refused words of a text, a line end within them included."""
    return [found.group() for found in REFUSED.finditer(re.sub(r"\s*\n[\s#]*", " ", text))]


def test_sentences_name_who_does_what() -> None:
    wrong = {}
    for pattern in WRITTEN:
        for path in sorted(TREE.glob(pattern)):
            if found := refused(path.read_text(encoding="utf-8")):
                wrong[str(path.relative_to(TREE))] = found
    assert wrong == {}, "say which program, server, client, key or person it is"


@pytest.mark.parametrize(
    "text",
    [
        "NOBODY_HAS_IT = 1",
        "whoever lists it",
        "a file of\n    # ours",
        "What nothing\nnames leaves",
    ],
)
def test_a_riddle_is_seen(text: str) -> None:
    assert refused(text)


def test_plain_words_pass() -> None:
    assert refused("A client of ourselves; nothing is named; some bodies come over HTTP.") == []
