"""Which held events end now (B 8.9): expiry's rules applied to what the hunt knows."""

from __future__ import annotations

from collections.abc import Callable

from ..purgatory.entries import HuntedEvent
from ..purgatory.expiry import Outlook, event_ends, time_is_up
from ..purgatory.purgatory import Purgatory
from .choice import Survey, survey
from .context import SyncContext
from .manager import ThrottleManager
from .sources import known_urls


async def find_expired(
    purgatory: Purgatory,
    ctx: SyncContext,
    throttles: ThrottleManager,
    *,
    started_at: float,
    push_in_hand: Callable[[HuntedEvent], bool] = lambda held: False,
) -> tuple[HuntedEvent, ...]:
    """The held states and pull requests that end now; nothing is removed here.

    Args:
      started_at: Unix seconds of the node's start.
      push_in_hand: whether a push that the event authorises is being received (B 6.7).
    """
    now = throttles.wall.now()
    ended: list[HuntedEvent] = []
    surveys: dict[str, Survey | None] = {}
    for held in purgatory.hunted_events():
        if not time_is_up(held, now, purgatory.settings):
            continue
        for identifier in held.identifiers:
            if identifier not in surveys and not held.unsatisfiable:
                surveys[identifier] = await survey(ctx, identifier)
        outlook = _outlook(held, surveys, throttles, push_in_hand=push_in_hand(held))
        if event_ends(held, outlook, now, started_at, purgatory.settings):
            ended.append(held)
    return tuple(held for held in ended if purgatory.get(held.event_id) is held)


def _outlook(
    held: HuntedEvent,
    surveys: dict[str, Survey | None],
    throttles: ThrottleManager,
    *,
    push_in_hand: bool,
) -> Outlook:
    seen = [s for i in held.identifiers if (s := surveys.get(i)) is not None]
    sources = tuple(dict.fromkeys(u for s in seen for u in known_urls(s.sources, held.event_id)))
    excused = frozenset(url for url in sources if throttles.is_naughty(url))
    return Outlook(sources, excused, push_in_hand, unknown=len(seen) < len(held.identifiers))
