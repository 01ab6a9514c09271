"""The only way to change the store: one step that also keeps the read model and listeners true."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from ...runtime.logger import get_logger
from ...store.protocol import Applied, Change, Made, Store
from .repository_index import RepositoryIndex

Gone = Callable[[frozenset[str]], None]

log = get_logger(__name__)


def _ignore(event_ids: frozenset[str]) -> None:
    """Default `gone`: do nothing."""


class Ledger:
    """Writes every change of what is served, held and made.

    Attributes:
      expiring_came: set, and replaced, when an event comes that expires some time (NIP-40).

    Args:
      index: what it remembers of the store is forgotten with each change.
      gone: called with the ids of events that are neither held nor served any more.
    """

    def __init__(self, store: Store, index: RepositoryIndex, gone: Gone = _ignore) -> None:
        self._store = store
        self._index = index
        self._gone = gone
        self._made: dict[tuple[str, str], Made] = {}
        self.expiring_came = trio.Event()

    def restore_made(self, rows: Iterable[Made]) -> None:
        """Take over from the journal which repositories were made for announcements."""
        self._made = {(row.owner, row.identifier): row for row in rows}

    def made(self, owner: str, identifier: str) -> Made | None:
        """What is noted of the making of an owner's repository; None for one that was found."""
        return self._made.get((owner, identifier))

    def all_made(self) -> list[Made]:
        """What is noted of all that was made."""
        return list(self._made.values())

    async def apply(self, change: Change) -> Applied:
        """Change the store durably; see `Store.apply`."""
        try:
            applied = await self._store.apply(change)
        finally:
            self._index.forget(change)
        for made in change.forget_made:
            self._made.pop((made.owner, made.identifier), None)
        self._made |= {(made.owner, made.identifier): made for made in change.made}
        if any(event.expires_at is not None for event in change.save):
            self.expiring_came.set()
            self.expiring_came = trio.Event()
        stay = {event.id for event in change.save}
        if gone := ({*change.unhold, *change.delete} - stay).union(applied.replaced):
            self._tell_gone(frozenset(gone))
        return applied

    def _tell_gone(self, event_ids: frozenset[str]) -> None:
        try:
            self._gone(event_ids)
        except Exception:
            log.exception("the listener for ended events failed", event_ids=sorted(event_ids)[:10])
