"""What clients say to the relay, read and judged (NIP-01); and what the relay says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs
import msgspec

from ...errors import InvalidEvent, InvalidFilter, PurgatorySyncError
from ...nostr.event import Event, decode_event
from ...nostr.filters import Filter, parse_filter

MAX_SUBSCRIPTION_ID_CHARS = 64
# What a filter and each of its values take beside the text: objects, places in sets.
FILTER_BYTES, VALUE_BYTES = 1000, 120

_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeError, RecursionError)


class InvalidMessage(PurgatorySyncError):
    """A message that is answered with a sentence.

    Attributes:
      event_id: of an EVENT whose id could be read: OK says why.
      reconciling: of a NEG message whose id could be read: NEG-ERR says why.
      subscription: of a REQ or COUNT whose id could be read: CLOSED says why. Else NOTICE does.
    """

    def __init__(
        self,
        sentence: str,
        event_id: str | None = None,
        subscription: str | None = None,
        reconciling: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.event_id = event_id
        self.reconciling = reconciling
        self.subscription = subscription


@attrs.frozen
class Publish:
    """EVENT: the form is right, the signature not yet checked."""

    event: Event


@attrs.frozen
class Authenticate:
    """AUTH (NIP-42): the form is right, nothing is proven yet."""

    event: Event


@attrs.frozen
class Req:
    """REQ."""

    subscription: str
    filters: tuple[Filter, ...]

    @property
    def size(self) -> int:
        """About how many bytes the filters take."""
        return sum(map(_size, self.filters))


@attrs.frozen
class Count:
    """COUNT (NIP-45): how many stored events match."""

    query: str
    filters: tuple[Filter, ...]

    @property
    def size(self) -> int:
        """About how many bytes the filters take."""
        return sum(map(_size, self.filters))


@attrs.frozen
class Reconcile:
    """NEG-OPEN, which has a condition, or NEG-MSG, which has none (NIP-77)."""

    name: str
    condition: Filter | None
    message: bytes

    @property
    def size(self) -> int:
        """About how many bytes the condition takes."""
        return _size(self.condition) if self.condition else 0


@attrs.frozen
class EndReconciling:
    """NEG-CLOSE."""

    name: str


@attrs.frozen
class Close:
    """CLOSE."""

    subscription: str


Message: TypeAlias = Publish | Authenticate | Req | Count | Close | Reconcile | EndReconciling


class _HasId(msgspec.Struct):
    id: str


_parts = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_anything = msgspec.json.Decoder()
_has_id = msgspec.json.Decoder(_HasId)
encode = msgspec.json.Encoder().encode


def parse_message(raw: str | bytes, max_filters: int) -> Message:
    """Read one frame of a client.

    Args:
      raw: text frames are str; binary frames are refused.
      max_filters: filters of one REQ or COUNT.

    Raises:
      InvalidMessage: for every other input, with a sentence that says what to do.
    """
    if not isinstance(raw, str):
        raise InvalidMessage("binary frames are not spoken here: send JSON as text")
    try:
        parts = _parts.decode(raw)
        name = _text.decode(parts[0]) if parts else ""
    except _DECODE_ERRORS as error:
        raise InvalidMessage('a message is a JSON array like ["REQ", …]') from error
    match name:
        case "EVENT":
            return Publish(_event(parts, 'an event is sent as ["EVENT", {…}]'))
        case "AUTH":
            return Authenticate(_event(parts, 'a proof is sent as ["AUTH", {…}]'))
        case "REQ":
            return Req(*_asked(parts, max_filters))
        case "COUNT":
            return Count(*_asked(parts, max_filters))
        case "CLOSE":
            return Close(_subscription(parts, None))
        case "NEG-OPEN" | "NEG-MSG" | "NEG-CLOSE":
            return _reconcile(name, parts)
    raise InvalidMessage(f"{name[:20]!r} is not known here: EVENT, REQ, COUNT and CLOSE are")


def _event(parts: list[msgspec.Raw], form: str) -> Event:
    """The event of an EVENT or AUTH."""
    if len(parts) != 2:
        raise InvalidMessage(form)
    try:
        return decode_event(memoryview(parts[1]))
    except InvalidEvent as error:
        raise InvalidMessage(str(error), event_id=_readable_id(parts[1])) from error


def _size(wanted: Filter) -> int:
    named = [wanted.ids or (), wanted.authors or (), *wanted.tags.values()]
    number = sum(map(len, named)) + len(wanted.kinds or ())
    return FILTER_BYTES + VALUE_BYTES * number + sum(sum(map(len, values)) for values in named)


def _readable_id(raw: msgspec.Raw) -> str | None:
    try:
        event_id = _has_id.decode(raw).id
    except _DECODE_ERRORS:
        return None
    return event_id if len(event_id) <= 64 else None


def _asked(parts: list[msgspec.Raw], max_filters: int) -> tuple[str, tuple[Filter, ...]]:
    """The id and the filters of a REQ or COUNT."""
    subscription = _subscription(parts, "subscription")
    wanted = parts[2:]
    if not 1 <= len(wanted) <= max_filters:
        sentence = f"1 to {max_filters} filters are asked for at once: split it"
        raise InvalidMessage(sentence, subscription=subscription)
    try:
        filters = tuple(parse_filter(_anything.decode(raw)) for raw in wanted)
    except InvalidFilter as error:
        raise InvalidMessage(str(error), subscription=subscription) from error
    except _DECODE_ERRORS as error:
        raise InvalidMessage("a filter is a JSON object", subscription=subscription) from error
    return subscription, filters


def _reconcile(name: str, parts: list[msgspec.Raw]) -> Reconcile | EndReconciling:
    session = _subscription(parts, "reconciling")
    if name == "NEG-CLOSE":
        return EndReconciling(session)
    opens = name == "NEG-OPEN"
    try:
        condition = parse_filter(_anything.decode(parts[2])) if opens else None
        return Reconcile(session, condition, bytes.fromhex(_text.decode(parts[3 if opens else 2])))
    except InvalidFilter as error:
        raise InvalidMessage(str(error), reconciling=session) from error
    except (*_DECODE_ERRORS, IndexError, ValueError) as error:
        form = "its id, one filter and" if opens else "its id and"
        raise InvalidMessage(f"{name} has {form} a message in hex", reconciling=session) from error


def _subscription(parts: list[msgspec.Raw], answered_as: str | None) -> str:
    """The id; one of a wrong length is refused by what InvalidMessage calls `answered_as`."""
    try:
        subscription = _text.decode(parts[1])
    except (*_DECODE_ERRORS, IndexError) as error:
        raise InvalidMessage("the subscription id is a string") from error
    if not 1 <= len(subscription) <= MAX_SUBSCRIPTION_ID_CHARS:
        sentence = f"a subscription id has 1 to {MAX_SUBSCRIPTION_ID_CHARS} characters"
        raise InvalidMessage(sentence, **({answered_as: subscription} if answered_as else {}))
    return subscription


def ok(event_id: str, accepted: bool, message: str) -> bytes:
    """OK: what became of an EVENT."""
    return encode(["OK", event_id, accepted, message])


def closed(subscription: str, message: str) -> bytes:
    """CLOSED: why a subscription is none, or none any more."""
    return encode(["CLOSED", subscription, message])


def count(query: str, number: int) -> bytes:
    """COUNT: how many stored events match."""
    return encode(["COUNT", query, {"count": number}])


def neg_message(session: str, message: bytes) -> bytes:
    """NEG-MSG: what we have of the ranges that differ (NIP-77)."""
    return encode(["NEG-MSG", session, message.hex()])


def neg_error(session: str, message: str) -> bytes:
    """NEG-ERR: why a session is none, or none any more."""
    return encode(["NEG-ERR", session, message])


def auth(challenge: str) -> bytes:
    """AUTH: prove who you are by signing this (NIP-42)."""
    return encode(["AUTH", challenge])


def end_of_stored(subscription: str) -> bytes:
    """EOSE: what comes now is new."""
    return encode(["EOSE", subscription])


def notice(message: str) -> bytes:
    """NOTICE: a sentence that belongs to no event and no subscription."""
    return encode(["NOTICE", message])


def event_message(subscription: str) -> Callable[[bytes], bytes]:
    """What makes EVENT messages of one subscription out of encoded events."""
    head = b'["EVENT",' + encode(subscription) + b","

    def message(event: bytes) -> bytes:
        return head + event + b"]"

    return message


def refusal(error: InvalidMessage) -> bytes:
    """The answer to a message that cannot be understood."""
    sentence = f"invalid: {error}"
    if error.event_id is not None:
        return ok(error.event_id, False, sentence)
    if error.reconciling is not None:
        return neg_error(error.reconciling, sentence)
    if error.subscription is not None:
        return closed(error.subscription, sentence)
    return notice(sentence)
