"""Group commit: many tasks change the store at once, one of them writes for all.

The first task that comes leads. While it writes, others queue; when it is done it wakes those it
wrote for and makes the first that waits the next leader. So a batch is as large as what came
during one sync, and no task writes for others for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from ..errors import StoreError
from ..runtime.blocking import blocking
from .protocol import Applied, Change, DomainRow

MAX_BATCH = 1000

Commit = Callable[[Sequence[Change], Sequence[DomainRow]], Sequence[Applied | StoreError]]


@attrs.define(eq=False)
class _Job:
    change: Change
    taken: bool = False
    outcome: Applied | StoreError | None = None
    woken: trio.Event = attrs.field(factory=trio.Event)


class Writer:
    """Does changes in batches through one blocking function.

    Args:
      commit: called with changes and noted domains, in a worker thread; never twice at once.
      limiter: the place for that thread.
    """

    def __init__(self, commit: Commit, limiter: trio.CapacityLimiter) -> None:
        self._commit = commit
        self._limiter = limiter
        self._waiting: list[_Job] = []
        self._leader: _Job | None = None
        self._noted: dict[str, DomainRow] = {}

    def note_domains(self, rows: Sequence[DomainRow]) -> None:
        """Write these rows with the next batch; the newest row of a domain wins."""
        for row in rows:
            self._noted[row.domain] = row

    async def apply(self, change: Change) -> Applied:
        """Do a change durably, together with those that others bring at the same time.

        Raises:
          StoreError: the change, or the whole batch, failed; nothing of it was done.

        Cancelled before a leader took it up, the change is not done. Afterwards the outcome is
        waited for and returned, so that the caller's memory and the disk agree.
        """
        job = _Job(change)
        self._waiting.append(job)
        if self._leader is None:
            self._promote_next()
        try:
            await job.woken.wait()
        except trio.Cancelled:
            if not job.taken:
                self._withdraw(job)
                raise
            with trio.CancelScope(shield=True):
                await job.woken.wait()
        if self._leader is job:
            await self._lead()
        if isinstance(job.outcome, Applied):
            return job.outcome
        raise job.outcome or StoreError("the writer ended before the change was done")

    def _withdraw(self, job: _Job) -> None:
        self._waiting.remove(job)
        if self._leader is job:
            self._promote_next()

    def _promote_next(self) -> None:
        self._leader = self._waiting[0] if self._waiting else None
        if self._leader is not None:
            self._leader.woken.set()

    async def _lead(self) -> None:
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        noted, self._noted = self._noted, {}
        for job in batch:
            job.taken = True
        try:
            with trio.CancelScope(shield=True):
                outcomes = await blocking(
                    self._limiter, self._commit, [job.change for job in batch], [*noted.values()]
                )
            for job, outcome in zip(batch, outcomes, strict=True):
                job.outcome = outcome
        except Exception as error:
            self._noted = noted | self._noted
            kind = type(error) if isinstance(error, StoreError) else StoreError
            for job in batch:
                job.outcome = kind(str(error))
                job.outcome.__cause__ = error
        finally:
            for job in batch:
                job.woken.set()
            self._promote_next()
