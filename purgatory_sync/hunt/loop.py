"""The main sync loop: every second, each identifier that is due gets a task (S4)."""

from __future__ import annotations

import trio
from trio_util import periodic

from ..purgatory.purgatory import Purgatory
from ..runtime.logger import get_logger
from .limits.sync_context import SyncContext
from .manager import ThrottleManager
from .sync_identifier import sync_identifier

log = get_logger(__name__)

SYNC_LOOP_INTERVAL = 1.0


async def start_sync_loop(
    purgatory: Purgatory,
    ctx: SyncContext,
    throttles: ThrottleManager,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hunt for each identifier that is due, until cancelled, which cancels all hunts."""
    async with trio.open_nursery() as nursery:
        task_status.started()
        async for _ in periodic(SYNC_LOOP_INTERVAL):
            for identifier in purgatory.sync_queue.due(trio.current_time()):
                nursery.start_soon(_hunt, purgatory, ctx, throttles, identifier)


async def _hunt(
    purgatory: Purgatory, ctx: SyncContext, throttles: ThrottleManager, identifier: str
) -> None:
    """One hunt under a lease; a crash is logged and costs the identifier a backoff."""
    entry = purgatory.sync_queue.get(identifier)
    if entry is None or entry.in_progress:
        return

    def is_pending() -> bool:
        return purgatory.has_pending_events(identifier)

    complete = False
    try:
        with purgatory.sync_queue.lease(identifier, is_pending) as entry:
            complete = await sync_identifier(ctx, identifier, throttles)
    except Exception:
        log.exception("hunt crashed", identifier=identifier)
    if complete:
        log.info("complete", identifier=identifier, complete=True)
    else:
        log.debug(
            "backing off",
            identifier=identifier,
            complete=False,
            attempt_count=entry.attempt_count,
            next_backoff_secs=entry.backoff(),
        )
