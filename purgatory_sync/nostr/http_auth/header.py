"""Reading the event that an `Authorization` header carries; who may do what is judged elsewhere.

Every validator of signed requests begins here, and has rules of its own behind it.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from typing import Final

from ...errors import InvalidEvent
from ..event import Event, decode_event, encode_event

SCHEME: Final = "Nostr"
BASIC: Final = "Basic"
MAX_TOKEN_CHARS: Final = 12 * 1024
# A password is base64 once more, behind a user's name.
MAX_BASIC_CHARS: Final = 17 * 1024

_TOKEN: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_STANDARD: Final = str.maketrans("-_", "+/")


def event_of_header(header: str) -> Event:
    """The event of `Nostr <base64>`, the scheme in any case (NIP-98).

    Args:
      header: the value of `Authorization`; empty where there is none.

    Raises:
      InvalidEvent: no header, another scheme, or what `event_of_token` raises.
    """
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != SCHEME.lower():
        raise InvalidEvent(f"no header `Authorization: {SCHEME} …` with a signed event (NIP-98)")
    return event_of_token(token.strip())


def event_of_basic(header: str) -> Event:
    """The event that `Basic <base64>` carries as a password, with any user's name.

    Args:
      header: the value of `Authorization`.

    Raises:
      InvalidEvent: another scheme, no base64, no password, or what `event_of_token` raises.
    """
    scheme, _, text = header.strip().partition(" ")
    if scheme.lower() != BASIC.lower() or len(text) > MAX_BASIC_CHARS:
        raise InvalidEvent("no header `Authorization: Basic …` with a signed event")
    try:
        _, colon, password = b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError as error:
        raise InvalidEvent("the Authorization header holds no base64") from error
    if not colon:
        raise InvalidEvent("the Authorization header holds no password")
    return event_of_token(password.strip())


def token_of(event: Event) -> str:
    """The text that stands for an event in a header, or in a password: padded standard base64."""
    return b64encode(encode_event(event)).decode()


def event_of_token(token: str) -> Event:
    """The event in a text of base64: standard or URL-safe, with or without padding.

    Returns the event; its form is right, neither its id nor its signature is checked.

    Raises:
      InvalidEvent: longer than MAX_TOKEN_CHARS, no base64, or no event.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidEvent(f"more than {MAX_TOKEN_CHARS} characters in the Authorization header")
    standard = token.translate(_STANDARD)
    if not _TOKEN.fullmatch(standard):
        raise InvalidEvent("the Authorization header holds no base64")
    bare = standard.rstrip("=")
    try:
        return decode_event(b64decode(bare + "=" * (-len(bare) % 4)))
    except binascii.Error as error:
        raise InvalidEvent("the Authorization header holds no base64") from error
