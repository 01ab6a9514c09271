from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from purgatory_sync.engine.remembering import Rememberer
from purgatory_sync.errors import StoreError
from purgatory_sync.hunt.manager import ThrottleManager
from purgatory_sync.store.protocol import DomainRow
from purgatory_sync.testing.mock_context import MockSyncContext

from ..world import World


async def test_a_store_that_cannot_note_a_start_does_not_occupy_the_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(rows: Sequence[DomainRow]) -> None:
        raise StoreError("closed")

    monkeypatch.setattr(world.store, "note_domains", fails)
    rememberer = Rememberer(world.store, world.knowledge)
    throttles = ThrottleManager(MockSyncContext(), on_change=rememberer.domain_changed)
    with capture_logs() as logs:
        place = throttles.start_request("a.example")
        assert place is not None
        throttles.complete_request(place)
    assert throttles.statistics().domains["a.example"].in_flight == 0
    assert {each["error"] for each in logs} == {"closed"}
