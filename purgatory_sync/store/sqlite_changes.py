"""One change, or a batch of them, on the writer's connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from ..errors import StoreError
from ..nostr.event import Event, decode_event, encode_event
from .protocol import Applied, Change, DomainRow
from .rules import START_MEMORY_SECS, held_identifiers, indexed_tags, is_kept, wins_over
from .sqlite_errors import at_run_time
from .sqlite_values import searchable


def commit_batch(
    connection: sqlite3.Connection,
    path: Path,
    changes: Sequence[Change],
    domains: Sequence[DomainRow],
) -> list[Applied | StoreError]:
    """Do several changes in one transaction with one sync; a bad one fails alone.

    Returns what became of each change, in their order.

    Raises:
      StoreError: the transaction failed; nothing of it was done.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_apply_alone(connection, path, change) for change in changes]
        _write_domains(connection, domains)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, Exception):
            raise at_run_time(path, error) from error
        raise
    return outcomes


def _apply_alone(
    connection: sqlite3.Connection, path: Path, change: Change
) -> Applied | StoreError:
    connection.execute("SAVEPOINT change")
    try:
        applied = apply_change(connection, change)
    except Exception as error:
        # A full disk or an I/O error ends the whole transaction; then no savepoint is left.
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        return at_run_time(path, error)
    connection.execute("RELEASE change")
    return applied


def apply_change(connection: sqlite3.Connection, change: Change) -> Applied:
    """Do a change inside the caller's transaction: what leaves first, then what comes."""
    _journal(connection, change)
    connection.executemany("DELETE FROM event WHERE id = ?", _each(change.delete))
    return _save(connection, change.save)


def _journal(connection: sqlite3.Connection, change: Change) -> None:
    many = connection.executemany
    many("DELETE FROM held WHERE id = ?", _each(change.unhold))
    many("DELETE FROM expired WHERE id = ?", _each(change.forget_expired))
    many(
        "DELETE FROM overdue WHERE id = ?",
        _each((*change.forget_overdue, *change.delete, *(event.id for event in change.save))),
    )
    many(
        "DELETE FROM placeholder WHERE owner = ? AND identifier = ? AND event_id = ?",
        ((p.owner, p.identifier, p.event_id) for p in change.forget_placeholders),
    )
    many(
        "DELETE FROM upload WHERE owner = ? AND identifier = ? AND event_id = ?",
        (upload.key for upload in change.forget_uploads),
    )
    many("DELETE FROM naughty WHERE scope = ? AND key = ?", change.forget_naughty)
    many(
        "INSERT OR REPLACE INTO held VALUES (?, ?, ?, ?, ?, ?)",
        (
            (h.event.id, h.sort, h.origin, h.accepted_at, h.soft_expired_at, _json(h.event))
            for h in change.hold
        ),
    )
    many(
        "INSERT OR IGNORE INTO held_coordinate (identifier, id) VALUES (?, ?)",
        ((name, row.event.id) for row in change.hold for name in held_identifiers(row)),
    )
    many(
        "INSERT OR REPLACE INTO expired VALUES (?, ?, ?)",
        ((e.event_id, e.at, e.reason) for e in change.expire),
    )
    many(
        "INSERT OR REPLACE INTO overdue VALUES (?, ?, ?)",
        ((row.event.id, row.since, _json(row.event)) for row in change.overdue),
    )
    many(
        "DELETE FROM tombstone WHERE ends <= ?",
        () if change.tombstones_ended is None else ((change.tombstones_ended,),),
    )
    # max() of NULL is NULL: what never ends stays so (`rules.merged`).
    many(
        "INSERT INTO tombstone (target, author, until, ends, used) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET until = max(until, excluded.until),"
        " ends = max(ends, excluded.ends),"
        " used = coalesce(max(used, excluded.used), used, excluded.used)",
        ((searchable(t.target), t.author, t.until, t.ends, t.used) for t in change.tombstones),
    )
    many(
        "INSERT OR REPLACE INTO placeholder VALUES (?, ?, ?, ?, ?)",
        ((p.owner, p.identifier, p.event_id, p.oid, p.at) for p in change.placeholders),
    )
    many(
        "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?, ?, ?)",
        (attrs.astuple(upload) for upload in change.uploads),
    )
    many(
        "INSERT OR REPLACE INTO naughty VALUES (?, ?, ?, ?)",
        ((n.scope, n.key, n.until, n.reason) for n in change.naughty),
    )
    many("DELETE FROM server_note WHERE key = ?", _each(change.forget_server_notes))
    many(
        "INSERT OR REPLACE INTO server_note VALUES (?, ?, ?)",
        ((note.key, note.text, note.at) for note in change.server_notes),
    )
    many(
        "DELETE FROM made WHERE owner = ? AND identifier = ?",
        ((m.owner, m.identifier) for m in change.forget_made),
    )
    many(
        "INSERT OR REPLACE INTO made (owner, identifier, token, filled, ending)"
        " VALUES (?, ?, ?, ?, ?)",
        ((m.owner, m.identifier, m.token, m.filled, m.ending) for m in change.made),
    )
    many("DELETE FROM list_entry WHERE name = ? AND entry = ?", change.forget_list_entries)
    many(
        "INSERT OR REPLACE INTO list_entry VALUES (?, ?, ?, ?)",
        ((row.name, row.entry, row.reason, row.at) for row in change.list_entries),
    )
    known = {"git_folder": change.git_folder, "service_key": change.service_key}
    many(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        ((key, value) for key, value in known.items() if value is not None),
    )


