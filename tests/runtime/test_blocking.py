"""What blocking work leaves behind."""

from __future__ import annotations

import gc
import weakref

import pytest
import trio

from purgatory_sync.runtime.blocking import blocking


class Argument:
    """Something large, in place of."""


def fail(argument: Argument) -> None:
    raise ValueError("no")


def give_back(argument: Argument) -> Argument:
    return argument


@pytest.mark.real
async def test_nothing_that_work_was_given_waits_for_the_collector() -> None:
    limiter = trio.CapacityLimiter(1)

    async def work(argument: Argument) -> None:
        assert await blocking(limiter, give_back, argument) is argument
        with pytest.raises(ValueError, match="no"):
            await blocking(limiter, fail, argument)

    argument = Argument()
    watched = weakref.ref(argument)
    gc.collect()
    gc.disable()
    try:
        await work(argument)
        # The thread lets go of its last work when it has the next.
        await blocking(limiter, give_back, Argument())
        del argument
        assert watched() is None
    finally:
        gc.enable()
