"""What is told of visits: relays without who named them, and numbers (B 15.9)."""

from __future__ import annotations

from random import Random
from typing import cast

import trio

from benchmarks.outbox_world import NOW, OutboxWorld, an_event, relay_url
from purgatory_sync.engine import PurgatorySync
from purgatory_sync.node.node import _outboxes
from purgatory_sync.node.operator.metrics import Metrics, MetricsSnapshot
from purgatory_sync.node.relays import Relays
from purgatory_sync.node.upstream.bridge import Following
from purgatory_sync.settings import Settings, SyncSettings

random = Random(11)


class Nothing:
    """Follows no relay."""

    def relays(self) -> tuple[()]:
        return ()


async def test_b_15_9_visited_relays_are_shown_without_who_named_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = OutboxWorld(1)
    author = f"{random.getrandbits(256):064x}"
    world.serve(an_event(random, author, 1621, [], NOW - 1000))
    world.serve(an_event(random, author, 10002, [("r", relay_url(n)) for n in (0, 7)]))

    async with world.running() as outboxes:
        await trio.sleep(200)
        relays = Relays(cast(Following, Nothing()), outboxes)
        seen, failing = relays.looks()
        measured = relays.outbox_metrics()

    assert (seen.url, seen.found, seen.owners) == (relay_url(0), "outbox", 0)
    assert (failing.url, failing.failures) == (relay_url(7), 1)
    assert seen.retry_at is not None
    assert NOW + 2700 <= seen.retry_at <= NOW + 3600 + 60
    assert author not in repr((seen, failing))

    text = Metrics(lambda: MetricsSnapshot(outboxes=measured)).render().decode()
    for line in (
        'purgatory_outbox_relays{state="reached"} 1.0',
        'purgatory_outbox_relays{state="failing"} 1.0',
        'purgatory_outbox_visits_total{result="complete"} 1.0',
        'purgatory_outbox_visits_total{result="failed"} 1.0',
        'purgatory_outbox_events_total{result="taken"} 0.0',
        'purgatory_outbox_refused_total{reason="host_rate"} 0.0',
        "purgatory_outbox_authors 1.0",
    ):
        assert line in text
    assert author not in text


def test_b_15_9_where_it_is_off_nothing_is_told() -> None:
    settings = Settings(sync=SyncSettings(plus_enabled=False))
    nothing = cast(Following, Nothing())

    assert _outboxes(settings, cast(PurgatorySync, None), nothing) is None
    assert Relays(nothing, None).looks() == ()
    assert Relays(nothing, None).outbox_metrics() is None
    assert "outbox" not in Metrics(MetricsSnapshot).render().decode()
