"""What names a repository and any replaceable event: identifiers and addresses (B 1.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

import attrs

from ..errors import InvalidEvent
from . import kinds

MAX_IDENTIFIER_BYTES = 251

_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_KIND = re.compile(r"0|[1-9][0-9]{0,4}")


def is_hex_key(text: str) -> bool:
    """Whether the text is 64 lower-case hex digits."""
    return _HEX_KEY.fullmatch(text) is not None


class Address(NamedTuple):
    """What a newer event replaces an older one by: kind, author and `d` (NIP-01).

    `str` of it is the value of an `a` tag.
    """

    kind: int
    pubkey: str
    identifier: str

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Read the value of an `a` tag; None when no replaceable event can have it."""
        parts = text.split(":", 2)
        if len(parts) != 3 or not _KIND.fullmatch(parts[0]) or not is_hex_key(parts[1]):
            return None
        kind = int(parts[0])
        if kinds.is_addressable(kind) or (kinds.is_replaceable(kind) and not parts[2]):
            return cls(kind, parts[1], parts[2])
        return None

    def __str__(self) -> str:
        return f"{self.kind}:{self.pubkey}:{self.identifier}"


@attrs.frozen(order=True)
class RepositoryId:
    """A repository: the author of its announcement (hex key) and its identifier.

    `str` of it is the announcement's address, as `a` tags write it (NIP-34).
    """

    owner: str
    identifier: str

    @classmethod
    def parse(cls, text: str) -> RepositoryId | None:
        """Read the value of an `a` tag; None when it is no repository's."""
        address = Address.parse(text)
        if address is None or address.kind != kinds.ANNOUNCEMENT:
            return None
        valid = is_valid_identifier(address.identifier)
        return cls(address.pubkey, address.identifier) if valid else None

    def __str__(self) -> str:
        return str(Address(kinds.ANNOUNCEMENT, self.owner, self.identifier))


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
