"""Everything is verified now and then by itself, slowly (B 13.7)."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from ...errors import PurgatorySyncError
from ...runtime.clock import WallClock
from ...runtime.logger import get_logger
from .verifier import Verifier
from .verify_record import VerifyRecord

SECS_PER_DAY: Final = 86_400.0
LOOK_SECS: Final = 3_600.0
FIRST_AFTER_SECS: Final = 600.0
REST: Final = 9.0
"""A tenth of the time it looks, the rest of it does nothing."""

log = get_logger(__name__)


@attrs.frozen
class VerifyRounds:
    """Verifies everything, one repository at a time.

    Attributes:
      interval_days: how long after the end of the last one; 0: never.
    """

    verifier: Verifier
    record: VerifyRecord
    clock: WallClock
    interval_days: float

    async def run(self) -> None:
        """Do so until cancelled; what goes wrong is logged, and tried again an hour later.

        The first one begins ten minutes after the start at the earliest, so that a node which is
        started again and again has other things to do.
        """
        if self.interval_days <= 0:
            return
        await trio.sleep(FIRST_AFTER_SECS)
        while True:
            wait = self._due_in()
            if wait <= 0:
                wait = await self._verify()
            await trio.sleep(min(wait, LOOK_SECS))

    def _due_in(self) -> float:
        last = self.record.last
        if last is None or last.ended > self.clock.now():  # or the clock was set back
            return 0.0
        return last.ended + self.interval_days * SECS_PER_DAY - self.clock.now()

    async def _verify(self) -> float:
        try:
            found = await self.verifier.verify(rest=REST)
        except PurgatorySyncError as error:
            log.warning("could not verify", error=str(error))
            return LOOK_SECS
        tell = log.warning if found.left or found.not_looked else log.info
        tell(
            "verified",
            repositories=found.repositories,
            events=found.events,
            findings=found.left,
            not_looked=len(found.not_looked),
        )
        return LOOK_SECS
