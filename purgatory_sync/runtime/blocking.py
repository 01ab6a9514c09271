"""The one door for blocking work, so that a simulation can walk through it without threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, TypeVar, TypeVarTuple, cast

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_in_place: ContextVar[bool] = ContextVar("purgatory_sync_blocking_in_place", default=False)


async def blocking(limiter: trio.CapacityLimiter, function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run blocking work in a worker thread, or in place where `blocking_in_place` is in force.

    Args:
      limiter: the caller's own places, so that git, database and names cannot starve another.
      function: called with args; must end by itself.

    Returns and raises what the function does. Cancellation is noticed before the work begins;
    once begun, it is finished first (the thread is never abandoned), so nothing is half done.
    """
    if _in_place.get():
        async with limiter:
            return function(*args)
    failed: list[Exception] = []
    result = await trio.to_thread.run_sync(_work, function, args, failed, limiter=limiter)
    if failed:
        raise failed.pop()
    return cast(T, result)


def _work(function: Callable[..., T], args: tuple[Any, ...], failed: list[Exception]) -> T | None:
    """Do the work; its error goes beside trio, whose frames would hold it as it holds them.

    Such a circle keeps all arguments until the collector comes, and large ones do not bring it.
    """
    try:
        return function(*args)
    except Exception as error:
        failed.append(error)
        return None


class blocking_in_place(AbstractContextManager[None]):
    """Within this block (and the tasks started in it) blocking work takes no virtual time.

    Real SQLite and real repositories then run under `autojump_clock`, deterministically.
    """

    def __enter__(self) -> None:
        self._token = _in_place.set(True)

    def __exit__(self, *exc: Any) -> None:
        _in_place.reset(self._token)
