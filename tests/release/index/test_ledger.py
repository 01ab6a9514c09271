"""`gone` is called with the ids of events that are neither held nor served any more."""

from __future__ import annotations

from pathlib import Path

import trio

from purgatory_sync.purgatory.purgatory import Purgatory
from purgatory_sync.release.index.ledger import Gone, Ledger
from purgatory_sync.release.index.repositories import Repositories
from purgatory_sync.release.index.repository_index import RepositoryIndex
from purgatory_sync.settings import Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change, HeldRow
from purgatory_sync.testing import events
from purgatory_sync.testing.events import SOME_TIME, Author
from purgatory_sync.testing.log_capture import capture_logs

ALICE = Author.from_seed(1)
OLD, NEW = (events.announcement(ALICE, "r", created_at=SOME_TIME + n) for n in range(2))


def make_ledger(folder: Path, gone: Gone) -> Ledger:
    settings = Settings()
    repositories = Repositories(folder, trio.CapacityLimiter(1))
    purgatory = Purgatory(settings.purgatory, settings.sync)
    store = MemoryStore()
    index = RepositoryIndex(store, purgatory, repositories, "grasp.example")
    return Ledger(store, index, gone)


async def test_what_is_replaced_deleted_or_held_no_longer_is_gone(tmp_path: Path) -> None:
    heard: list[frozenset[str]] = []
    ledger = make_ledger(tmp_path, heard.append)
    await ledger.apply(Change(hold=[HeldRow(OLD, "announcement", "user", 1.0)]))
    await ledger.apply(Change(unhold=[OLD.id], save=[OLD]))
    assert heard == [], "held before, served now"
    await ledger.apply(Change(save=[NEW]))
    assert heard == [frozenset({OLD.id})]
    await ledger.apply(Change(delete=[NEW.id]))
    await ledger.apply(Change(hold=[HeldRow(OLD, "announcement", "user", 1.0)]))
    await ledger.apply(Change(unhold=[OLD.id]))
    assert heard[1:] == [frozenset({NEW.id}), frozenset({OLD.id})]


async def test_a_listener_that_fails_stops_nothing(tmp_path: Path) -> None:
    def fail(event_ids: frozenset[str]) -> None:
        raise RuntimeError("a bug")

    ledger = make_ledger(tmp_path, fail)
    with capture_logs() as logs:
        await ledger.apply(Change(unhold=[OLD.id]))
    assert [each["event"] for each in logs] == ["the listener for ended events failed"]
