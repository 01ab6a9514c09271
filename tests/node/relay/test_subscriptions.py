"""Each event once for each subscription, whenever it becomes new."""

from __future__ import annotations

import json

import trio
import trio.testing

from purgatory_sync.node.relay.outbox import Outbox
from purgatory_sync.node.relay.subscriptions import (
    MAX_PENDING,
    MAX_PENDING_BYTES,
    REMEMBER_SECS,
    Subscription,
    Subscriptions,
)
from purgatory_sync.nostr.filters import Filter

from .relay_support import make_event

ALL = (Filter(),)


async def names(outbox: Outbox) -> list[str]:
    """What waits in an outbox: EOSE, or the number in an event's tag."""
    found = []
    with trio.move_on_after(1):
        while messages := await outbox.take():
            for decoded in map(json.loads, messages):
                found.append(decoded[2]["tags"][0][1] if decoded[0] == "EVENT" else decoded[0])
    return found


async def test_new_events_wait_for_the_stored_ones_and_come_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, outbox = Subscriptions(), Outbox()
    subscription = Subscription("a", ALL, outbox)
    hub.add(subscription)
    stored, meanwhile, later = make_event(1), make_event(2), make_event(3)
    hub.broadcast(stored)
    hub.broadcast(meanwhile)
    await subscription.send_stored([stored])
    await subscription.end_stored()
    hub.stored_sent(subscription)
    hub.broadcast(later)
    assert await names(outbox) == ["1", "EOSE", "2", "3"]


async def test_event_told_a_moment_after_the_query_comes_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, outbox = Subscriptions(), Outbox()
    subscription = Subscription("a", ALL, outbox)
    hub.add(subscription)
    await subscription.send_stored([make_event(1)])
    await subscription.end_stored()
    hub.stored_sent(subscription)
    await trio.sleep(REMEMBER_SECS - 1)
    hub.broadcast(make_event(1))
    assert await names(outbox) == ["1", "EOSE"]
    await trio.sleep(REMEMBER_SECS)
    hub.broadcast(make_event(2))
    assert subscription._sent == set()
    assert await names(outbox) == ["2"]


async def test_only_matching_subscriptions_hear(autojump_clock: trio.testing.MockClock) -> None:
    hub, outbox, other = Subscriptions(), Outbox(), Outbox()
    for name, kind, box in (("a", 1, outbox), ("b", 2, other), ("c", 1, outbox)):
        subscription = Subscription(name, (Filter(kinds=frozenset({kind})),), box)
        hub.add(subscription)
        await subscription.send_stored([])
        await subscription.end_stored()
    assert len(hub) == 3
    hub.broadcast(make_event(7))
    assert await names(outbox) == ["EOSE", "EOSE", "7", "7"]
    assert await names(other) == ["EOSE"]


async def test_what_waits_for_stored_events_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, outbox = Subscriptions(), Outbox()
    hub.add(Subscription("a", ALL, outbox))
    event = make_event(1)
    for _ in range(MAX_PENDING):
        hub.broadcast(event)
    assert outbox.ended is None
    hub.broadcast(event)
    assert outbox.ended == "too slow: take what is stored before more comes"


async def test_what_waits_for_stored_events_is_bounded_in_bytes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, outbox = Subscriptions(), Outbox()
    hub.add(Subscription("a", ALL, outbox))
    event = make_event(1, content="x" * (MAX_PENDING_BYTES // 4))
    for _ in range(3):
        hub.broadcast(event)
    assert outbox.ended is None
    hub.broadcast(event)
    assert outbox.ended == "too slow: take what is stored before more comes"


async def test_removed_subscription_hears_nothing(autojump_clock: trio.testing.MockClock) -> None:
    hub, outbox = Subscriptions(), Outbox()
    subscription = Subscription("a", ALL, outbox)
    hub.add(subscription)
    await subscription.send_stored([])
    await subscription.end_stored()
    hub.remove(subscription)
    hub.remove(subscription)
    hub.broadcast(make_event(1))
    assert await names(outbox) == ["EOSE"]


async def test_nothing_is_kept_of_a_removed_subscription(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub = Subscriptions()
    for number in range(3):
        subscription = Subscription(str(number), ALL, Outbox())
        hub.add(subscription)
        if number == 2:  # its client left while its stored events were sent
            hub.remove(subscription)
        hub.stored_sent(subscription)
        if number == 0:
            hub.remove(subscription)
    assert [kept.name for kept in hub._remembering] == ["1"]
