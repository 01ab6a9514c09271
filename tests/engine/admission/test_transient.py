"""`Answer.transient` says whether trying again may help, not the text of a message (B 2.8)."""

from __future__ import annotations

import attrs
import pytest

from purgatory_sync.errors import RepositoryError, StoreError
from purgatory_sync.nostr.event import Event
from purgatory_sync.store.protocol import Applied, Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

from ...world import NOW, World

OWNER = Author.from_seed(1)
MAIN = "refs/heads/main"


def announcement(*, listed: bool = True, created_at: int = NOW) -> Event:
    host = "grasp.example.com" if listed else "elsewhere.example.com"
    return events.announcement(
        OWNER,
        "repo",
        clone=[f"https://{host}/{OWNER.npub}/repo.git"],
        relays=[f"wss://{host}"],
        created_at=created_at,
    )


async def test_b_2_8_what_the_clock_refuses_is_transient_and_what_the_rules_refuse_is_not(
    world: World,
) -> None:
    assert (await world.offer(announcement(created_at=NOW + 901))).transient
    for event in (
        announcement(listed=False),
        events.state(OWNER, "repo", {MAIN: "1" * 40}, created_at=NOW),
        events.note(OWNER, created_at=NOW),
        events.announcement(OWNER, "..", created_at=NOW),
    ):
        answer = await world.offer(event)
        assert (answer.accepted, answer.transient) == (False, False), answer


@pytest.mark.parametrize(
    "bounds", [{"max_events": 1}, {"max_bytes": 900}, {"max_events_per_author": 1}]
)
async def test_b_1_9_want_of_room_is_transient(world: World, bounds: dict[str, int]) -> None:
    await world.announce(OWNER)
    few = attrs.evolve(world.settings.purgatory, **bounds)
    settings = attrs.evolve(world.settings, purgatory=few)
    world.admission = attrs.evolve(world.admission, settings=settings)
    refs = {f"{MAIN}{n}": "1" * 40 for n in range(10)}
    answer = await world.offer(events.state(OWNER, "repo", refs, created_at=NOW))
    assert answer.message.startswith("rate-limited: ")
    assert answer.transient


async def test_what_fails_here_is_transient(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_repository(*asked: object) -> None:
        raise RepositoryError("read-only")

    async def no_store(change: Change) -> Applied:
        raise StoreError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(world.repositories, "create", no_repository)
        answer = await world.offer(announcement())
        assert (answer.accepted, answer.transient) == (False, True)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "apply", no_store)
        answer = await world.offer(announcement())
        assert (answer.accepted, answer.transient) == (False, True)
    assert (await world.offer(announcement())).accepted
