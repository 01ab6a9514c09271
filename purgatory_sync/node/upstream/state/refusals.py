"""What relays mean by the words with which they refuse a question; no I/O."""

from __future__ import annotations

import enum
import re
from typing import Final


class Meaning(enum.Enum):
    """What is to be done about a refusal."""

    PROOF = enum.auto()
    RATE = enum.auto()
    PLACES = enum.auto()
    KINDS = enum.auto()
    POLICY = enum.auto()
    FORM = enum.auto()


_PLACES: Final = re.compile(
    r"concurrent|too many (open )?(reqs?|subs)\b"
    r"|\bsubscriptions?\b.*\b(limit|max|exceed|many|quota)|\b(limit|max\w*|many|exceed\w*)\b.*\bsubscriptions?\b"
)
_RATE: Final = re.compile(
    r"rate.?limit|slow(ing)? down|too fast|too many (requests|messages|queries|commands)|\bquota\b"
)
_KINDS: Final = re.compile(r"\b(kinds?|authors?)\b")
# A NOTICE belongs to nothing: only these words make it an answer to a question.
_REFUSES: Final = re.compile(
    r"error|invalid|too (many|long|large|big|broad)|filter|blocked|restricted|unsupported|refuse"
    r"|reject|not allowed|denied|could not|bad (req|msg|message)|limit|\bkinds?\b|\bauthors?\b"
)


def meaning_of(reason: str) -> Meaning:
    """What a reason of CLOSED or NOTICE means."""
    text = reason.lower()
    if text.startswith("auth-required:"):
        return Meaning.PROOF
    if _PLACES.search(text):
        return Meaning.PLACES
    if _RATE.search(text):
        return Meaning.RATE
    if _KINDS.search(text):
        return Meaning.KINDS
    if text.startswith(("blocked:", "restricted:")):
        return Meaning.POLICY
    return Meaning.FORM


def refuses(notice: str) -> bool:
    """Whether a NOTICE may be the answer to a question."""
    return _REFUSES.search(notice.lower()) is not None or meaning_of(notice) in (
        Meaning.PLACES,
        Meaning.RATE,
    )
