"""What an event is here: each is read once, where it comes in or out of the store."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from ..errors import InvalidEvent
from ..urls import RELAY_SCHEMES, names_service
from . import kinds
from .address import Address, is_hex_key
from .announcement import Announcement
from .event import Event
from .pull_request import PullRequest
from .state import State

ALL_RELAYS = "ALL_RELAYS"
MOST_RELAYS = 1_000


@attrs.frozen
class Deletion:
    """A deletion request, kind 5 (NIP-09).

    Attributes:
      ids: the event ids that it names, each once; only its author's own events end.
      addresses: its author's own addresses that it names, each once.
    """

    event: Event
    ids: tuple[str, ...]
    addresses: tuple[str, ...]

    @property
    def identifiers(self) -> tuple[str, ...]:
        """None: what it ends has them."""
        return ()

    @classmethod
    def parse(cls, event: Event) -> Deletion:
        """Read a deletion request.

        Raises:
          InvalidEvent: another kind.
        """
        if event.kind != kinds.DELETION:
            raise InvalidEvent("not a deletion request (kind 5)")
        ids = (value for value in event.values("e") if is_hex_key(value))
        addresses = (
            value
            for value in event.values("a")
            if (address := Address.parse(value)) is not None and address.pubkey == event.pubkey
        )
        return cls(event, tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(addresses)))


@attrs.frozen
class Vanish:
    """A request to vanish, kind 62 (NIP-62): all that its author signed up to then leaves.

    Attributes:
      relays: whom it asks, as written: relay URLs, or `ALL_RELAYS`; the first 1,000.
    """

    event: Event
    relays: tuple[str, ...]

    @property
    def identifiers(self) -> tuple[str, ...]:
        """None: what it ends has them."""
        return ()

    @classmethod
    def parse(cls, event: Event) -> Vanish:
        """Read a request to vanish.

        Raises:
          InvalidEvent: another kind.
        """
        if event.kind != kinds.VANISH:
            raise InvalidEvent("not a request to vanish (kind 62)")
        relays = dict.fromkeys(value.strip() for value in event.values("relay"))
        return cls(event, tuple(relays)[:MOST_RELAYS])

    def asks(self, service: str) -> bool:
        """Whether it asks the service host[:port]: by its relay's URL, or as one of all relays."""
        return any(
            relay == ALL_RELAYS or names_service(relay, service, RELAY_SCHEMES)
            for relay in self.relays
        )


@attrs.frozen
class Other:
    """An event of any other kind, or a stored one of a kind above that is malformed today."""

    event: Event

    @property
    def identifiers(self) -> tuple[str, ...]:
        """None: no rule of repositories is about it."""
        return ()


Parsed: TypeAlias = Announcement | State | PullRequest | Deletion | Vanish | Other


def parse(event: Event) -> Parsed:
    """Read an event that comes in; its id and signature are verified already.

    A state of 10,000 refs takes tens of milliseconds.

    Raises:
      InvalidEvent: it is malformed for its kind (B 1.1-1.5).
    """
    if event.kind == kinds.ANNOUNCEMENT:
        return Announcement.parse(event)
    if event.kind == kinds.STATE:
        return State.parse(event)
    if event.kind in kinds.PR_KINDS:
        return PullRequest.parse(event)
    if event.kind == kinds.VANISH:
        return Vanish.parse(event)
    return Deletion.parse(event) if event.kind == kinds.DELETION else Other(event)


def parse_stored(event: Event) -> Parsed:
    """Read an event that was accepted once, maybe under other rules: malformed is `Other`."""
    try:
        return parse(event)
    except InvalidEvent:
        return Other(event)
