"""What a start does with the journal, by itself; whole starts are in `test_crash_points`."""

from __future__ import annotations

from pathlib import Path

import pytest

from purgatory_sync.engine.upkeep.restore import restore
from purgatory_sync.git.disk.refs import update_refs
from purgatory_sync.git.disk.repository import list_refs
from purgatory_sync.release import repository_sync
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...git.local_repos import history
from ...world import NOW, World

OWNER, STRANGER = Author.from_seed(1), Author.from_seed(2)


async def test_b_4_2_a_start_deletes_wrong_refs_reading_each_repository_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def reads(repository: Path) -> dict[str, str]:
        read.append(repository)
        return list_refs(repository)

    (step,) = history(1)
    right = {f"refs/nostr/{'9' * 64}": step.oid}
    for identifier in ("bad", "good"):
        wrong = {}
        await world.announce(OWNER, identifier)
        world.give(OWNER, [step], identifier)
        for number in (1, 2):
            pr = events.pull_request(STRANGER, [OWNER.coordinate(identifier)], f"{number}" * 40)
            await world.offer(pr)
            wrong[f"refs/nostr/{pr.id}"] = step.oid
        update_refs(world.path(OWNER, identifier), wrong | right)
    damaged = world.path(OWNER, "bad") / "packed-refs"
    damaged.write_text("damaged\n")
    monkeypatch.setattr(repository_sync, "list_refs", reads)
    await restore(await world.store.load(), world.core, NOW)
    assert world.refs(OWNER, "good") == right
    assert read == [world.path(OWNER, "bad"), world.path(OWNER, "good")]
