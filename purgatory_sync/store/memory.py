"""The store in memory: for tests and simulations, and where nothing shall survive a stop."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import product
from typing import TypeVar

import trio

from ..errors import StoreError
from ..nostr.event import Event, encode_event
from ..nostr.filters import Filter
from ..nostr.reconciliation.inventory import Inventory
from ..records import ListEntry, NaughtyRecord, Placeholder, ServerNote, Tombstone, Upload
from .protocol import (
    Applied,
    Change,
    DomainRow,
    Expired,
    HeldRow,
    Journal,
    Made,
    OverdueRow,
    Store,
)
from .rules import (
    EXPIRATION,
    START_MEMORY_SECS,
    expiration,
    indexed_tags,
    is_kept,
    merged,
    wins_over,
)

K = TypeVar("K", bound=Hashable)


class MemoryStore(Store):
    """What `SqliteStore` does, in the loop and without a disk."""

    def __init__(self) -> None:
        self._served: dict[str, Event] = {}
        self._by_author: dict[tuple[int, str], dict[str, None]] = {}
        self._by_address: dict[tuple[int, str, str], str] = {}
        self._by_tag: dict[tuple[str, str], dict[str, None]] = {}
        self._held: dict[str, HeldRow] = {}
        self._expired: dict[str, Expired] = {}
        self._overdue: dict[str, OverdueRow] = {}
        self._tombstones: dict[tuple[str, str], Tombstone] = {}
        self._placeholders: dict[tuple[str, str, str], Placeholder] = {}
        self._uploads: dict[tuple[str, str, str], Upload] = {}
        self._naughty: dict[tuple[str, str], NaughtyRecord] = {}
        self._server_notes: dict[str, ServerNote] = {}
        self._domains: dict[str, DomainRow] = {}
        self._made: dict[tuple[str, str], Made] = {}
        self._list_entries: dict[tuple[str, str], ListEntry] = {}
        self._git_folder: str | None = None
        self._service_key: str | None = None
        self._closed = False

    async def load(self) -> Journal:
        """Everything that is journaled; ids that are both served and held are un-held first."""
        await self._begin()
        for event_id in self._held.keys() & self._served.keys():
            del self._held[event_id]
        return Journal(
            held=tuple(
                sorted(self._held.values(), key=lambda row: (row.accepted_at, row.event.id))
            ),
            expired=tuple(sorted(self._expired.values(), key=lambda e: (e.at, e.event_id))),
            overdue=tuple(sorted(self._overdue.values(), key=lambda o: (o.since, o.event.id))),
            placeholders=tuple(
                sorted(
                    self._placeholders.values(),
                    key=lambda p: (p.at, p.owner, p.identifier, p.event_id),
                )
            ),
            uploads=tuple(sorted(self._uploads.values(), key=lambda each: (each.at, each.key))),
            naughty=tuple(self._naughty[key] for key in sorted(self._naughty)),
            domains=tuple(self._domains[domain] for domain in sorted(self._domains)),
            server_notes=tuple(sorted(self._server_notes.values(), key=lambda n: (n.at, n.key))),
            made=tuple(self._made[key] for key in sorted(self._made)),
            list_entries=tuple(self._list_entries[key] for key in sorted(self._list_entries)),
            git_folder=self._git_folder,
            service_key=self._service_key,
        )

    async def apply(self, change: Change) -> Applied:
        """Do a change; cancelled, it is not done."""
        await self._begin()
        self._journal(change)
        for event_id in change.delete:
            self._drop(event_id)
        return self._save(change.save)

    async def query(self, filters: Sequence[Filter], limit: int) -> list[Event]:
        """Served events that match any filter, newest first (lowest id first on a tie)."""
        await self._begin()
        found: dict[str, Event] = {}
        for wanted in filters:
            most = limit if wanted.limit is None else min(wanted.limit, limit)
            matching = sorted(self._matching(wanted), key=_newest_first)
            found.update((event.id, event) for event in matching[:most])
        return sorted(found.values(), key=_newest_first)

    async def find(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> list[str]:
        """The ids of what `query` would yield, in its order."""
        return [event.id for event in await self.query(filters, limit)]

    async def inventory(
        self, filters: Sequence[Filter], limit: int, *, most_work: int | None = None
    ) -> Inventory:
        """What `find` yields, as reconciling needs it (NIP-77)."""
        found = await self.query(filters, limit)
        return Inventory((event.created_at, event.id) for event in found)

    async def count(self, filters: Sequence[Filter], *, most_work: int | None = None) -> int:
        """How many served events match any of the filters; `limit` is ignored."""
        await self._begin()
        return len({event.id for wanted in filters for event in self._matching(wanted)})

    async def expiring(self, now: float, limit: int) -> tuple[list[str], float | None]:
        """Served events that expired by now, and when the next one does."""
        await self._begin()
        times = sorted(value for letter, value in self._by_tag if letter == EXPIRATION)
        over = [value for value in times if value <= expiration(now)]
        ids = [each for value in over for each in self._by_tag[EXPIRATION, value]]
        return ids[:limit], float(times[len(over)]) if len(over) < len(times) else None

    async def check(self) -> tuple[str, ...]:
        """Nothing is wrong with memory."""
        return ()

    async def stored(self, after: str, limit: int) -> list[tuple[str, bytes]]:
        """All events, served, held and overdue, in the order of their ids."""
        await self._begin()
        overdue = {event_id: row.event for event_id, row in self._overdue.items()}
        held = {event_id: row.event for event_id, row in self._held.items()}
        every = self._served | overdue | held
        ids = sorted(event_id for event_id in every if event_id > after)[:limit]
        return [(event_id, encode_event(every[event_id])) for event_id in ids]

    async def served_ids(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of the ids are served."""
        await self._begin()
        return frozenset(event_id for event_id in ids if event_id in self._served)

    async def look(
        self, filters: Sequence[Filter], limit: int, targets: Sequence[str]
    ) -> tuple[list[Event], list[Tombstone]]:
        """What `query` yields, and the tombstones of these ids and addresses, in one read."""
        events = await self.query(filters, limit)
        asked = frozenset(targets)
        return events, [t for key, t in sorted(self._tombstones.items()) if key[0] in asked]

    def note_domains(self, rows: Sequence[DomainRow]) -> None:
        """Remember starts and rests; the newest row of a domain wins."""
        self._domains |= {row.domain: row for row in rows}
        newest = max((at for row in rows for at in row.starts), default=0.0)
        for domain, row in [*self._domains.items()]:
            recent = tuple(sorted(at for at in row.starts if at > newest - START_MEMORY_SECS))
            if recent or row.resting_until is not None:
                self._domains[domain] = DomainRow(domain, recent, row.resting_until)
            else:
                del self._domains[domain]

    async def aclose(self) -> None:
        """End it: every later call raises StoreError."""
        self._closed = True
        await trio.lowlevel.checkpoint()

    async def _begin(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
        await trio.lowlevel.checkpoint()

    def _journal(self, change: Change) -> None:
        for event_id in change.unhold:
            self._held.pop(event_id, None)
        for event_id in change.forget_expired:
            self._expired.pop(event_id, None)
        for event_id in (*change.forget_overdue, *change.delete, *(e.id for e in change.save)):
            self._overdue.pop(event_id, None)
        for gone in change.forget_placeholders:
            self._placeholders.pop((gone.owner, gone.identifier, gone.event_id), None)
        for upload in change.forget_uploads:
            self._uploads.pop(upload.key, None)
        for source in change.forget_naughty:
            self._naughty.pop(source, None)
        self._held |= {row.event.id: row for row in change.hold}
        self._expired |= {each.event_id: each for each in change.expire}
        self._overdue |= {row.event.id: row for row in change.overdue}
        if (now := change.tombstones_ended) is not None:
            over = [k for k, t in self._tombstones.items() if t.ends is not None and t.ends <= now]
            for key in over:
                del self._tombstones[key]
        for tombstone in change.tombstones:
            key = tombstone.target, tombstone.author
            other = self._tombstones.get(key, tombstone)
            self._tombstones[key] = merged(other, tombstone)
        self._placeholders |= {(p.owner, p.identifier, p.event_id): p for p in change.placeholders}
        self._uploads |= {upload.key: upload for upload in change.uploads}
        self._naughty |= {(row.scope, row.key): row for row in change.naughty}
        for forgotten in change.forget_server_notes:
            self._server_notes.pop(forgotten, None)
        self._server_notes |= {row.key: row for row in change.server_notes}
        for each in change.forget_made:
            self._made.pop((each.owner, each.identifier), None)
        self._made |= {(row.owner, row.identifier): row for row in change.made}
        for entry in change.forget_list_entries:
            self._list_entries.pop(entry, None)
        self._list_entries |= {(row.name, row.entry): row for row in change.list_entries}
        self._git_folder = change.git_folder or self._git_folder
        self._service_key = change.service_key or self._service_key

    def _save(self, events: Iterable[Event]) -> Applied:
        saved: dict[str, None] = {}
        replaced: list[str] = []
        for event in events:
            if not is_kept(event) or event.id in self._served:
                continue
            if event.address is not None and (older := self._by_address.get(event.address)):
                if not wins_over(event, self._served[older]):
                    continue
                self._drop(older)
                if older in saved:
                    del saved[older]
                else:
                    replaced.append(older)
            self._add(event)
            saved[event.id] = None
        return Applied(tuple(saved), tuple(replaced))

    def _add(self, event: Event) -> None:
        self._served[event.id] = event
        if event.address is not None:
            self._by_address[event.address] = event.id
        self._by_author.setdefault((event.kind, event.pubkey), {})[event.id] = None
        for tag in indexed_tags(event):
            self._by_tag.setdefault(tag, {})[event.id] = None

    def _drop(self, event_id: str) -> None:
        event = self._served.pop(event_id, None)
        if event is None:
            return
        if event.address is not None:
            del self._by_address[event.address]
        _forget(self._by_author, (event.kind, event.pubkey), event_id)
        for tag in indexed_tags(event):
            _forget(self._by_tag, tag, event_id)

    def _matching(self, wanted: Filter) -> list[Event]:
        return [event for event in self._candidates(wanted) if wanted.matches(event)]

    def _candidates(self, wanted: Filter) -> Iterable[Event]:
        if wanted.ids is not None:
            return [self._served[name] for name in wanted.ids if name in self._served]
        # Each group holds every event that matches: the smallest has the fewest in vain.
        groups = [
            [self._by_tag[each] for each in product((letter,), values) if each in self._by_tag]
            for letter, values in sorted(wanted.tags.items())
        ]
        if wanted.kinds is not None and wanted.authors is not None:
            pairs = product(wanted.kinds, wanted.authors)
            groups.append([self._by_author[each] for each in pairs if each in self._by_author])
        if not groups:
            return self._served.values()
        smallest = min(groups, key=lambda group: sum(map(len, group)))
        return [self._served[name] for name in {name for having in smallest for name in having}]


def _forget(groups: dict[K, dict[str, None]], key: K, event_id: str) -> None:
    having = groups[key]
    del having[event_id]
    if not having:
        del groups[key]


def _newest_first(event: Event) -> tuple[int, str]:
    return -event.created_at, event.id
