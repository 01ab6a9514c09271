"""`ThrottleManager`: the tasks that serve the queues of all domains (S10)."""

from __future__ import annotations

import trio

from .domain_task import run_domain
from .limits.living_domains import LivingDomain
from .limits.shared_limits import Throttles


class ThrottleManager(Throttles):
    """`Throttles` (which has its arguments) with one long-lived task for each domain.

    Without `run` limits and queues work, but no task serves the queues.
    """

    _nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the domains until cancelled; turns that are going on are cancelled with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for living in self.domains:
                    self._start_task(living)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def _start_task(self, living: LivingDomain) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(run_domain, self, living)
