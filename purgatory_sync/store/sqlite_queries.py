"""Reading: NIP-01 filters as SQL, and the journal.

What may have many rows comes as one text: for each row that it takes, sqlite3 gives the GIL away,
and while the loop is busy it has it back 5 ms later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import msgspec

from ..errors import NaughtyScope
from ..nostr.event import Event, decode_event
from ..nostr.filters import Filter
from ..nostr.reconciliation.inventory import Inventory
from ..records import ListEntry, NaughtyRecord, Placeholder, ServerNote, Tombstone, Upload
from .protocol import DomainRow, Expired, HeldRow, Journal, Made, OverdueRow
from .rules import EXPIRATION, expiration
from .sqlite_values import listed, listed_numbers, searchable

_IN = "IN (SELECT value FROM json_each(?))"

MAX_KINDS_APART = 16
MAX_FINDINGS = 100
# SQLite's texts have a gigabyte at most, and events a mebibyte.
MAX_TEXTS_AT_ONCE = 500

_rows = msgspec.json.Decoder(list[tuple[int, int, str]])
_numbers = msgspec.json.Decoder(list[int])

Condition = tuple[str, list[Any]]


def select(wanted: Filter) -> Condition:
    """The events that match a filter as `FROM … WHERE …`, with its parameters.

    SQLite knows nothing of how often values occur, so the index is named here: ids, else the tag
    with the fewest values, else authors, else kinds, else time.
    """
    letters = sorted(wanted.tags, key=lambda letter: (len(wanted.tags[letter]), letter))
    parts = [_tagged(letter, sorted(wanted.tags[letter])) for letter in letters]
    index = "INDEXED BY event_by_time"
    if wanted.kinds is not None:
        parts.append(_number_among("kind", sorted(wanted.kinds)))
        index = "INDEXED BY event_by_kind"
    if wanted.authors is not None:
        parts.append(_text_among("pubkey", sorted(wanted.authors)))
        index = "INDEXED BY event_by_author"
    if wanted.ids is not None:
        parts.append(_text_among("id", sorted(wanted.ids)))
        index = "INDEXED BY sqlite_autoindex_event_1"
    elif letters:
        parts[0] = _tagged_first(letters[0], sorted(wanted.tags[letters[0]]))
        index = "NOT INDEXED"
    for value, comparison in ((wanted.since, ">="), (wanted.until, "<=")):
        if value is not None:
            parts.append((f"created_at {comparison} ?", [value]))
    condition = " AND ".join(sql for sql, _ in parts) or "TRUE"
    return f"FROM event {index} WHERE {condition}", [p for _, some in parts for p in some]


def _text_among(column: str, values: Sequence[str]) -> Condition:
    # One value as an equation lets the index give the newest first without sorting.
    if len(values) == 1 and values[0].isascii():
        return f"{column} = ?", [searchable(values[0])]
    return f"{column} {_IN}", [listed(values)]


def _number_among(column: str, values: Sequence[int]) -> Condition:
    if len(values) == 1:
        return f"{column} = ?", [values[0]]
    return f"{column} {_IN}", [listed_numbers(values)]


def _tagged(letter: str, values: Sequence[str]) -> Condition:
    # An event has few tags, a filter may have thousands of values: the plus keeps SQLite from
    # looking up each value among the tags instead of each tag among the values.
    among, parameters = _text_among("value" if len(values) == 1 else "+value", values)
    return (
        "EXISTS (SELECT 1 FROM tag INDEXED BY tag_of_event"  # noqa: S608
        f" WHERE event = number AND letter = ? AND {among})"
    ), [letter, *parameters]


def _tagged_first(letter: str, values: Sequence[str]) -> Condition:
    among, parameters = _text_among("value", values)
    sql = f"number IN (SELECT event FROM tag WHERE letter = ? AND {among})"  # noqa: S608
    return sql, [letter, *parameters]


def query(connection: sqlite3.Connection, filters: Sequence[Filter], limit: int) -> list[Event]:
    """Events that match any filter, newest first, lowest id first on a tie."""
    with _snapshot(connection):
        found: dict[int, tuple[int, str]] = {}
        for wanted in filters:
            found.update(_newest(connection, wanted, limit))
        texts = _texts(connection, sorted(found))
    return [decode_event(texts[number]) for number in sorted(found, key=found.__getitem__)]


def _texts(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, str]:
    """The JSON of events, by their numbers."""
    texts: dict[int, str] = {}
    for start in range(0, len(numbers), MAX_TEXTS_AT_ONCE):
        # What we encoded as JSON has no line's end in it.
        (lines,) = connection.execute(
            "SELECT group_concat(number || ' ' || json, char(10))"  # noqa: S608
            f" FROM event WHERE number {_IN}",
            [listed_numbers(numbers[start : start + MAX_TEXTS_AT_ONCE])],
        ).fetchone()
        parted = (line.partition(" ") for line in lines.split("\n"))
        texts |= {int(number): text for number, _, text in parted}
    return texts


def find(connection: sqlite3.Connection, filters: Sequence[Filter], limit: int) -> list[str]:
    """The ids of what `query` yields, in its order."""
    return [event_id for _, event_id in sorted(_found(connection, filters, limit))]


def inventory(connection: sqlite3.Connection, filters: Sequence[Filter], limit: int) -> Inventory:
    """What `find` yields, as reconciling needs it."""
    found = _found(connection, filters, limit)
    return Inventory((-newest, event_id) for newest, event_id in found)


def _found(
    connection: sqlite3.Connection, filters: Sequence[Filter], limit: int
) -> Collection[tuple[int, str]]:
    with _snapshot(connection):
        found: dict[int, tuple[int, str]] = {}
        for wanted in filters:
            found.update(_newest(connection, wanted, limit))
    return found.values()


def _newest(
    connection: sqlite3.Connection, wanted: Filter, limit: int
) -> list[tuple[int, tuple[int, str]]]:
    """The numbers of what a filter yields, each with what it is ordered by."""
    most = limit if wanted.limit is None else min(wanted.limit, limit)
    found: list[tuple[int, tuple[int, str]]] = []
    for each in _apart(wanted):
        source, parameters = select(each)
        (rows,) = connection.execute(
            "SELECT json_group_array(json_array(number, created_at, id)) FROM"  # noqa: S608
            f" (SELECT number, created_at, id {source} ORDER BY created_at DESC, id LIMIT ?)",
            [*parameters, most],
        ).fetchone()
        found += [(number, (-created_at, name)) for number, created_at, name in _rows.decode(rows)]
    return sorted(found, key=lambda item: item[1])[:most]


def _apart(wanted: Filter) -> list[Filter]:
    # Each kind for itself comes sorted out of the index; together all of them would be sorted.
    alone = wanted.ids is None and wanted.authors is None and not wanted.tags
    if alone and wanted.kinds is not None and 1 < len(wanted.kinds) <= MAX_KINDS_APART:
        return [attrs.evolve(wanted, kinds=frozenset({kind})) for kind in sorted(wanted.kinds)]
    return [wanted]


def count(connection: sqlite3.Connection, filters: Sequence[Filter]) -> int:
    """How many events match any of the filters; `limit` is ignored."""
    with _snapshot(connection):
        found: set[int] = set()
        for wanted in filters:
            source, parameters = select(wanted)
            sql = f"SELECT json_group_array(number) {source}"
            (numbers,) = connection.execute(sql, parameters).fetchone()
            found.update(_numbers.decode(numbers))
        return len(found)


def served_ids(connection: sqlite3.Connection, ids: Sequence[str]) -> frozenset[str]:
    """Which of the ids are served."""
    rows = connection.execute(f"SELECT id FROM event WHERE id {_IN}", [listed(ids)])  # noqa: S608
    return frozenset(name for (name,) in rows.fetchall())


def expiring(
    connection: sqlite3.Connection, now: float, limit: int
) -> tuple[list[str], float | None]:
    """The ids of events that expired by now, and when the next one does."""
    rows = connection.execute(
        "SELECT event.id FROM tag JOIN event ON event.number = tag.event"
        " WHERE letter = ? AND value <= ? ORDER BY value LIMIT ?",
        (EXPIRATION, expiration(now), limit),
    )
    ids = [name for (name,) in rows.fetchall()]
    (following,) = connection.execute(
        "SELECT min(value) FROM tag WHERE letter = ? AND value > ?", (EXPIRATION, expiration(now))
    ).fetchone()
    return ids, None if following is None else float(following)


def check(connection: sqlite3.Connection) -> tuple[str, ...]:
    """What SQLite finds wrong with the file; nothing where it says `ok`."""
    rows = connection.execute(f"PRAGMA quick_check({MAX_FINDINGS})").fetchall()
    return tuple(line for (line,) in rows if line != "ok")


def stored(connection: sqlite3.Connection, after: str, limit: int) -> list[tuple[str, bytes]]:
    """Ids and JSON of events, served, held and overdue, that come after an id."""
    rows = connection.execute(
        "SELECT id, CAST(json AS BLOB) FROM (SELECT id, json FROM event WHERE id > :after"
        " UNION ALL SELECT id, json FROM held WHERE id > :after"
        " UNION ALL SELECT id, json FROM overdue WHERE id > :after"
        " AND id NOT IN (SELECT id FROM held)) ORDER BY id LIMIT :limit",
        {"after": after, "limit": limit},
    )
    return rows.fetchall()


def tombstones(connection: sqlite3.Connection, targets: Sequence[str]) -> list[Tombstone]:
    """The tombstones of these ids and addresses, in the order of targets and authors."""
    asked = {searchable(target): target for target in targets}
    rows = connection.execute(
        f"SELECT target, author, until, ends, used FROM tombstone WHERE target {_IN}"  # noqa: S608
        " ORDER BY target, author",
        [listed(targets)],
    )
    return [Tombstone(asked[target], *rest) for target, *rest in rows.fetchall()]


def look(
    connection: sqlite3.Connection, filters: Sequence[Filter], limit: int, targets: Sequence[str]
) -> tuple[list[Event], list[Tombstone]]:
    """What the filters yield, and the tombstones of these ids and addresses."""
    return query(connection, filters, limit), tombstones(connection, targets)


def journal(connection: sqlite3.Connection) -> Journal:
    """Everything that a start needs besides the served events."""
    with _snapshot(connection):
        return Journal(
            held=tuple(
                HeldRow(decode_event(json), sort, origin, accepted_at, soft_expired_at)
                for json, sort, origin, accepted_at, soft_expired_at in connection.execute(
                    "SELECT json, sort, origin, accepted_at, soft_expired_at FROM held"
                    " ORDER BY accepted_at, id"
                )
            ),
            expired=tuple(
                Expired(*row)
                for row in connection.execute("SELECT id, at, reason FROM expired ORDER BY at, id")
            ),
            overdue=tuple(
                OverdueRow(decode_event(json), since)
                for json, since in connection.execute(
                    "SELECT json, since FROM overdue ORDER BY since, id"
                )
            ),
            placeholders=tuple(
                Placeholder(*row)
                for row in connection.execute(
                    "SELECT owner, identifier, event_id, oid, at FROM placeholder"
                    " ORDER BY at, owner, identifier, event_id"
                )
            ),
            uploads=tuple(
                Upload(*row)
                for row in connection.execute(
                    "SELECT owner, identifier, event_id, oid, at, size, address FROM upload"
                    " ORDER BY at, owner, identifier, event_id"
                )
            ),
            naughty=tuple(
                NaughtyRecord(NaughtyScope(scope), *rest)
                for scope, *rest in connection.execute(
                    "SELECT scope, key, until, reason FROM naughty ORDER BY scope, key"
                )
            ),
            domains=tuple(_domains(connection)),
            server_notes=tuple(
                ServerNote(*row)
                for row in connection.execute(
                    "SELECT key, text, at FROM server_note ORDER BY at, key"
                )
            ),
            made=tuple(
                Made(owner, identifier, token, bool(filled), bool(ending))
                for owner, identifier, token, filled, ending in connection.execute(
                    "SELECT owner, identifier, token, filled, ending FROM made"
                    " ORDER BY owner, identifier"
                )
            ),
            list_entries=tuple(
                ListEntry(*row)
                for row in connection.execute(
                    "SELECT name, entry, reason, at FROM list_entry ORDER BY name, entry"
                )
            ),
            git_folder=_meta(connection, "git_folder"),
            service_key=_meta(connection, "service_key"),
        )


def _meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def _domains(connection: sqlite3.Connection) -> Iterator[DomainRow]:
    starts: dict[str, list[float]] = {}
    for domain, at in connection.execute("SELECT domain, at FROM domain_start ORDER BY at"):
        starts.setdefault(domain, []).append(at)
    rests = dict(connection.execute("SELECT domain, until FROM domain_rest").fetchall())
    for domain in sorted(starts.keys() | rests.keys()):
        yield DomainRow(domain, tuple(starts.get(domain, ())), rests.get(domain))


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
