"""How values travel to SQLite: many of them as one JSON parameter."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

_encode = msgspec.json.Encoder().encode


def searchable(text: str) -> str:
    """Text as it is stored where it is searched for by `listed`: without NUL, and one to one.

    `json_each` ends a text at its first NUL, so that `a` would find what begins with `a\\0`.
    """
    return text.replace("\x01", "\x01\x01").replace("\x00", "\x01\x02")


def listed(values: Iterable[str]) -> str:
    """Texts as the parameter of `IN (SELECT value FROM json_each(?))`, however many they are.

    What is not Unicode is left out: nothing stored can be equal to it.
    """
    return _encode([searchable(value) for value in values if _is_unicode(value)]).decode()


def listed_numbers(values: Iterable[int]) -> str:
    """Numbers as such a parameter."""
    return _encode(list(values)).decode()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
