from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from purgatory_sync.engine.admission.admission import Answer, Outcome
from purgatory_sync.node.upstream import Local, bridge
from purgatory_sync.node.upstream.bridge import Following
from purgatory_sync.nostr import kinds
from purgatory_sync.nostr.event import Event
from purgatory_sync.nostr.filters import Filter
from purgatory_sync.nostr.keys import SecretKey
from purgatory_sync.settings import CurationSettings, Settings
from purgatory_sync.store.memory import MemoryStore
from purgatory_sync.store.protocol import Change
from purgatory_sync.testing import events
from purgatory_sync.testing.events import Author

ALICE, BOB = Author.from_seed(1), Author.from_seed(2)
HELD = events.announcement(ALICE, "held")
SERVED = events.announcement(BOB, "served")


@attrs.define(eq=False)
class Upstream:
    """Remembers what it is told."""

    settings: Settings
    gate: object
    offer: Callable[[Event, str], Awaitable[Any]]
    local: Local
    lists: Callable[[], CurationSettings]
    peers: object = None
    told: list[tuple[str, str]] = attrs.field(factory=list)

    def follow(self, urls: list[str]) -> None:
        self.told += [("follow", url) for url in urls]

    def held(self, event: Event) -> None:
        self.told.append(("held", event.id))

    def served(self, event: Event) -> None:
        self.told.append(("served", event.id))

    def withdrawn(self, event_ids: frozenset[str]) -> None:
        self.told += [("withdrawn", each) for each in sorted(event_ids)]

    def begin_anew(self) -> None:
        self.told.append(("begin anew", ""))

    def judged_anew(self, event: Event) -> None:
        self.told.append(("judged anew", event.id))

    async def run(
        self,
        key: SecretKey | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self.told.append(("run", "" if key is None else key.pubkey))
        task_status.started()
        await trio.sleep_forever()


@attrs.define(eq=False)
class Engine:
    """Holds one announcement; answers what it is told to."""

    outcome: Outcome = Outcome.HELD
    store: MemoryStore = attrs.field(factory=MemoryStore)
    gate: object = None
    peers: None = None
    offered: list[tuple[str, str]] = attrs.field(factory=list)
    held: list[Event] = attrs.field(factory=lambda: [HELD])

    @property
    def purgatory(self) -> Any:
        def announcements() -> Iterator[Any]:
            for event in self.held:
                yield SimpleNamespace(event=event)

        def get(event_id: str) -> Any:
            return next((each for each in self.held if each.id == event_id), None)

        return SimpleNamespace(announcements=announcements, hunted_events=list, get=get)

    async def offer(self, event: Event, origin: str) -> Answer:
        self.offered.append((event.id, origin))
        return Answer(self.outcome, "text")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(bridge, "Upstream", Upstream)
    return Engine()


def follow(engine: Engine) -> tuple[Following, Upstream]:
    made = Following(Settings(), engine)  # type: ignore[arg-type]
    upstream: Any = made._upstream
    return made, upstream


async def test_announcements_are_known_before_relays_and_roots_before_replies(
    engine: Engine, autojump_clock: trio.testing.MockClock
) -> None:
    root = events.pull_request(ALICE, [BOB.coordinate("served")], "1" * 40)
    reply = BOB.sign(1111, "", [("E", root.id)], root.created_at + 1)
    await engine.store.apply(Change(save=[reply, root, SERVED]))
    made, upstream = follow(engine)
    with trio.move_on_after(1):
        await made.run()
    first = list(dict.fromkeys(upstream.told))
    assert first == [
        ("held", HELD.id),
        ("served", SERVED.id),
        ("run", ""),
        ("served", root.id),
        ("served", reply.id),
    ]


async def test_b_2_9_services_that_are_copied_are_followed(engine: Engine) -> None:
    copied = CurationSettings(archive_grasp_services=("git.example", "127.0.0.1:7334"))
    made = Following(Settings(curation=copied), engine)  # type: ignore[arg-type]
    upstream: Any = made._upstream
    assert upstream.told == [("follow", "wss://git.example"), ("follow", "ws://127.0.0.1:7334")]


@pytest.mark.parametrize("event", [HELD, events.state(BOB, "served", {})])
def test_upstream_is_told_of_what_is_held(engine: Engine, event: Event) -> None:
    made, upstream = follow(engine)
    made.held(event)
    assert upstream.told == [("held", event.id)]


async def test_what_relays_send_is_offered_as_such(engine: Engine) -> None:
    upstream = follow(engine)[1]
    assert await upstream.offer(SERVED, "sync") == Answer(Outcome.HELD, "text")
    assert engine.offered == [(SERVED.id, "sync")]


async def test_what_goes_while_the_store_is_read_names_no_relay(
    engine: Engine, autojump_clock: trio.testing.MockClock
) -> None:
    await engine.store.apply(Change(save=[SERVED, events.note(BOB)]))
    made, upstream = follow(engine)
    query = engine.store.query

    async def slow(*asked: Any) -> list[Event]:
        found = await query(*asked)
        made.gone(frozenset({SERVED.id}))
        return found

    engine.store.query = slow  # type: ignore[method-assign,assignment]
    with trio.move_on_after(1):
        await made.run(ALICE.key)
    assert ("served", SERVED.id) not in upstream.told
    assert ("run", ALICE.pubkey) in upstream.told
    assert ("served", events.note(BOB).id) in upstream.told


async def test_every_page_of_what_is_served_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "PAGE_EVENTS", 4)
    times = [5, 5, 5, 5, 6, 7, 7, 7, 9, 9, 10, 10, 10]
    saved = [ALICE.sign(kinds.PATCH, str(n), [], at) for n, at in enumerate(times)]
    await engine.store.apply(Change(save=saved))
    found = {event.id async for event in bridge._stored(engine.store, None)}
    assert found == {event.id for event in saved}
    found = {event.id async for event in bridge._stored(engine.store, frozenset({1}))}
    assert found == set()


async def test_relays_reconcile_with_what_is_served_and_held(
    engine: Engine, autojump_clock: trio.testing.MockClock
) -> None:
    await engine.store.apply(Change(save=[SERVED, events.note(BOB)]))
    local = follow(engine)[1].local
    inventory = await local.inventory(Filter(kinds=frozenset({kinds.ANNOUNCEMENT})), 5)
    assert [inventory.id_at(n).hex() for n in range(len(inventory))] == [SERVED.id]
    assert (local.holds(HELD.id), local.holds(SERVED.id)) == (True, False)


async def test_b_5_5_relays_are_followed_by_the_new_lists(
    engine: Engine, autojump_clock: trio.testing.MockClock
) -> None:
    """What they let in is looked for; what they block is not."""
    await engine.store.apply(Change(save=[SERVED]))
    made, upstream = follow(engine)
    none, some = CurationSettings(), CurationSettings(event_blacklist=(ALICE.npub,))
    again = [("judged anew", HELD.id), ("judged anew", SERVED.id)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.sleep(1)
        for before, after, told in (
            (none, some, again),
            (some, none, [("begin anew", ""), *again]),
        ):
            upstream.told.clear()
            made.lists_changed(before, after)
            await trio.sleep(1)
            assert upstream.told == told
        nursery.cancel_scope.cancel()
