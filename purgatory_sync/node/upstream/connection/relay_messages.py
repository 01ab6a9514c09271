"""The messages of the conversation with one relay (NIP-01, 42, 77)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import attrs
import msgspec

from ....errors import InvalidEvent
from ....nostr.auth import MAX_CHALLENGE_CHARS
from ....nostr.event import Event, decode_event
from ....nostr.filters import Filter

_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError, IndexError)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool)
_encode = msgspec.json.Encoder().encode


@attrs.frozen
class Sent:
    """EVENT: its form is right, its proof is not yet checked."""

    subscription: str
    event: Event


@attrs.frozen
class EndOfStored:
    """EOSE."""

    subscription: str


@attrs.frozen
class Closed:
    """CLOSED: the relay does not serve this subscription (any more)."""

    subscription: str
    reason: str


@attrs.frozen
class Challenge:
    """AUTH: what is to be signed where the relay wants to know who asks (NIP-42)."""

    text: str


@attrs.frozen
class Taken:
    """OK: what became of an event that we sent."""

    event_id: str
    accepted: bool
    text: str


@attrs.frozen
class OtherMessage:
    """NOTICE, and messages that are not known here."""

    name: str
    text: str = ""


@attrs.frozen
class Reconciled:
    """NEG-MSG, or NEG-ERR (NIP-77): then the message is None, and there may be a reason."""

    subscription: str
    message: bytes | None
    reason: str = ""


Message: TypeAlias = Sent | EndOfStored | Closed | Reconciled | Challenge | Taken | OtherMessage


def parse_relay_message(raw: str | bytes) -> Message:
    """Read one frame of a relay.

    Raises:
      InvalidEvent: it is no message, or the event in it is none.
    """
    try:
        parts = _parts.decode(raw)
        name = _text.decode(parts[0])
        if name == "EVENT":
            return Sent(_text.decode(parts[1]), decode_event(memoryview(parts[2])))
        if name == "EOSE":
            return EndOfStored(_text.decode(parts[1]))
        if name == "CLOSED":
            return Closed(_text.decode(parts[1]), _reason(parts, 2))
        if name == "NEG-MSG":
            message = bytes.fromhex(_text.decode(parts[2]))
            return Reconciled(_text.decode(parts[1]), message)
        if name in ("NEG-ERR", "NEG-ERROR"):  # khatru and go-nostr write the second
            return Reconciled(_text.decode(parts[1]), None, _reason(parts, 2))
        if name == "AUTH":
            return Challenge(_text.decode(parts[1])[: MAX_CHALLENGE_CHARS + 1])
        if name == "OK":
            return Taken(_text.decode(parts[1]), _flag.decode(parts[2]), _reason(parts, 3))
        return OtherMessage(name[:20], _text.decode(parts[1])[:200] if name == "NOTICE" else "")
    except _ERRORS as error:
        raise InvalidEvent("not a message of a relay") from error


def _reason(parts: list[msgspec.Raw], place: int) -> str:
    return _text.decode(parts[place])[:200] if len(parts) > place else ""


def authenticate(event: Event) -> str:
    """AUTH: who we are (NIP-42)."""
    return _encode(["AUTH", event]).decode()


def request(subscription: str, filters: Iterable[Filter]) -> str:
    """REQ."""
    return _encode(["REQ", subscription, *(each.to_json() for each in filters)]).decode()


def close(subscription: str) -> str:
    """CLOSE."""
    return _encode(["CLOSE", subscription]).decode()


def neg_open(subscription: str, condition: Filter, message: bytes) -> str:
    """NEG-OPEN (NIP-77)."""
    return _encode(["NEG-OPEN", subscription, condition.to_json(), message.hex()]).decode()


def neg_message(subscription: str, message: bytes) -> str:
    """NEG-MSG."""
    return _encode(["NEG-MSG", subscription, message.hex()]).decode()


def neg_close(subscription: str) -> str:
    """NEG-CLOSE."""
    return _encode(["NEG-CLOSE", subscription]).decode()
