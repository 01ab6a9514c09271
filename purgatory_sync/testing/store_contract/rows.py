"""Authors and rows that the contract uses."""

from __future__ import annotations

from typing import Final, Literal

from ...nostr.event import Event
from ...nostr.filters import Filter
from ...store.protocol import HeldRow, Store
from ..events import Author

ALICE: Final = Author.from_seed(1)
BOB: Final = Author.from_seed(2)
OID: Final = "a" * 40


def held(
    event: Event,
    at: float = 1.5,
    sort: Literal["announcement", "state", "pr"] = "state",
    origin: Literal["user", "sync"] = "user",
) -> HeldRow:
    """A row of the journal."""
    return HeldRow(event, sort, origin, at)


async def served(store: Store) -> list[str]:
    """The ids of all events that the store serves, as it orders them."""
    return [event.id for event in await store.query([Filter()], 5000)]