def _save(connection: sqlite3.Connection, events: Iterable[Event]) -> Applied:
    saved: dict[str, None] = {}
    replaced: list[str] = []
    for event in events:
        if not is_kept(event) or _is_served(connection, event.id):
            continue
        if event.address is not None and (older := _at_address(connection, event.address)):
            if not wins_over(event, older):
                continue
            connection.execute("DELETE FROM event WHERE id = ?", (older.id,))
            # What this very change saved was never served, so its end is not reported.
            if older.id in saved:
                del saved[older.id]
            else:
                replaced.append(older.id)
        _insert(connection, event)
        saved[event.id] = None
    return Applied(tuple(saved), tuple(replaced))


def _is_served(connection: sqlite3.Connection, event_id: str) -> bool:
    row = connection.execute("SELECT 1 FROM event WHERE id = ?", (event_id,)).fetchone()
    return row is not None


def _at_address(connection: sqlite3.Connection, address: tuple[int, str, str]) -> Event | None:
    row = connection.execute(
        "SELECT json FROM event WHERE kind = ? AND pubkey = ? AND d = ?", address
    ).fetchone()
    return None if row is None else decode_event(row[0])


def _insert(connection: sqlite3.Connection, event: Event) -> None:
    d = None if event.address is None else event.address[2]
    number = connection.execute(
        "INSERT INTO event (id, pubkey, created_at, kind, d, json) VALUES (?, ?, ?, ?, ?, ?)",
        (event.id, event.pubkey, event.created_at, event.kind, d, _json(event)),
    ).lastrowid
    connection.executemany(
        "INSERT INTO tag (event, letter, value) VALUES (?, ?, ?)",
        ((number, letter, searchable(value)) for letter, value in indexed_tags(event)),
    )


def _write_domains(connection: sqlite3.Connection, rows: Sequence[DomainRow]) -> None:
    for row in rows:
        connection.execute("DELETE FROM domain_start WHERE domain = ?", (row.domain,))
        connection.execute("DELETE FROM domain_rest WHERE domain = ?", (row.domain,))
        if row.resting_until is not None:
            connection.execute(
                "INSERT INTO domain_rest VALUES (?, ?)", (row.domain, row.resting_until)
            )
    starts = [(row.domain, at) for row in rows for at in row.starts]
    if starts:
        connection.executemany("INSERT INTO domain_start VALUES (?, ?)", starts)
        oldest = max(at for _, at in starts) - START_MEMORY_SECS
        connection.execute("DELETE FROM domain_start WHERE at <= ?", (oldest,))


def _json(event: Event) -> str:
    return encode_event(event).decode()


def _each(values: Iterable[str]) -> Iterator[tuple[str]]:
    return ((value,) for value in values)
