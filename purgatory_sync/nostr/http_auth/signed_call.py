"""Judging who signed a call of the relay's management API (NIP-98 as NIP-86 wants it)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ...errors import InvalidEvent, InvalidUrl
from ...urls import GIT_SCHEMES, RELAY_SCHEMES, parse_web_url
from .. import kinds
from ..event import Event, verify_event

METHOD: Final = "POST"
MAX_SKEW_SECS: Final = 60

_SCHEMES: Final = (*GIT_SCHEMES, *RELAY_SCHEMES)


def check_call(event: Event, service: str, body: bytes, now: float) -> None:
    """Judge whether the author of an event signed this very call, here and now.

    Whether the author may call, and whether the call came before, is the caller's to judge.

    Args:
      event: its form is right, its proof is checked here.
      service: our host[:port][/base]; `u` is the relay's URL, of http(s) or ws(s), with or
        without a slash at its end.
      body: of the request, as it came; `payload` is its SHA-256.
      now: Unix seconds; the event's time may differ by a minute.

    Raises:
      InvalidEvent: it proves nothing, with the reason.
    """
    if event.kind != kinds.HTTP_AUTH:
        raise InvalidEvent(f"the Authorization header has an event of kind {kinds.HTTP_AUTH}")
    if abs(event.created_at - now) > MAX_SKEW_SECS:
        raise InvalidEvent("created_at is more than a minute off: set the clock, sign each call")
    if not _names_relay(_only(event, "u"), service):
        raise InvalidEvent("the tag u names another URL than this relay's")
    if _only(event, "method").upper() != METHOD:
        raise InvalidEvent(f"the tag method has to say {METHOD}")
    if _only(event, "payload").lower() != sha256(body).hexdigest():
        raise InvalidEvent("the tag payload has to be the SHA-256 of the body, in hex")
    verify_event(event)


def _only(event: Event, name: str) -> str:
    """The value of the one tag of that name.

    Raises:
      InvalidEvent: there is none, there are several, or it has no value.
    """
    found: Sequence[Sequence[str]] = [tag for tag in event.tags if tag and tag[0] == name]
    if len(found) != 1 or len(found[0]) < 2:
        raise InvalidEvent(f"the signed event needs exactly one tag {name}")
    return found[0][1]


def _names_relay(url: str, service: str) -> bool:
    try:
        there = parse_web_url(url, _SCHEMES)
        ours = parse_web_url(f"{there.scheme}://{service}", _SCHEMES)
    except InvalidUrl:
        return False
    return (there.endpoint, there.path) == (ours.endpoint, ours.path)
