"""A Nostr event: its form, its canonical id and its signature (NIP-01, BIP-340)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Annotated

import msgspec

from ..errors import InvalidEvent
from . import kinds
from .address import Address
from .schnorr import VerifyingKey, is_signed_by, verifying_key

MAX_CREATED_AT = 2**53
_EXPIRATION = re.compile(r"[0-9]{1,16}")
_NEVER_EXPIRING = frozenset((kinds.DELETION, kinds.VANISH, kinds.ANNOUNCEMENT, kinds.STATE))

Hex32 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Hex64 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]
Timestamp = Annotated[int, msgspec.Meta(ge=0, le=MAX_CREATED_AT)]
Kind = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Tag = tuple[str, ...]


class Event(msgspec.Struct, frozen=True):
    """One event (NIP-01): its form is checked on decoding, its proof by `verify_event`.

    Attributes:
      id, pubkey, sig: lower-case hex.
      created_at: Unix seconds.
    """

    id: Hex32
    pubkey: Hex32
    created_at: Timestamp
    kind: Kind
    tags: tuple[Tag, ...]
    content: str
    sig: Hex64

    def first(self, name: str) -> str | None:
        """The value of the first tag of that name; None when there is none or it has no value."""
        for tag in self.tags:
            if tag and tag[0] == name:
                return tag[1] if len(tag) > 1 else None
        return None

    def values(self, name: str) -> Iterator[str]:
        """The first value of every tag of that name."""
        for tag in self.tags:
            if len(tag) > 1 and tag[0] == name:
                yield tag[1]

    def all_values(self, name: str) -> Iterator[str]:
        """All values of all tags of that name (NIP-34 lists several in one tag)."""
        for tag in self.tags:
            if tag and tag[0] == name:
                yield from tag[1:]

    @property
    def expires_at(self) -> int | None:
        """Unix seconds from which on it is not to be served; None: never (NIP-40; B 5.3).

        What rules refs, and requests, do not expire: refs would stay that no key vouches for.
        """
        text = self.first("expiration") or ""
        if self.kind in _NEVER_EXPIRING or kinds.is_ephemeral(self.kind):
            return None
        return int(text) if _EXPIRATION.fullmatch(text) else None

    @property
    def is_protected(self) -> bool:
        """Whether only its author may publish it to a relay (NIP-70)."""
        return any(tag and tag[0] == "-" for tag in self.tags)

    @property
    def address(self) -> Address | None:
        """What a newer event replaces it by: kind, author and `d`; None for regular events."""
        if kinds.is_addressable(self.kind):
            return Address(self.kind, self.pubkey, self.first("d") or "")
        if kinds.is_replaceable(self.kind):
            return Address(self.kind, self.pubkey, "")
        return None

    @property
    def order(self) -> tuple[int, str]:
        """Sorts oldest first with the winner of a tie last: NIP-01 keeps the lowest id."""
        return self.created_at, _inverted(self.id)


@lru_cache(maxsize=4096)
def _key(pubkey: str) -> VerifyingKey:
    """Finding the point of a key costs as much as checking a signature, and authors come again."""
    return verifying_key(bytes.fromhex(pubkey))


_INVERT = str.maketrans("0123456789abcdef", "fedcba9876543210")


def _inverted(hex_id: str) -> str:
    return hex_id.translate(_INVERT)


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def event_id(
    pubkey: str, created_at: int, kind: int, tags: Sequence[Sequence[str]], content: str
) -> str:
    """The canonical id of an event: SHA-256 of its serialisation (NIP-01)."""
    return sha256(_encoder.encode([0, pubkey, created_at, kind, tags, content])).hexdigest()


def decode_event(raw: bytes | str | memoryview) -> Event:
    """Read one event from JSON; unknown fields are dropped.

    Raises:
      InvalidEvent: not JSON, or a field is missing or has the wrong form.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidEvent(f"not an event: {_short(error)}") from error


def convert_event(value: object) -> Event:
    """Read one event from what a JSON decoder made of it.

    Raises:
      InvalidEvent: a field is missing or has the wrong form.
    """
    try:
        return msgspec.convert(value, Event)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidEvent(f"not an event: {_short(error)}") from error


def encode_event(event: Event) -> bytes:
    """The event as JSON."""
    return _encoder.encode(event)


def verify_event(event: Event) -> None:
    """Check that the id is the event's and that its author signed it (NIP-01, BIP-340).

    Raises:
      InvalidEvent: the id is another's, or the signature does not fit.
    """
    try:
        wanted = event_id(event.pubkey, event.created_at, event.kind, event.tags, event.content)
    except UnicodeEncodeError as error:
        raise InvalidEvent("text that is not Unicode") from error
    if wanted != event.id:
        raise InvalidEvent("id is not the hash of the event")
    try:
        key, signature = _key(event.pubkey), bytes.fromhex(event.sig)
    except ValueError as error:
        raise InvalidEvent("pubkey is no key") from error
    if not is_signed_by(key, bytes.fromhex(event.id), signature):
        raise InvalidEvent("signature does not fit")


def _short(error: Exception) -> str:
    return str(error)[:200]
