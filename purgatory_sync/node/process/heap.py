"""What the process does about its own memory."""

from __future__ import annotations

import ctypes
import gc
from typing import Final

import trio

from ...runtime.blocking import blocking

GIVE_BACK_SECS: Final = 60.0
_GARBAGE_THRESHOLD: Final = 20_000


def spare_the_collector() -> None:
    """What was imported lives as long as the process; a burst of hunts is no garbage either."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)


async def give_back_memory() -> None:
    """Give what was freed back to the system every minute, until cancelled.

    glibc keeps for each thread what a burst took there: after a flood of questions hundreds of
    megabytes. Does nothing where the C library is another one.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    place = trio.CapacityLimiter(1)
    while trim is not None:
        await trio.sleep(GIVE_BACK_SECS)
        await blocking(place, trim, 0)
