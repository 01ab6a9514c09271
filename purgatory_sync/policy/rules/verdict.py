"""What was decided about an event, and what the engine does because of it."""

from __future__ import annotations

import enum

import attrs

from ...nostr import kinds
from ...nostr.authority.outsiders import Position
from ...nostr.event import Event
from ...records import Tombstone

MOST_RECEIVERS = 100
BAR_SECS = 7 * 24 * 3600
"""How long older versions are kept out by what any key can send as often as it likes."""
HELD_MESSAGE = "purgatory: won't be served until git data arrives"


class Action(enum.StrEnum):
    """What becomes of the event itself."""

    SERVE = "serve"
    HOLD = "hold"
    REFUSE = "refuse"
    DUPLICATE = "duplicate"


@attrs.frozen
class Verdict:
    """The decision; everything beside `action` is done with every action, also on REFUSE.

    Attributes:
      action: SERVE of a state or PR means: release it now (B 7); of anything else: save it.
      message: the text after OK, with a NIP-01 prefix, or empty.
      with_repository: the announcement's bare repository is made unless it exists (B 2.4).
      replaces: ids of held events that leave because this one takes their place (B 2.5).
      evicts: ids of held announcements that leave together with their bare repository.
      revives: ids of soft-expired announcements that are held anew (B 2.7).
      deletes: ids that are served or held no longer; repositories on disk stay.
      removes: identifiers of the author whose repositories leave the disk for good (B 5.2).
      bars: what must not come back.
      lacks: of a refusal, what would have it judged again if it came (B 2.8; `lacking.py`).
      outsider: of a state that is refused because its author is no member: what he is instead.
      private: it is refused because its repository is private (B 2.10).
      transient: of a refusal, whether the same event may be accepted later although nothing came.
    """

    action: Action
    message: str = ""
    with_repository: bool = False
    replaces: tuple[str, ...] = ()
    evicts: tuple[str, ...] = ()
    revives: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    bars: tuple[Tombstone, ...] = ()
    lacks: tuple[str, ...] = ()
    transient: bool = False
    outsider: Position | None = None
    private: bool = False

    @property
    def accepted(self) -> bool:
        """The boolean of OK."""
        return self.action is not Action.REFUSE


def refuse(message: str, lacks: tuple[str, ...] = (), *, transient: bool = False) -> Verdict:
    """A refusal without further effects; the message has its NIP-01 prefix."""
    return Verdict(Action.REFUSE, message, lacks=lacks, transient=transient)


def duplicate(reason: str) -> Verdict:
    """An event that changes nothing (B 1.8)."""
    return Verdict(Action.DUPLICATE, f"duplicate: {reason}")


def covers(tombstone: Tombstone, event: Event) -> bool:
    """Whether the event is one that must not come back."""
    if tombstone.target == vanish_target(tombstone.author):
        return tombstone.author in vanishing_with(event) and event.created_at <= tombstone.until
    if event.pubkey != tombstone.author:
        return False
    if tombstone.target == event.id:
        return True
    return tombstone.target == address_text(event) and event.created_at <= tombstone.until


def vanish_target(author: str) -> str:
    """What the tombstone of a key that vanished is filed under (B 5.2)."""
    return f"{kinds.VANISH}:{author}:"


def vanishing_with(event: Event) -> tuple[str, ...]:
    """With whom an event leaves: its author; a gift wrap also with whom it is for (NIP-62)."""
    if event.kind != kinds.GIFT_WRAP:
        return (event.pubkey,)
    return tuple(dict.fromkeys((event.pubkey, *event.values("p"))))[:MOST_RECEIVERS]


def address_text(event: Event) -> str | None:
    """The event's address as `a` tags write it, or None for regular events."""
    return None if event.address is None else str(event.address)
