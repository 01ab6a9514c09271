"""A hunt for one identifier, as the loop starts it."""

from __future__ import annotations

from .limits.shared_limits import Throttles
from .limits.sync_context import SyncContext
from .strategy import pursue


async def sync_identifier(ctx: SyncContext, identifier: str, throttles: Throttles) -> bool:
    """Hunt for everything that the identifier's held events lack (S5).

    Asks unthrottled domains until nothing is missing or no source is left, and queues the
    identifier with the throttled ones; never waits for those. What lacks nothing is released.

    Returns True when nothing is pending any more, False when the identifier must back off.
    Cancellation ends its attempts within a second and leaves no place occupied.
    """
    with throttles.hunts.using(identifier) as hunt:
        await pursue(ctx, hunt, throttles)
    complete = not ctx.has_pending_events(identifier)
    if complete:
        throttles.dequeue(identifier)
    return complete
