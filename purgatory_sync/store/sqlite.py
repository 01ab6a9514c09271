"""The store on SQLite: one writer with group commit, a few readers, one file (docs/storage.md)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import attrs
import trio

from ..errors import StoreError
from ..nostr.event import Event
from ..nostr.filters import Filter
from ..nostr.reconciliation.inventory import Inventory
from ..records import Tombstone
from ..runtime.blocking import blocking
from . import sqlite_queries
from .group_commit import Writer
from .protocol import Applied, Change, DomainRow, Journal, Store
from .sqlite_changes import commit_batch
from .sqlite_errors import at_run_time
from .sqlite_schema import connect
from .work_limit import bounded

READERS = 6

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SqliteStore(Store):
    """Served events and the journal in one SQLite file; `open_store` makes it.

    Args:
      path: the database.
      connection: the writer's connection, set up by `schema.prepare_writer`.
      lock: the open lock file that keeps other processes out.
      limiter: the place for the writer's thread.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: int,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self._path = path
        self._connection = connection
        self._lock = lock
        self._limiter = limiter
        self._writer = Writer(self._commit, limiter)
        self._readers = trio.CapacityLimiter(READERS)
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    async def load(self) -> Journal:
        """Everything that is journaled; ids that are both served and held are un-held first."""
        await self.apply(Change())
        journal = await self._read(sqlite_queries.journal)
        served = await self.served_ids([row.event.id for row in journal.held])
        if served:
            await self.apply(Change(unhold=sorted(served)))
        held = tuple(row for row in journal.held if row.event.id not in served)
        return attrs.evolve(journal, held=held)

    async def apply(self, change: Change) -> Applied:
        """Do a change durably: when this returns, no crash undoes it (N1).

        Cancelled before the writer took the change up, it is not done; afterwards the outcome is
        waited for (shielded, milliseconds) and returned.
        """
        self._check_open()
        return await self._writer.apply(change)

    async def query(self, filters: Sequence[Filter], limit: int) -> list[Event]:
        """Served events that match any filter, newest first (lowest id first on a tie)."""
        return await self._read(sqlite_queries.query, filters, limit)

    async def find(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> list[str]:
        """The ids of what `query` would yield, in its order."""
        return await self._read(sqlite_queries.find, filters, limit, most_work=most_work)

    async def inventory(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> Inventory:
        """What `find` yields, as reconciling needs it (NIP-77)."""
        return await self._read(sqlite_queries.inventory, filters, limit, most_work=most_work)

    async def count(self, filters: Sequence[Filter], *, most_work: int | None = None) -> int:
        """How many served events match any of the filters; `limit` is ignored."""
        return await self._read(sqlite_queries.count, filters, most_work=most_work)

    async def expiring(self, now: float, limit: int) -> tuple[list[str], float | None]:
        """Served events that expired by now, and when the next one does."""
        return await self._read(sqlite_queries.expiring, now, limit)

    async def served_ids(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of the ids are served."""
        return await self._read(sqlite_queries.served_ids, ids)

    async def look(
        self, filters: Sequence[Filter], limit: int, targets: Sequence[str]
    ) -> tuple[list[Event], list[Tombstone]]:
        """What `query` yields, and the tombstones of these ids and addresses, in one read."""
        return await self._read(sqlite_queries.look, filters, limit, targets)

    async def check(self) -> tuple[str, ...]:
        """What SQLite finds wrong with the file."""
        return await self._read(sqlite_queries.check)

    async def stored(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """Events as they lie in the store, served, held and overdue, in the order of their ids."""
        return await self._read(sqlite_queries.stored, after, limit)

    def note_domains(self, rows: Sequence[DomainRow]) -> None:
        """Remember starts and rests with the next batch, without a sync; the newest row wins."""
        self._writer.note_domains(rows)

    async def aclose(self) -> None:
        """Finish what was begun, write what was noted, close, and let another process in.

        A second call does nothing. Cancellation does not interrupt it.

        Raises:
          StoreError: what was noted could not be written; it is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            try:
                await self._writer.apply(Change())
            finally:
                await self._close_readers()
                await blocking(self._limiter, self._close_writer)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    async def _close_readers(self) -> None:
        places = [object() for _ in range(READERS)]
        for place in places:
            await self._readers.acquire_on_behalf_of(place)
        for reader in self._idle:
            reader.close()
        for place in places:
            self._readers.release_on_behalf_of(place)

    async def _read(
        self,
        function: Callable[[sqlite3.Connection, *Ts], T],
        *args: *Ts,
        most_work: int | None = None,
    ) -> T:
        return await blocking(self._readers, self._with_reader, function, args, most_work)

    def _with_reader(
        self, function: Callable[..., T], args: tuple[Any, ...], most_work: int | None
    ) -> T:
        self._check_open()
        try:
            try:
                reader = self._idle.pop()
            except IndexError:
                reader = connect(self._path, "ro")
            try:
                with bounded(reader, most_work):
                    return function(reader, *args)
            finally:
                self._idle.append(reader)
        except StoreError:
            # An error that is its own cause would keep what was asked until the collector comes.
            raise
        except Exception as error:
            raise at_run_time(self._path, error) from error

    def _commit(
        self, changes: Sequence[Change], domains: Sequence[DomainRow]
    ) -> Sequence[Applied | StoreError]:
        return commit_batch(self._connection, self._path, changes, domains)

    def _close_writer(self) -> None:
        self._connection.close()
        os.close(self._lock)
