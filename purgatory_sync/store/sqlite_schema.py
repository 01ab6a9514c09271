"""The tables of the SQLite store, and how a connection to them is set up (docs/storage.md)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ..errors import ConfigurationError
from .sqlite_errors import corrupt

VERSION = 9

# `number` stands for an event where a 64-digit id would be written a hundred times. `d` is set for
# replaceable and addressable events only, so that the unique index holds one event per address.
# The columns of a primary key stand first and in its order: SQLite 3.40's quick_check reports
# sound tables WITHOUT ROWID as damaged when they do not.
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE event (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  pubkey TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  d TEXT,
  json TEXT NOT NULL
);
CREATE UNIQUE INDEX event_address ON event (kind, pubkey, d) WHERE d IS NOT NULL;
CREATE INDEX event_by_author ON event (pubkey, kind, created_at DESC, id);
CREATE INDEX event_by_kind ON event (kind, created_at DESC, id);
CREATE INDEX event_by_time ON event (created_at DESC, id);

CREATE TABLE tag (
  letter TEXT NOT NULL,
  value TEXT NOT NULL,
  event INTEGER NOT NULL REFERENCES event ON DELETE CASCADE,
  PRIMARY KEY (letter, value, event)
) WITHOUT ROWID;
CREATE INDEX tag_of_event ON tag (event, letter, value);

CREATE TABLE held (
  id TEXT PRIMARY KEY,
  sort TEXT NOT NULL,
  origin TEXT NOT NULL,
  accepted_at REAL NOT NULL,
  soft_expired_at REAL,
  json TEXT NOT NULL
);
CREATE TABLE held_coordinate (
  id TEXT NOT NULL REFERENCES held ON DELETE CASCADE,
  identifier TEXT NOT NULL,
  PRIMARY KEY (id, identifier)
) WITHOUT ROWID;
CREATE INDEX held_by_identifier ON held_coordinate (identifier);

CREATE TABLE expired (
  id TEXT PRIMARY KEY,
  at REAL NOT NULL,
  reason TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE tombstone (
  target TEXT NOT NULL,
  author TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (target, author)
) WITHOUT ROWID;
CREATE TABLE placeholder (
  owner TEXT NOT NULL,
  identifier TEXT NOT NULL,
  event_id TEXT NOT NULL,
  oid TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (owner, identifier, event_id)
) WITHOUT ROWID;
CREATE TABLE naughty (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  until REAL NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE domain_start (domain TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX domain_start_of ON domain_start (domain, at);
CREATE TABLE domain_rest (domain TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""

MADE = """
CREATE TABLE made (
  owner TEXT NOT NULL,
  identifier TEXT NOT NULL,
  token TEXT NOT NULL,
  filled INTEGER NOT NULL,
  PRIMARY KEY (owner, identifier)
) WITHOUT ROWID;
"""

ENDS = """
ALTER TABLE tombstone ADD COLUMN ends REAL;
CREATE INDEX tombstone_by_end ON tombstone (ends) WHERE ends IS NOT NULL;
"""

SERVER_NOTES = """
CREATE TABLE server_note (
  key TEXT PRIMARY KEY,
  text TEXT NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
"""

OVERDUE = """
CREATE TABLE overdue (
  id TEXT PRIMARY KEY,
  since REAL NOT NULL,
  json TEXT NOT NULL
);
"""

LIST_ENTRY = """
CREATE TABLE list_entry (
  name TEXT NOT NULL,
  entry TEXT NOT NULL,
  reason TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (name, entry)
) WITHOUT ROWID;
"""

UPLOADS = """
CREATE TABLE upload (
  owner TEXT NOT NULL,
  identifier TEXT NOT NULL,
  event_id TEXT NOT NULL,
  oid TEXT NOT NULL,
  at REAL NOT NULL,
  size INTEGER NOT NULL,
  address TEXT NOT NULL,
  PRIMARY KEY (owner, identifier, event_id)
) WITHOUT ROWID;
"""

# As `rules.indexed_tags` has it for what is saved now (NIP-40): the first tag counts.
EXPIRING = """
INSERT OR IGNORE INTO tag (letter, value, event)
SELECT 'expiration', printf('%020d', CAST(at AS INTEGER)), number FROM (
  SELECT event.number AS number, min(tags.key), json_extract(tags.value, '$[1]') AS at
  FROM event, json_each(event.json, '$.tags') AS tags
  WHERE event.json LIKE '%"expiration"%' AND event.kind NOT IN (5, 62, 30617, 30618)
    AND json_extract(tags.value, '$[0]') = 'expiration'
  GROUP BY event.number)
WHERE at <> '' AND at NOT GLOB '*[^0-9]*' AND length(at) <= 16;
"""

# Of what had an effect before that is not known: it counts from now on.
USED = """
ALTER TABLE tombstone ADD COLUMN used REAL;
UPDATE tombstone SET used = CAST(strftime('%s', 'now') AS REAL) WHERE ends IS NULL;
"""

# From the version that is the key to the next one.
UPGRADES = {
    1: f"{MADE} ALTER TABLE expired ADD COLUMN reason TEXT NOT NULL DEFAULT '';",
    2: f"{ENDS} ALTER TABLE made ADD COLUMN ending INTEGER NOT NULL DEFAULT 0;",
    3: SERVER_NOTES,
    4: EXPIRING,
    5: OVERDUE,
    6: LIST_ENTRY,
    7: UPLOADS,
    8: USED,
}


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a connection that may wander between threads, one at a time.

    Args:
      mode: `ro`, `rw` or `rwc`, as SQLite's URIs have it.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10.0,
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -16384")
    except BaseException:  # the first that reads the file, which may be none of SQLite's
        connection.close()
        raise
    return connection


def judge(connection: sqlite3.Connection, path: Path) -> bool:
    """Look at what is in a file before anything is written to it.

    Returns whether it holds our tables; False when it is empty.

    Raises:
      StoreCorrupt: damaged, or a database of another program.
      ConfigurationError: written by a newer version of this program.
    """
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return False
    if not {"meta", "event", "held"} <= tables:
        raise corrupt(path, "its tables are not ours")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or not row[0].isdecimal():
        raise corrupt(path, "it does not name its version")
    if int(row[0]) > VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer version of this program (schema {row[0]}, this one"
            f" knows {VERSION}): start the newer version, or choose another NGIT_RELAY_DATA_PATH"
        )
    finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if finding != "ok":
        raise corrupt(path, finding)
    return True


def prepare_writer(connection: sqlite3.Connection, *, new: bool) -> None:
    """Make a connection the writer: commits are on disk when they return (N1)."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise ConfigurationError(
            "the file system of NGIT_RELAY_DATA_PATH has no memory that processes share, which"
            " SQLite needs: choose a folder on a local disk"
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    if new:
        connection.executescript(
            f"BEGIN IMMEDIATE; {TABLES} {MADE} {UPGRADES[2]} {SERVER_NOTES} {OVERDUE}"  # noqa: S608
            f" {LIST_ENTRY} {UPLOADS} {USED}"
            f" INSERT INTO meta VALUES ('schema', '{VERSION}'); COMMIT;"
        )
        return
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    for each in range(int(version), VERSION):
        connection.executescript(
            f"BEGIN IMMEDIATE; {UPGRADES[each]}"  # noqa: S608
            f" UPDATE meta SET value = '{each + 1}' WHERE key = 'schema'; COMMIT;"
        )
