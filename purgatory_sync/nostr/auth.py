"""Saying to a relay who one is, and judging who says so (NIP-42)."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidEvent
from ..urls import RELAY_SCHEMES, names_service
from . import kinds
from .event import Event, verify_event
from .keys import SecretKey

MAX_CHALLENGE_CHARS: Final = 512
MAX_SKEW_SECS: Final = 600


def auth_event(key: SecretKey, relay: str, challenge: str, now: float) -> Event:
    """Sign a relay's challenge.

    Args:
      relay: the URL by which the relay was dialled; the proof is good there only.
      challenge: what the relay sent.
      now: Unix seconds.

    Raises:
      InvalidEvent: the challenge is empty, very long or no Unicode; it is not signed.
    """
    if not 1 <= len(challenge) <= MAX_CHALLENGE_CHARS:
        raise InvalidEvent(f"a challenge that has not 1 to {MAX_CHALLENGE_CHARS} characters")
    try:
        return key.sign(
            kinds.CLIENT_AUTH, "", [("relay", relay), ("challenge", challenge)], int(now)
        )
    except UnicodeEncodeError as error:
        raise InvalidEvent("a challenge that is no Unicode") from error


def check_auth(event: Event, service: str, challenge: str, now: float) -> None:
    """Judge whether the author of an event has proven who he is, here and now.

    Args:
      event: its form is right, its proof is checked here.
      service: our host[:port]; the event names a relay URL that leads there.
      challenge: what this connection was sent.
      now: Unix seconds; the event's time may differ by ten minutes.

    Raises:
      InvalidEvent: it proves nothing, with the reason.
    """
    if event.kind != kinds.CLIENT_AUTH:
        raise InvalidEvent(f"AUTH has an event of kind {kinds.CLIENT_AUTH}")
    if abs(event.created_at - now) > MAX_SKEW_SECS:
        raise InvalidEvent("created_at of AUTH is more than 10 minutes off: set the clock")
    if event.first("challenge") != challenge:
        raise InvalidEvent("another challenge than the one that this connection was sent")
    if not names_service(event.first("relay") or "", service, RELAY_SCHEMES):
        raise InvalidEvent("the relay tag of AUTH names another relay")
    verify_event(event)
