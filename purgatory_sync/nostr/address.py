"""The identifier of a repository: its `d`, and a folder's name on disk (B 1.1)."""

from __future__ import annotations

import re

from ..errors import InvalidEvent

MAX_IDENTIFIER_BYTES = 251

_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_valid_identifier(identifier: str) -> bool:
    """Whether it can name a repository here: see `check_identifier`."""
    try:
        check_identifier(identifier)
    except InvalidEvent:
        return False
    return True


def check_identifier(identifier: str | None) -> str:
    """Judge a `d` value (B 1.1); spaces and emoji are fine.

    Raises:
      InvalidEvent: absent, empty, `.`, `..`, longer than 251 bytes, or with `/`, `\\`, NUL or
        another control character.
    """
    if not identifier:
        raise InvalidEvent("the d tag is missing or empty: name the repository in it")
    if identifier in (".", ".."):
        raise InvalidEvent("the identifier cannot be . or ..")
    if _FORBIDDEN.search(identifier):
        raise InvalidEvent("the identifier holds a slash, backslash or control character")
    if len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        raise InvalidEvent(f"the identifier is longer than {MAX_IDENTIFIER_BYTES} bytes")
    return identifier
