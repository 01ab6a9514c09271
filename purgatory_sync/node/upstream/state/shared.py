"""What the connections to all relays share, and what is remembered of one beyond a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from ....nostr.event import Event
from ....nostr.filters import Filter
from ....nostr.keys import SecretKey
from ....nostr.reconciliation.inventory import Inventory
from ....runtime.clock import WallClock
from .filters_wanted import Wanted
from .intake import Judged
from .relay_health import Health
from .relay_limits import RelayLimits
from .walk_progress import WalkProgress


class Local(Protocol):
    """What is here, as reconciling with relays needs it."""

    async def inventory(self, condition: Filter, limit: int) -> Inventory:
        """What is served and matches, the newest first up to the limit."""

    def holds(self, event_id: str) -> bool:
        """Whether the event is held, and so need not be fetched."""

    def pages_until(self, url: str) -> float:
        """Unix seconds until which an earlier run asks a relay by pages only; 0: not known."""

    def ask_by_pages(self, url: str, until: float) -> None:
        """Remember over a restart that a relay does not answer by negentropy."""


@attrs.define(eq=False)
class Shared:
    """What the conversations with all relays share: what is here, and room for it.

    Attributes:
      knows: whether an id need not be fetched because it was refused (B 2.8).
    """

    local: Local
    knows: Callable[[str], bool]
    items: int = 0


@attrs.frozen(eq=False)
class Common:
    """What every connection works with.

    Attributes:
      wanted: what by-reference filters carry; changes meanwhile.
      take: offers an event; may wait, and then nothing more is read.
      clock: Unix seconds.
      shared: what is here; when given, history is reconciled with it where a relay offers that.
      proves_first: whether every relay is told who we are before it is asked anything.
      key: signs where a relay asks who we are; without one no relay is told.
    """

    wanted: Wanted
    take: Callable[[Event, Judged], Awaitable[None]]
    clock: WallClock
    shared: Shared | None = None
    key: SecretKey | None = None
    proves_first: bool = False


@attrs.define(eq=False)
class Record:
    """One relay, over all its connections."""

    url: str
    progress: WalkProgress = attrs.field(factory=WalkProgress)
    health: Health = attrs.field(factory=Health)
    limits: RelayLimits = attrs.field(factory=RelayLimits)
